"""The verb doctor: what it finds here, and what it says of builds and machines that are made up."""

import re
from pathlib import Path

import pytest

from socrates_fast import doctor
from socrates_fast.doctor_llama import build_faults, nvidia_is_here, processor_flags, remedy
from socrates_fast.doctor_model import available_memory
from socrates_fast.infer.bindings import bindings
from socrates_fast.infer.devices import cpu_features
from tests.conftest import Command

ZEN3 = {"pni", "ssse3", "avx", "avx2", "fma", "f16c", "bmi2"}
"""Flags of a processor without AVX-512."""
PORTABLE = {"SSE3", "SSSE3", "AVX", "AVX2", "FMA", "F16C", "BMI2", "OPENMP", "REPACK", "LLAMAFILE"}


def lines(built: set[str], flags: set[str], gpu: bool = False) -> list[tuple[bool | None, str]]:
    return list(build_faults(built, flags, gpu))


def test_a_build_for_this_processor_has_no_faults() -> None:
    assert lines(PORTABLE, ZEN3) == []
    assert lines({"NEON", "DOTPROD", "OPENMP", "REPACK", "LLAMAFILE"}, {"asimd", "asimddp"}) == []
    assert lines(PORTABLE, set()) == []  # a system that does not list its features


@pytest.mark.parametrize(
    ("built", "flags", "ok", "words"),
    [
        (PORTABLE - {"AVX2", "FMA", "F16C"}, ZEN3, None, "without AVX2, F16C, FMA, which this processor has"),
        (PORTABLE - {"AVX2"}, ZEN3 | {"avx512f"}, None, "without AVX2, which"),
        (PORTABLE, ZEN3 | {"avx512f", "avx512_vnni"}, None, "without AVX512, AVX512_VNNI.*not\\s+measured"),
        (PORTABLE | {"AVX512"}, ZEN3, False, "this one has no AVX512.*illegal instruction"),
        (PORTABLE - {"OPENMP"}, ZEN3, None, "without OpenMP"),
        (PORTABLE - {"REPACK"}, ZEN3, None, "without REPACK"),
        (PORTABLE - {"LLAMAFILE"}, ZEN3, None, "without LLAMAFILE"),
    ],
)
def test_what_a_build_lacks(built: set[str], flags: set[str], ok: bool | None, words: str) -> None:
    ((found, line),) = lines(built, flags)
    assert found is ok and re.search(words, line)


def test_the_remedy_keeps_the_gpu() -> None:
    assert "GGML_CUDA" in remedy(gpu=True) and "GGML_CUDA" not in remedy(gpu=False)
    ((_, line),) = lines(PORTABLE - {"AVX2"}, ZEN3, gpu=True)
    assert line.endswith(remedy(gpu=True))


def test_processor_flags(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(
        "processor\t: 0\nflags\t\t: fpu avx2 fma\nbugs\t\t: x\n\nprocessor\t: 1\nflags\t\t: fpu\n"
    )
    assert processor_flags(file) == {"fpu", "avx2", "fma"}
    file.write_text("processor\t: 0\nFeatures\t: fp asimd asimddp\n")
    assert processor_flags(file) == {"fp", "asimd", "asimddp"}
    file.write_text("nothing\n")
    assert processor_flags(file) == processor_flags(tmp_path / "none") == set()


def test_this_build_runs_on_this_processor() -> None:
    built = cpu_features(bindings().llama_print_system_info().decode())
    assert all(ok is not False for ok, _ in build_faults(built, processor_flags(), gpu=False))


def test_available_memory(tmp_path: Path) -> None:
    file = tmp_path / "meminfo"
    file.write_text("MemTotal:       24682416 kB\nMemFree: 1 kB\nMemAvailable:       2048 kB\n")
    assert available_memory(file) == 2 * 2**20
    assert available_memory(tmp_path / "none") is None


def test_doctor_here(command: Command) -> None:
    outcome = command("doctor", "tiny")
    assert outcome.code == 0 and not outcome.err
    assert "llama-cpp-python 0.3.36: CPU : " in outcome.out and "✓ recipe tiny is valid" in outcome.out
    if not bindings().llama_supports_gpu_offload() and not nvidia_is_here():
        assert "✓ llama.cpp computes on the CPU only" in outcome.out


def test_doctor_of_a_recipe_that_is_not_there() -> None:
    ((ok, line),) = doctor._recipe("nowhere.yaml")
    assert ok is False and "nowhere.yaml" in line
