"""Settings chosen for a machine: what fits its memory, and which timings win."""

import math
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFReader
from hypothesis import given
from hypothesis import strategies as st

from socrates_fast.infer import memory, probe
from socrates_fast.infer.bindings import Batch, bindings
from socrates_fast.infer.devices import Device, cpu_features, devices, offload_devices
from socrates_fast.infer.header import Header, read_header
from socrates_fast.infer.memory import default_context, fit_gpu_layers, kv_bytes_per_token, layers_that_fit

GIB = 2**30


@pytest.fixture(scope="module")
def header(gguf_file: Path) -> Header:
    return read_header(gguf_file)


@pytest.fixture(scope="module")
def model(gguf_file: Path) -> Any:
    llama = bindings()
    loaded = llama.llama_model_load_from_file(str(gguf_file).encode(), llama.llama_model_default_params())
    yield loaded
    llama.llama_model_free(loaded)


def state_bytes(model: Any, tokens: int, cell_type: int) -> int:
    """What llama.cpp writes to save a sequence of ``tokens`` tokens whose KV cache is of ggml type ``cell_type``."""
    llama = bindings()
    params = llama.llama_context_default_params()
    params.n_ctx = params.n_batch = 64
    params.type_k = params.type_v = cell_type
    context = llama.llama_init_from_model(model, params)
    batch = Batch(tokens, 1)
    batch.token[:], batch.position[:], batch.owners[:] = 5, range(tokens), 1
    assert llama.llama_decode(context, batch.view(tokens)) == 0
    size = int(llama.llama_state_seq_get_size(context, 0))
    llama.llama_free(context)
    return size


def test_kv_bytes_are_llama_cpps(header: Header, model: Any) -> None:
    # F32 less F16 is two bytes a number; everything else that is saved cancels out.
    assert state_bytes(model, 32, 0) - state_bytes(model, 32, 1) == 32 * kv_bytes_per_token(header)
    assert kv_bytes_per_token(header, 4) == 2 * kv_bytes_per_token(header)


def test_kv_bytes_where_the_matrices_are_fused(header: Header) -> None:
    fused = tuple(tensor for tensor in header.tensors if ".attn_k." not in tensor.name)
    other = Header(header.path, header.version, header.metadata, fused, header.data_start)
    assert kv_bytes_per_token(other) == kv_bytes_per_token(header)


def test_default_context(header: Header) -> None:
    assert default_context(header) == header.context_length == 2048
    longer = {**header.metadata, "qwen2.context_length": 32768}
    assert default_context(Header(header.path, 3, longer, header.tensors, 0)) == 4096
    assert default_context(Header(header.path, 3, {}, header.tensors, 0)) == 4096


def test_layer_bytes_are_the_gguf_packages(header: Header, gguf_file: Path) -> None:
    sizes = {str(tensor.name): int(tensor.n_bytes) for tensor in GGUFReader(gguf_file).tensors}
    layers, output = memory.layer_bytes(header)
    for number, found in enumerate(layers):
        exact = sum(size for name, size in sizes.items() if name.startswith(f"blk.{number}."))
        assert exact <= found < exact + 32 * len(sizes)  # each tensor is padded to 32 bytes
    assert sizes["output.weight"] < output < sizes["output.weight"] + sizes["token_embd.weight"]


def test_a_tied_output_matrix_takes_memory_twice(header: Header) -> None:
    tensors = tuple(tensor for tensor in header.tensors if tensor.name != "output.weight")
    tied = Header(header.path, header.version, header.metadata, tensors, header.data_start)
    assert memory.layer_bytes(tied)[1] >= next(
        4 * t.shape[0] * t.shape[1] for t in tensors if t.name == "token_embd.weight"
    )


@given(st.lists(st.integers(1, 100), max_size=8), st.integers(0, 100), st.integers(-50, 1000))
def test_as_many_layers_as_fit(layers: list[int], output: int, room: int) -> None:
    found = layers_that_fit(layers, output, room)
    order = [output, *reversed(layers)]
    if found == -1:
        assert sum(order) <= room
    else:
        assert sum(order[: found + 1]) > room
        assert found == 0 or sum(order[:found]) <= room


def gpu(free: int) -> Device:
    return Device("CUDA0", "Tesla T4", "gpu", free, 15 * GIB)


def test_layers_follow_the_free_memory(header: Header, monkeypatch: pytest.MonkeyPatch) -> None:
    def fitting(*free: int, exact: bool = False) -> int:
        monkeypatch.setattr(memory, "offload_devices", lambda _: [gpu(one) for one in free])
        return fit_gpu_layers(bindings(), header, 2048, 512, exact)

    assert fitting() == 0
    assert fitting(memory.RESERVE) == 0
    assert fitting(2 * GIB) == fitting(memory.RESERVE, 2 * GIB) == -1
    needed = sum(memory.layer_bytes(header)[0]) + memory.layer_bytes(header)[1]
    needed += memory.compute_bytes(header, 2048, 512) + 2048 * kv_bytes_per_token(header)
    assert fitting(memory.RESERVE + needed) == -1
    assert fitting(memory.RESERVE + needed - 1) == 2  # the output and one of two layers
    assert fitting(memory.RESERVE + needed, exact=True) < 2


def test_devices_of_this_llama_cpp() -> None:
    found = devices(bindings())
    (cpu,) = (device for device in found if device.kind == "cpu")
    installed = next(
        int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line
    )
    assert cpu.total == 1024 * installed and cpu.description
    if not bindings().llama_supports_gpu_offload():
        assert offload_devices(bindings()) == []


@pytest.mark.parametrize(
    ("line", "features"),
    [
        ("CPU : SSE3 = 1 | AVX2 = 1 | OPENMP = 1 | ", {"SSE3", "AVX2", "OPENMP"}),
        ("CUDA : ARCHS = 750 | F16 = 1 | CPU : NEON = 1 | DOTPROD = 0 | SVE_CNT = 16", {"NEON", "SVE_CNT"}),
        ("", set()),
    ],
)
def test_features_are_the_cpus(line: str, features: set[str]) -> None:
    assert cpu_features(line) == features


def test_features_of_this_llama_cpp() -> None:
    known = bindings().llama_print_system_info().decode()
    assert all(f"{name} = " in known for name in cpu_features(known)) and cpu_features(known)


@pytest.mark.parametrize(
    ("timings", "chosen"),
    [
        ({8: 1.0}, 8),
        ({8: 1.0, 4: 0.97}, 8),  # nearly equal: the default stays
        ({8: 1.0, 4: 0.5}, 4),
        ({8: 1.0, 4: 0.97, 2: 0.94}, 2),
        ({8: 1.0, 4: math.inf}, 8),
        ({8: math.inf, 4: 1.0}, 4),
    ],
)
def test_the_clearly_fastest_is_picked(timings: dict[int, float], chosen: int) -> None:
    assert probe.pick(timings) == chosen


@pytest.mark.parametrize(
    ("seconds", "budget", "asked", "chosen"),
    [
        ({4: 0.3, 2: 0.2, 1: 0.4}, 10.0, [4, 2, 1, 4, 2, 1], 2),
        ({4: 3.0, 2: 0.2, 1: 0.4}, 2.0, [4], 4),  # one alone was too slow
        ({4: 0.9, 2: 0.2, 1: 0.1}, 2.0, [4, 2, 1], 1),
        ({4: 0.1, 2: math.inf, 1: 0.1}, 10.0, [4, 2, 1, 4, 2, 1], 4),
    ],
)
def test_timing_keeps_to_its_budget(
    seconds: dict[int, float], budget: float, asked: list[int], chosen: int
) -> None:
    done: list[int] = []

    def time_it(candidate: int) -> float:
        done.append(candidate)
        return seconds[candidate]

    assert probe.fastest([4, 2, 1], time_it, lambda _: 64, budget) == chosen
    assert done == asked


def test_larger_batches_are_compared_by_the_token() -> None:
    seconds = {512: 0.1, 1024: 0.15, 2048: 0.4}
    assert probe.fastest([512, 1024, 2048], seconds.__getitem__, lambda size: size, 9.0) == 1024


def test_thread_candidates_are_what_may_be_used(tmp_path: Path) -> None:
    first, *rest = probe.thread_candidates()
    assert 1 <= first <= len(probe.allowed_cpus())
    assert all(1 <= count < first for count in rest)
    limits = {"max 100000": 2**16, "150000 100000": 2, "400000 100000": 4, "1000 100000": 1}
    for text, cpus in limits.items():
        (tmp_path / "cpu.max").write_text(text)
        assert probe.cpu_quota(tmp_path / "cpu.max") == cpus
    assert probe.cpu_quota(tmp_path / "none") == 2**16


def test_choosing_for_a_loaded_model(model: Any) -> None:
    llama = bindings()
    chosen = probe.choose(llama, model, 1024)
    assert chosen.threads in probe.thread_candidates() and chosen.batch == 512
    assert probe.choose(llama, model, 1024, threads=3, batch=77, gpu=True) == probe.Choice(3, 77)
    assert probe.choose(llama, model, 256, threads=1, gpu=True) == probe.Choice(1, 512)  # no room to compare
    assert probe.choose(llama, model, 1024, threads=1, gpu=True).batch in (512, 1024)


def test_more_tokens_take_longer(model: Any) -> None:
    with probe.Clock(bindings(), model, 512) as clock:
        clock.seconds(1, 512)
        few, many = (min(clock.seconds(1, count) for _ in range(3)) for count in (1, 512))
    assert 0 < few < many < math.inf
