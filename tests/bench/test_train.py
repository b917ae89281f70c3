"""The training bench: its bases, its rows, what it writes down, and its record. Figures themselves are not asserted."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from socrates_bench import train
from socrates_bench.record import Bench, Measurement
from socrates_bench.train import Plan
from socrates_bench.train_base import SHAPES, ensure_base, parameters_of
from socrates_bench.train_figures import compare, figures
from socrates_bench.train_lines import WARM_UP, backend_lines, shared_of
from socrates_bench.train_rows import rows_of
from socrates_bench.train_watch import Watch
from socrates_fast.errors import SocratesError
from socrates_fast.tokenizer import FolderTokenizer
from socrates_fast.train.examples import examples_of
from tests.bench.lines import details, lines_of, named
from tests.conftest import Command


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": "9b"}, "no shape 9b; choose from tiny, 0.5b, 1.5b, 7b, 14b"),
        ({"backends": ["unsloth", "mlx"]}, "no backend unsloth, mlx; choose from unsloth, transformers"),
        ({"backends": [""]}, "choose from unsloth, transformers"),
        ({"precision": "int8"}, "no precision int8; choose from auto, float32, bfloat16, float16"),
        ({"steps": WARM_UP + 1}, "--steps 3: at least 4, the first 2 do not count"),
        ({"memory_cap": 0.0}, "--memory-cap 0: give the GiB"),
    ],
)
def test_what_cannot_be_measured_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SocratesError, match=message):
        Plan(**options)


def test_a_plan_makes_as_many_rows_as_its_steps_take() -> None:
    assert Plan(steps=5, batch_size=4, accumulation=3).rows == 60
    assert Plan(steps=5, batch_size=4, packing=True).rows == 80
    recipe = Plan(steps=5, checkpointing=True).recipe("transformers", True)
    assert recipe["train"] | {"backend": "transformers", "gradient_checkpointing": True} == recipe["train"]


def test_the_shapes_are_qwens() -> None:
    """Parameters as the published models have them, and the bench's name for the built-in base's shape."""
    counts = {shape: parameters_of(shape)["all"] for shape in SHAPES}
    assert counts == {"tiny": 1_181_824, "0.5b": 494_032_768, "1.5b": 1_543_714_304, "7b": 7_615_616_512,
                      "14b": 14_770_033_664}  # fmt: skip
    assert parameters_of("14b")["multiplied"] == counts["14b"] - 152_064 * 5120 - (
        97 * 5120 + 48 * (40 + 2 * 8) * 128  # norms and biases
    )


def test_rows_are_the_same_for_every_count() -> None:
    rows = rows_of(25)
    assert rows.height == 25 and rows.equals(rows_of(43).head(25))
    assert rows["participant"].to_list() == [number // 10 for number in range(25)]
    for answer, low, high in rows.select("response", "low", "high").iter_rows():
        assert low <= answer <= high


def test_a_base_is_made_once_and_can_be_trained(tmp_path: Path) -> None:
    from safetensors import safe_open

    base = ensure_base(tmp_path, "tiny")
    written = (base / "config.json").stat().st_mtime_ns
    assert ensure_base(tmp_path, "tiny") == base and (base / "config.json").stat().st_mtime_ns == written
    index = json.loads((base / "model.safetensors.index.json").read_text(encoding="utf-8"))["weight_map"]
    norm = "model.layers.0.input_layernorm.weight"
    with safe_open(base / index[norm], "pt") as file:
        assert file.get_tensor(norm).eq(1).all()
    matrix = "model.layers.0.mlp.up_proj.weight"
    with safe_open(base / index[matrix], "pt") as file:
        assert 0.018 < file.get_tensor(matrix).float().std() < 0.022
    from socrates_fast.recipe import Recipe

    recipe = Recipe.model_validate(Plan().recipe("unsloth", False))
    examples = examples_of(rows_of(20), FolderTokenizer(base).renderer(), recipe)
    assert all(300 < example.tokens < 700 for example in examples)


def test_our_own_seconds_are_those_of_the_step_at_hand() -> None:
    watch = Watch()
    hook = watch.inside("hook", lambda: None)
    log = watch.inside("callback", watch.progress)
    for step in (1, 2):
        hook()
        hook()
        log(step, 2, {"loss": 2.0})
    log(2, 2, {"train_runtime": 1.0})
    assert [step["step"] for step in watch.steps] == [1, 2]
    assert all(step["seconds"] > 0 for step in watch.steps)
    assert list(watch.own["hook"]) == [0, 1] and list(watch.own["callback"]) == [0, 1, 2]


def _answer(seconds: float, loss: float, peak: int) -> dict[str, Any]:
    step = {
        "cpu_seconds": 1.0,
        "tokens": 900,
        "places": 1000,
        "supervised": 4,
        "rows": 2,
        "ids": 7,
        "loss": loss,
    }
    return {
        "rows": 12,
        "steps": [step | {"seconds": 50.0}] * WARM_UP + [step | {"seconds": seconds}] * 4,
        "own": {"hook": [9.0] * WARM_UP + [0.001] * 4, "callback": [9.0] * WARM_UP + [0.002] * 4},
        "seconds": {"examples": 0.06, "datasets": 0.012, "load": 3.0, "trainer": 1.0},
        "switches": {"packing": ["no", "no"], "fused kernels": ["yes", "no"]},
        "memory": {"peak": peak, "train_peak": peak, "loaded": 1, "load_peak": 2},
        "to_first_step": 60.0, "trainable": 5, "parameters": 50,
    }  # fmt: skip


def test_figures_leave_the_warm_up_out() -> None:
    facts = {"gpu": "NVIDIA H200", "checkpointing": True, "import_seconds": 5.0}
    found = figures(_answer(0.5, 2.0, 100), 10**9, facts)
    assert (found["seconds_per_step"], found["tokens_per_second"], found["examples_per_second"]) == (
        0.5,
        1800,
        4,
    )
    assert found["padding"] == pytest.approx(0.1) and found["tokens_per_row"] == 450
    assert found["mfu"] == pytest.approx(4 * 1e9 * 1800 / 989e12) and found["hfu"] == pytest.approx(
        1.5 * found["mfu"]
    )
    assert found["start"]["first_step"] == 50 and found["start"]["to_first_step"] == 60
    own = found["own"]
    assert own["examples"] == pytest.approx(0.01) and own["examples_per_row"] == pytest.approx(0.005)
    assert own["share_of_step"] == pytest.approx((0.001 + 0.002 + 0.01 + 0.002) / 0.5)
    assert figures(_answer(0.5, 2.0, 100), 10**9, facts | {"gpu": None})["mfu"] is None


def test_backends_are_compared() -> None:
    facts = {"gpu": None, "checkpointing": False, "import_seconds": 5.0}
    found = {
        backend: facts | figures(_answer(seconds, loss, peak), 10**9, facts)
        for backend, seconds, loss, peak in (("unsloth", 0.5, 2.0, 100), ("transformers", 1.0, 2.5, 400))
    }
    compared = compare(found)
    assert compared == {
        "examples_per_second": 2,
        "peak_memory": 0.25,
        "loss_difference": 0.5,
        "checkpointing": {"unsloth": False, "transformers": False},
        "same_batches": True,
    }
    failed = found | {"transformers": facts | {"error": "memory ran out"}}
    assert compare(failed) is None and compare({"unsloth": found["unsloth"]}) is None


def _lines(gpu: str | None, **changes: Any) -> list[Measurement]:
    facts = {"gpu": gpu, "gpu_bytes": 8, "threads": 2, "checkpointing": False, "import_seconds": 5.0}
    found = facts | figures(_answer(0.5, 2.0, 100), 10**9, facts) | changes
    plan = {**asdict(Plan()), "parameters": {"all": 2 * 10**9}}
    base = {"config": {}, "multiplied": 10**9}
    return backend_lines(Bench.begin("train"), shared_of(plan), "unsloth", found, base)


def test_lines_of_a_backend() -> None:
    found = _lines("NVIDIA H200")
    step, tokens = named(found, "seconds per step"), named(found, "tokens per second", backend="unsloth")
    assert (step.figure.n, step.figure.warm_up, step.figure.median, step.peak_memory) == (
        4,
        WARM_UP,
        0.5,
        100,
    )
    assert tokens.figure.median == 1800 and tokens.share == pytest.approx(details(tokens)["mfu"])
    assert details(step)["losses"] == [2.0] * 6 and step.model and step.model.quantisation == "nf4"
    assert named(_lines(None), "tokens per second").ceiling is None
    (short,) = _lines("NVIDIA H200", error="memory ran out")
    assert short.figure.median == 8 and details(short)["error"] == "memory ran out"


def test_recomputation_is_for_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"gpu": "NVIDIA H200", "import_seconds": 5.0}
    short = {"error": "memory ran out", "short_of_memory": True}
    plan = Plan(steps=6, batch_size=2)

    def backend(plan: Plan, *answers: dict[str, Any]) -> dict[str, Any]:
        left = list(answers)
        monkeypatch.setattr(train, "_run", lambda *_: (facts, left.pop(0)))
        found = train._backend("unsloth", Path(), plan)
        assert not left
        return found

    good = _answer(0.5, 2.0, 100)
    fits = backend(plan, good)
    assert (fits["checkpointing"], fits["tried"]) == (False, [False]) and fits["mfu"] == fits["hfu"]
    tight = backend(plan, short, good)
    assert (tight["checkpointing"], tight["tried"]) == (True, [False, True]) and tight["mfu"] < tight["hfu"]
    assert backend(plan, short, short)["error"] == "memory ran out"
    assert backend(replace(plan, checkpointing=True), short)["tried"] == [True]
    with pytest.raises(SocratesError, match="unsloth: the loss"):
        backend(plan, {"error": "the loss of step 3 is not a number", "short_of_memory": False})


def test_the_command_refuses(command: Command) -> None:
    done = command("bench", "train", "--shape", "9b")
    assert done.code == 2 and "choose from tiny, 0.5b, 1.5b, 7b, 14b" in done.err


@pytest.mark.long
def test_the_record(command: Command, tmp_path: Path) -> None:
    done = command("bench", "train", "--steps", 5, "--batch-size", 2, "--precision", "float32",
                   "--keep", tmp_path / "kept", "--json")  # fmt: skip
    found = lines_of(done, "train")
    assert str(tmp_path) not in done.out
    assert (tmp_path / "kept" / "random-tiny" / "config.json").is_file()
    for backend in ("unsloth", "transformers"):
        step, tokens = (
            named(found, name, backend=backend) for name in ("seconds per step", "tokens per second")
        )
        start, own = (
            details(named(found, name, backend=backend))
            for name in ("seconds to the end of the first step", "our own code's share of a step")
        )
        seen = details(step)
        assert step.model and step.model.parameters == 1_181_824 and step.figure.n == 3
        assert [rows for rows, *_ in seen["batches"]] == [2] * 5
        assert 300 < seen["tokens_per_row"] < 700 and 0 <= seen["padding"] < 0.2
        assert step.figure.min > 0 and tokens.figure.min > 0
        assert seen["memory"]["peak"] >= seen["memory"]["loaded"] > 0
        assert start["to_first_step"] > start["import"] + start["load"] + start["first_step"]
        assert own["share_of_step"] > 0 and own["hook"] > 0 and own["callback"] > 0
        assert seen["switches"]["4-bit base"] == ["yes", "yes"]
    apart = named(found, "largest difference of a step's loss")
    assert details(apart)["same_batches"] and apart.figure.median < 1e-4


@pytest.mark.long
def test_memory_cannot_be_capped_without_a_gpu(command: Command) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = command("bench", "train", "--memory-cap", 14, "--backends", "transformers")
    assert done.code == 2 and "there is no GPU" in done.err
