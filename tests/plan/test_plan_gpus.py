"""Plans for several GPUs: hours shrink by less than their number, memory stays, steps take more rows."""

import json

import pytest

from socrates_fast import recipes
from socrates_fast.plan.planning import SCALING, as_json, make_plan
from socrates_fast.plan.speed import START
from socrates_fast.plan.text import plan_text
from tests.conftest import Command

RECIPE = "socsci210/qwen2.5-14b-fast"


@pytest.mark.parametrize("gpus", [2, 8])
def test_hours_shrink_and_memory_stays(gpus: int) -> None:
    one = make_plan(recipes.load(RECIPE, ["train.eval_rows=1"]), "a100-80gb")
    many = make_plan(recipes.load(RECIPE, ["train.eval_rows=1"]), "a100-80gb", gpus=gpus)
    assert many.memory == one.memory
    assert many.schedule.tokens == one.schedule.tokens
    assert many.schedule.steps.middle == pytest.approx(one.schedule.steps.middle / gpus)
    assert many.time.training.low == pytest.approx(one.time.training.low / gpus / SCALING.high)
    assert many.time.training.high == pytest.approx(one.time.training.high / gpus / SCALING.low)
    assert many.time.hours.low > START.low


def test_a_number_of_steps_stays_and_takes_more_rows() -> None:
    settings = ["train.max_steps=100", "train.packing=false"]
    one, two = (make_plan(recipes.load(RECIPE, settings), "h100", gpus=gpus) for gpus in (1, 2))
    assert one.schedule.steps == two.schedule.steps
    assert two.schedule.rows.middle == pytest.approx(2 * one.schedule.rows.middle)


def test_the_text_and_the_document_say_it(command: Command) -> None:
    text = plan_text(make_plan(recipes.load(RECIPE), "h100", gpus=4))
    assert "on 4 H100" in text and "of each GPU's" in text and "on 4 of each" in text
    assert "assumed to reach 75-97% of 4 times" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 79
    done = command("plan", RECIPE, "--gpus", "4", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["gpus"] == 4
    assert json.loads(done.out) == as_json(make_plan(recipes.load(RECIPE), "a100-80gb", gpus=4))
    refused = command("plan", RECIPE, "--gpus", "0")
    assert refused.code == 2 and "--gpus" in refused.err
