"""What llama.cpp was built with, what this machine has, and what the difference costs: a part of ``doctor``."""

import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from socrates_fast.errors import SocratesError

CPU_INFO = Path("/proc/cpuinfo")
FLAGS = {
    "SSE3": "pni", "SSSE3": "ssse3", "AVX": "avx", "AVX2": "avx2", "FMA": "fma", "F16C": "f16c", "BMI2": "bmi2",
    "AVX_VNNI": "avx_vnni", "AVX512": "avx512f", "AVX512_VBMI": "avx512vbmi", "AVX512_VNNI": "avx512_vnni",
    "AVX512_BF16": "avx512_bf16", "AMX_INT8": "amx_int8", "NEON": "asimd", "DOTPROD": "asimddp",
    "MATMUL_INT8": "i8mm", "SVE": "sve", "SME": "sme",
}  # fmt: skip
"""Names of processor features in llama.cpp's system line, to the flag by which Linux lists them."""
_ESSENTIAL = ("AVX2", "FMA", "F16C")
_NEWER = (
    "AVX_VNNI",
    "AVX512",
    "AVX512_VBMI",
    "AVX512_VNNI",
    "AVX512_BF16",
    "AMX_INT8",
    "DOTPROD",
    "MATMUL_INT8",
    "SVE",
)

_SLOW = "Measured on a 0.5B model: F16 files are read about 30 times slower, Q8_0 and Q4_K_M about twice as slow. Rebuild it:"
_NO_OPENMP = (
    "Its own threads spin while they wait: measured with other programs on the machine, prompts were read up to 4 times "
    "slower. Install libgomp (or libomp) and rebuild it:"
)
"""What a build costs: bench/results/builds.jsonl."""


def checks() -> Iterator[tuple[bool | None, str]]:
    """What llama.cpp is, the devices it computes on, and what its build lacks or has too much."""
    from socrates_fast.infer.bindings import bindings, log
    from socrates_fast.infer.devices import cpu_features, offload_devices

    try:
        llama, _ = bindings(), log()
        system = llama.llama_print_system_info().decode().strip(" |")
        gpus = offload_devices(llama)
    except (SocratesError, OSError, AttributeError) as error:
        yield (
            False,
            f"llama.cpp cannot be loaded ({error}); reinstall with: pip install llama-cpp-python==0.3.36",
        )
        return
    yield True, f"llama-cpp-python {version('llama-cpp-python')}: {system}"
    for gpu in gpus:
        free, total = gpu.free / 2**30, gpu.total / 2**30
        yield (
            True,
            f"llama.cpp computes on {gpu.name} ({gpu.description}): {free:.1f} of {total:.1f} GiB free",
        )
    if not gpus:
        yield _no_gpu(nvidia_is_here())
    yield from build_faults(cpu_features(system), processor_flags(), bool(gpus))


def nvidia_is_here() -> bool:
    """Whether the machine has an NVIDIA GPU with its driver."""
    return Path("/proc/driver/nvidia/version").is_file() or shutil.which("nvidia-smi") is not None


def _no_gpu(nvidia: bool) -> tuple[bool | None, str]:
    if nvidia:
        return None, (
            "this machine has an NVIDIA GPU, and llama.cpp was built without CUDA: it scores on the CPU only. "
            f"To use the GPU: {remedy(gpu=True)}"
        )
    return True, "llama.cpp computes on the CPU only"


def processor_flags(file: Path = CPU_INFO) -> set[str]:
    """The processor's features as Linux lists them; empty elsewhere."""
    if not file.is_file():
        return set()
    for line in file.read_text(encoding="utf-8").splitlines():
        name, _, flags = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return set(flags.split())
    return set()


def build_faults(built: set[str], flags: set[str], gpu: bool) -> Iterator[tuple[bool | None, str]]:
    """What the build has that the processor lacks, and the reverse, in plain words.

    Args:
        built: features in llama.cpp's system line.
        flags: the processor's, as Linux lists them; empty if unknown.
        gpu: whether llama.cpp was built for a GPU that is here, which the remedies then keep.
    """
    known = {name for name, flag in FLAGS.items() if flag in flags}
    if flags and (alien := built & set(FLAGS) - known):
        yield (
            False,
            (
                f"llama.cpp was built for another processor: this one has no {_listed(alien)}, and scoring will die of an "
                f"illegal instruction. Rebuild it here: {remedy(gpu)}"
            ),
        )
    if slow := (known - built) & set(_ESSENTIAL):
        yield (
            None,
            f"llama.cpp was built without {_listed(slow)}, which this processor has. {_SLOW} {remedy(gpu)}",
        )
    elif newer := (known - built) & set(_NEWER):
        yield (
            None,
            (
                f"llama.cpp was built without {_listed(newer)}, which this processor has; what that costs was not "
                f"measured. To build for this processor: {remedy(gpu)}"
            ),
        )
    if flags and "OPENMP" not in built:
        yield None, f"llama.cpp was built without OpenMP. {_NO_OPENMP} {remedy(gpu)}"
    for name, what in (
        ("REPACK", "rearranged quantised weights"),
        ("LLAMAFILE", "fast F16 and Q8_0 products"),
    ):
        if name not in built:
            yield None, f"llama.cpp was built without {name} ({what}); what that costs was not measured"


def remedy(gpu: bool) -> str:
    """The command that builds llama-cpp-python for the machine it runs on."""
    options = "-DGGML_NATIVE=on" + (" -DGGML_CUDA=on" if gpu else "")
    return (
        f'CMAKE_ARGS="{options}" pip install --force-reinstall --no-cache-dir --no-binary llama-cpp-python '
        "llama-cpp-python==0.3.36"
    )


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
