"""The figures of a plan: parameters, rows, speed, memory, against what is published and against by-hand arithmetic."""

import json
from pathlib import Path
from typing import Any

import pytest

from socrates_fast import recipes
from socrates_fast.errors import DataError, ModelError
from socrates_fast.plan.calibration import Point, points
from socrates_fast.plan.changes import changes
from socrates_fast.plan.gpus import GPUS
from socrates_fast.plan.memory import NF4_BITS, memory_of
from socrates_fast.plan.models import MODELS
from socrates_fast.plan.own import RECORDS, own_points
from socrates_fast.plan.planning import make_plan, time_of
from socrates_fast.plan.ranges import Range, fixed, hours_text
from socrates_fast.plan.rows import rows_of
from socrates_fast.plan.shapes import known_shape, shape_of
from socrates_fast.plan.speed import flops_per_token, schedule
from socrates_fast.plan.text import ESTIMATE
from socrates_fast.recipe import Model, Recipe
from tests.conftest import ROOT

PUBLISHED = {
    "Qwen/Qwen2.5-0.5B-Instruct": 494_032_768, "Qwen/Qwen2.5-1.5B-Instruct": 1_543_714_304,
    "Qwen/Qwen2.5-3B-Instruct": 3_085_938_688, "Qwen/Qwen2.5-7B-Instruct": 7_615_616_512,
    "Qwen/Qwen2.5-14B-Instruct": 14_770_033_664, "Qwen/Qwen2.5-32B-Instruct": 32_763_876_352,
    "Qwen/Qwen3-0.6B": 596_049_920, "Qwen/Qwen3-8B": 8_190_735_360,
    "meta-llama/Meta-Llama-3-8B-Instruct": 8_030_261_248, "meta-llama/Llama-3.2-1B-Instruct": 1_235_814_400,
    "meta-llama/Llama-3.2-3B-Instruct": 3_212_749_824,
}  # fmt: skip
FAST, PAPER, SEED = (f"socsci210/qwen2.5-14b-{name}" for name in ("fast", "paper", "seed"))


def recipe_of(name: str, *overrides: str) -> Recipe:
    return recipes.load(name, overrides)


@pytest.mark.parametrize(("name", "count"), PUBLISHED.items())
def test_parameters_are_the_published_ones(name: str, count: int) -> None:
    assert known_shape(name).parameters == count


def test_adapter_and_file_sizes() -> None:
    shape = known_shape("Qwen/Qwen2.5-14B-Instruct")
    # rank * (in + out) of q, k, v, o, gate, up, down in 48 blocks
    sides = (5120 + 5120) * 2 + (5120 + 1024) * 2 + (5120 + 13824) * 3
    assert shape.adapter(16, tuple(shape.targets())) == 48 * 16 * sides == 68_812_800
    assert shape.file_bytes("q4_k_m") / 2**30 == pytest.approx(8.37, abs=0.02)  # llama.cpp's own


def test_revisions_are_commits() -> None:
    for known in MODELS.values():
        assert known.revision is None or (len(known.revision) == 40 and int(known.revision, 16))


def test_a_folder_is_read_from_its_config(micro_base: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(micro_base, dtype=torch.float32)
    assert shape_of(Model(base=str(micro_base))).parameters == model.num_parameters()


def test_a_folder_without_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json cannot be read"):
        shape_of(Model(base=str(tmp_path)))


def test_operations_are_four_or_six_per_parameter() -> None:
    shape = known_shape("Qwen/Qwen3-8B")
    assert flops_per_token(shape, 2, 0) == 4 * shape.multiplied
    assert flops_per_token(shape, 3, 0) == 6 * shape.multiplied
    assert flops_per_token(shape, 3, 512) / flops_per_token(shape, 3, 0) < 1.02


def _name(point: Point) -> str:
    return f"{point.run} {point.gpu} {point.unit}"


@pytest.mark.parametrize("point", points(), ids=_name)
def test_published_figure_lies_inside_the_plan(point: Point) -> None:
    assert point.predicted.holds(point.measured), (point.measured, point.predicted)
    assert point.predicted.high / point.predicted.low < 3.2  # or the range says nothing


def test_own_records_lie_inside_the_plan() -> None:
    for point in own_points(ROOT / RECORDS):
        assert point.predicted.holds(point.measured), (_name(point), point.measured, point.predicted)
    measured = bool(own_points(ROOT / RECORDS))
    assert ("none has been measured on a GPU" in ESTIMATE) != measured  # what a plan says of itself


def test_records_of_the_bench_are_read(tmp_path: Path) -> None:
    config = {"hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
              "intermediate_size": 4864, "vocab_size": 151936, "tie_word_embeddings": True,
              "max_position_embeddings": 32768}  # fmt: skip
    found = {
        "gpu": "NVIDIA H200",
        "seconds_per_step": 0.4,
        "padding": 0.05,
        "tokens_per_row": 300.0,
        "config": config,
    }
    asked = {"accumulation": 1, "four_bit": True, "checkpointing": False, "backend": "unsloth"}
    line = {"name": "tokens per second", "model": {"shape": "0.5b"}, "settings": asked,
            "figure": {"median": 20_000.0}, "details": found}  # fmt: skip
    others = [line | {"details": found | {"gpu": None}}, line | {"name": "memory"}]
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in [line, *others]), encoding="utf-8")
    (point,) = own_points(path)
    assert (point.gpu, point.measured, point.unit) == ("h200", 20_000, "tokens/s")
    assert point.predicted.low > 1000
    assert own_points(tmp_path / "none.jsonl") == []


def test_the_seed_recipe_plans_to_the_published_time() -> None:
    plan = make_plan(recipe_of(SEED), "a100-80gb")
    assert plan.schedule.steps.middle == pytest.approx(91, abs=1)
    assert plan.time.training.holds(2.15)


def test_memory_is_the_sum_of_its_parts_and_nf4_is_4_bits_and_an_eighth() -> None:
    recipe = recipe_of(FAST)
    shape = shape_of(recipe.model)
    memory = memory_of(shape, recipe, rows_of(recipe))
    assert memory.peak.high == pytest.approx(sum(part.high for part in vars(memory).values()))
    assert pytest.approx(4.127, abs=5e-4) == NF4_BITS
    by_hand = 13_212_057_600 * NF4_BITS / 8 + (14_770_033_664 - 13_212_057_600) * 2
    assert memory.weights == fixed(by_hand)
    assert memory.optimizer.high == pytest.approx(68_812_800 * 2.1)
    whole = memory_of(shape, recipe_of(FAST, "model.load_in_4bit=false"), rows_of(recipe))
    assert whole.weights == fixed(14_770_033_664 * 2)


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("train.gradient_checkpointing=true", "activations"), ("train.batch_size=1", "activations"),
        ("model.max_length=1024", "activations"), ("train.lora.r=8", "adapter"),
    ],
)  # fmt: skip
def test_what_takes_less_memory(override: str, part: str) -> None:
    def size(recipe: Recipe) -> float:
        found: Range = getattr(memory_of(shape_of(recipe.model), recipe, rows_of(recipe)), part)
        return found.high

    assert size(recipe_of(FAST, override)) < size(recipe_of(FAST))


def test_dropout_and_plain_transformers_cost_time_and_memory() -> None:
    plain, dropout = (
        make_plan(recipe_of(FAST), "h100"),
        make_plan(recipe_of(FAST, "train.lora.dropout=0.05"), "h100"),
    )
    assert dropout.time.hours.low > plain.time.hours.low
    assert dropout.memory.peak.high > plain.memory.peak.high


def test_packing_and_batches_of_like_length_save_time() -> None:
    def hours(*overrides: str) -> float:
        return make_plan(recipe_of(PAPER, *overrides), "h200").time.training.middle

    at_random = hours("train.group_by_length=false")
    assert hours("train.packing=true", "train.batch_size=3") < hours() * 1.05 < at_random


def test_rows_of_the_authors_split_of_shares_and_caps() -> None:
    assert rows_of(recipe_of(PAPER)).train.middle == pytest.approx(2_418_748 * 0.968 * 0.999)
    assert rows_of(recipe_of(PAPER, "data.share=0.1")).train.middle == pytest.approx(234_000, rel=0.01)
    assert rows_of(recipe_of(FAST)).train.middle == pytest.approx(165_624, rel=0.01)  # a published run's
    assert rows_of(recipe_of(PAPER, "data.max_train_rows=1000")).train == fixed(1000)
    assert rows_of(recipe_of(SEED)).train == fixed(23_210)


def test_tokens_follow_the_prompt_and_end_at_max_length() -> None:
    full, few = rows_of(recipe_of(FAST)), rows_of(recipe_of(FAST, "prompt.fields=[age]"))
    assert few.tokens.high < full.tokens.low * 1.3
    assert 200 < full.tokens.low < 350 < full.tokens.high < 500
    assert rows_of(recipe_of(FAST, "model.max_length=300")).tokens.high == 300


def test_a_made_up_survey_and_a_file_are_counted(micro_recipe: Path, tmp_path: Path) -> None:
    from socrates_fast.data.synthetic import generate

    recipe = recipes.load(str(micro_recipe))
    assert rows_of(recipe).train.middle == pytest.approx(2 * 30 * 2 * 0.5)
    survey = generate(recipe.data.synthetic)
    survey.rows.write_parquet(tmp_path / "rows.parquet")
    overrides = ["data.source=files", f"data.path={tmp_path / 'rows.parquet'}"]
    found = rows_of(recipes.load(str(micro_recipe), overrides))
    assert found.counted
    assert found.train.middle == pytest.approx(survey.rows.height * 0.5)


def test_a_prepared_folder_is_counted(micro_recipe: Path, tmp_path: Path) -> None:
    from socrates_fast.data.prepare import prepare

    recipe = recipes.load(str(micro_recipe))
    prepare(recipe, tmp_path / "prepared")
    found = rows_of(recipe, tmp_path / "prepared")
    assert found.counted
    assert found.train.low == found.train.high > 0
    assert 60 < found.tokens.low < found.tokens.high < 512
    with pytest.raises(DataError, match="run data prepare first"):
        rows_of(recipe, tmp_path)


def test_max_steps_end_a_training() -> None:
    recipe = recipe_of(PAPER, "train.max_steps=10")
    times = schedule(recipe, rows_of(recipe))
    assert times.steps == fixed(10)
    assert times.batches.middle == pytest.approx(160)
    longer = recipe_of("tiny", "train.max_steps=240")  # more than an epoch
    assert schedule(longer, rows_of(longer)).rows.middle == pytest.approx(240 * 16)


def test_validation_that_takes_long_is_named() -> None:
    plan = make_plan(
        recipe_of(PAPER, "data.split.validation=0.05", "train.eval_steps=50", "train.eval_rows=null"), "h200"
    )
    assert any("raise train.eval_steps (50)" in note for note in plan.notes)
    assert plan.time.validation.middle > plan.time.training.middle


def test_changes_fit_and_are_none_where_it_fits() -> None:
    recipe = recipe_of(PAPER)
    shape, rows = shape_of(recipe.model), rows_of(recipe)
    assert changes(shape, recipe, rows, GPUS["h200"]) == []
    for gpu in ("rtx4090", "a100-40gb", "t4"):
        for change in changes(shape, recipe, rows, GPUS[gpu]):
            if change.settings[0].startswith("--gpu"):
                assert change.settings == ("--gpu a100-80gb",)
                continue
            changed = recipe_of(PAPER, *change.settings)
            new = memory_of(shape_of(changed.model), changed, rows_of(changed)).peak
            assert new.high == pytest.approx(change.peak.high)
            assert change.fits == (new.high <= GPUS[gpu].memory * 2**30)
            if not changed.model.base.endswith(("7B-Instruct", "3B-Instruct", "1.5B-Instruct")):
                assert changed.train.batch_size * changed.train.accumulation == 256


def test_bigger_cards_are_faster() -> None:
    recipe = recipe_of(FAST)
    shape, rows = shape_of(recipe.model), rows_of(recipe)
    times = schedule(recipe, rows)
    hours = [
        time_of(shape, recipe, rows, times, GPUS[name]).hours.middle
        for name in ("t4", "l4", "a100-80gb", "h100")
    ]
    assert hours == sorted(hours, reverse=True)


@pytest.mark.parametrize(
    ("hours", "text"),
    [
        (Range(0.2, 0.9), "12-54 min"),
        (Range(0.5, 2.1), "0.5-2.1 h"),
        (Range(30, 90), "30-90 h"),
        (fixed(1), "60 min"),
    ],
)
def test_hours_as_people_read_them(hours: Range, text: Any) -> None:
    assert hours_text(hours) == text
