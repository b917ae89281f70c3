"""Importance matrices: what is collected is what a forward pass shows, and it helps where it says it does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader, dequantize
from numpy.typing import NDArray

from socrates_export.architectures.spec import Metadata
from socrates_export.child import run_task
from socrates_export.making import Making, Sources, make_files
from socrates_export.source.merged import open_merged
from socrates_export.write.arrays import write_arrays
from socrates_export.write.imatrix import Imatrix, read_imatrix, write_imatrix
from socrates_fast.errors import ExportError, ModelError
from socrates_fast.prompt import Prompt
from socrates_fast.tokenizer import FolderTokenizer
from tests.export.conftest import write_model

Factory = Callable[..., Path]


def sequences_of(base: Path, prompts: list[Prompt]) -> list[list[int]]:
    renderer = FolderTokenizer(base).renderer()
    return [renderer.prompt_ids(prompt) for prompt in prompts]


@pytest.fixture(scope="module")
def collected(base: Path, prompts: list[Prompt], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imatrix")
    write_model(folder / "x-f32.gguf", base, None, "f32")
    arguments = {
        "model": str(folder / "x-f32.gguf"),
        "sequences": sequences_of(base, prompts),
        "dataset": "three prompts",
        "out": str(folder / "x-imatrix.gguf"),
    }
    told: list[tuple[int, int]] = []
    run_task("imatrix", arguments, "collecting", None, lambda *at: told.append(at))
    assert told == [(1, 3), (2, 3), (3, 3)]
    return folder / "x-imatrix.gguf"


def squares_by_torch(base: Path, sequences: list[list[int]]) -> dict[str, NDArray[np.float64]]:
    """Sum of squares of the input columns of each linear layer, by hooks on the float32 model."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    sums: dict[str, NDArray[np.float64]] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(_module: Any, inputs: tuple[Any, ...]) -> None:
            squares = inputs[0].detach().double().pow(2).sum(dim=(0, 1)).numpy()
            sums[name] = sums.get(name, 0) + squares

        return hook

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            module.register_forward_pre_hook(note(f"{name}.weight"))
    with torch.inference_mode():
        for ids in sequences:
            model(torch.tensor([ids]))
    return sums


def test_sums_are_those_of_a_forward_pass(base: Path, prompts: list[Prompt], collected: Path) -> None:
    sequences = sequences_of(base, prompts)
    expected = squares_by_torch(base, sequences)
    tensors = {tensor.name: np.asarray(tensor.data) for tensor in GGUFReader(collected).tensors}
    specs = [spec for spec in open_merged(base, None).specs if spec.source in expected]
    assert tensors.keys() == {f"{spec.target}.{part}" for spec in specs for part in ("in_sum2", "counts")}
    tokens = sum(map(len, sequences))
    for spec in specs:
        sums, count = tensors[f"{spec.target}.in_sum2"], tensors[f"{spec.target}.counts"]
        assert sums.shape == (1, spec.shape[1]) and count.shape == (1, 1)
        if count.item() == tokens:  # the last block computes its outputs only
            np.testing.assert_allclose(sums[0], expected[spec.source], rtol=0.02)
        else:
            assert spec.target.startswith("blk.1.") and 0 < count.item() < tokens
    matrix = read_imatrix(collected)
    assert (matrix.datasets, matrix.chunks) == (["three prompts"], 3) and len(matrix.values) == len(specs)
    np.testing.assert_allclose(
        matrix.values["blk.0.attn_q.weight"], expected[specs[0].source] / tokens, rtol=0.02
    )


@pytest.mark.parametrize("kind", ["q4_k_m", "q4_0", "iq4_nl", "q2_k"])
def test_the_weighted_error_shrinks(base: Path, tmp_path: Path, kind: str) -> None:
    sources = Sources(base, None, "m", {})
    shapes = {spec.target: spec.shape for spec in open_merged(base, None).specs}
    rng = np.random.default_rng(3)
    weights = {n: rng.gamma(0.2, size=s[1]) + 1e-6 for n, s in shapes.items() if n.endswith("ffn_up.weight")}
    matrix = tmp_path / "given.gguf"
    write_imatrix(matrix, "random numbers", 1, 1, {name: (values, 1) for name, values in weights.items()})
    plain = make_files(sources, tmp_path / "plain", ["f32", kind], Making())
    weighed = make_files(sources, tmp_path / "weighed", [kind], Making(imatrix=matrix))
    exact = {tensor.name: np.asarray(tensor.data) for tensor in GGUFReader(plain.files["f32"]).tensors}

    def error(path: Path) -> float:
        total = 0.0
        for tensor in GGUFReader(path).tensors:
            if tensor.name in weights:
                found = dequantize(tensor.data, tensor.tensor_type).reshape(exact[tensor.name].shape)
                total += float(((found - exact[tensor.name]) ** 2 @ weights[tensor.name]).sum())
        return total

    assert error(weighed.files[kind]) < error(plain.files[kind])
    fields = GGUFReader(weighed.files[kind]).fields
    assert fields["quantize.imatrix.file"].contents() == "given.gguf"
    assert fields["quantize.imatrix.entries_count"].contents() == len(weights)


def test_auto_collects_on_the_prompts_and_keeps_the_matrix(
    base: Path, adapter: Path, prompts: list[Prompt], tmp_path: Path
) -> None:
    making = Making(imatrix="auto", calibration=prompts, dataset="prompts of a test")
    told: list[str] = []
    made = make_files(Sources(base, adapter, "m", {}), tmp_path, ["q4_0", "q2_k"], making, told.append)
    assert {path.name for path in tmp_path.iterdir()} == {"m-q4_0.gguf", "m-q2_k.gguf", "m-imatrix.gguf"}
    assert made.others == [tmp_path / "m-imatrix.gguf"]
    assert read_imatrix(made.others[0]).datasets == ["prompts of a test"]
    assert "quantize.imatrix.dataset" in GGUFReader(made.files["q2_k"]).fields
    assert "collecting an importance matrix on 3 prompts" in told
    again = make_files(Sources(base, adapter, "m", {}), tmp_path / "2", ["q8_0", "q2_k"], making)
    assert "quantize.imatrix.dataset" not in GGUFReader(again.files["q8_0"]).fields
    with pytest.raises(ExportError, match="auto needs prompts to run"):
        make_files(Sources(base, adapter, "m", {}), tmp_path / "3", ["q4_0"], Making(imatrix="auto"))


def test_a_matrix_of_another_model(base: Path, make_base: Factory, collected: Path, tmp_path: Path) -> None:
    other = make_base(hidden_size=32, intermediate_size=80)
    with pytest.raises(ModelError, match=r"x-imatrix\.gguf: imatrix of another model: .* has 64 columns"):
        make_files(Sources(other, None, "m", {}), tmp_path, ["q4_0"], Making(imatrix=collected))
    matrix = Imatrix("x", ["d"], 1, {"blk.7.attn_q.weight": np.ones(64, np.float32)})
    with pytest.raises(ModelError, match=r"there is no blk\.7\.attn_q\.weight in this one"):
        matrix.check({spec.target: spec.shape for spec in open_merged(base, None).specs})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_what_is_no_mean_square(tmp_path: Path, bad: float) -> None:
    sums = np.array([1.0, bad])
    write_imatrix(tmp_path / "x.gguf", "d", 1, 1, {"blk.0.attn_q.weight": (sums, 2)})
    with pytest.raises(ModelError, match=r"blk\.0\.attn_q\.weight holds what is not a mean square"):
        read_imatrix(tmp_path / "x.gguf")


def test_files_that_are_no_importance_matrix(base: Path, collected: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        read_imatrix(tmp_path / "absent.gguf")
    (tmp_path / "old.dat").write_bytes(b"\x03\x00\x00\x00blk.0")
    with pytest.raises(ModelError, match=r"not an importance matrix in GGUF .*llama-imatrix"):
        read_imatrix(tmp_path / "old.dat")
    (tmp_path / "cut.gguf").write_bytes(collected.read_bytes()[:-300])
    with pytest.raises(ModelError, match="not an importance matrix in GGUF"):
        read_imatrix(tmp_path / "cut.gguf")
    metadata: Metadata = {"general.type": "model", "imatrix.datasets": ["d"], "imatrix.chunk_count": 1}
    write_arrays(tmp_path / "model.gguf", metadata, {"x.in_sum2": np.ones((1, 2), np.float32)})
    with pytest.raises(ModelError, match="a GGUF of type 'model', not an importance matrix"):
        read_imatrix(tmp_path / "model.gguf")
