"""The deterministic mode: a row's result does not depend on the others, to the last bit."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from socrates_fast.data.scales import Scale
from socrates_fast.infer.gguf_model import GgufPredictor
from socrates_fast.infer.plan import BLOCK, Group, Limits, plan_apart
from socrates_fast.infer.plan import Path as TokenPath
from socrates_fast.infer.predictor import AnswerDistribution
from socrates_fast.prompt import Prompt
from tests.infer.prompts import SCALES, STIMULI, SYSTEM, make_prompts

OPEN = Scale(0, 10**6, None)
EVERY = [prompt for name in SCALES for prompt in make_prompts(SCALES[name])[:8]]


@pytest.fixture(scope="module")
def loaded(gguf_file: Path) -> Iterator[GgufPredictor]:
    """The tiny model with llama.cpp's quick arithmetic, as people use it."""
    with GgufPredictor(gguf_file, context=1024, threads=1, deterministic=True, open_budget=40) as predictor:
        yield predictor


def bits(found: Sequence[AnswerDistribution]) -> list[tuple[bytes, bytes, float, float]]:
    """All that a result says, to be compared to the last bit."""
    return [
        (one.values.tobytes(), one.probabilities.tobytes(), one.answer_mass, one.unexplored) for one in found
    ]


def test_shared_and_alone_are_equal(loaded: GgufPredictor) -> None:
    prompts = [*EVERY, *(Prompt(SYSTEM, f"{text} In dollars.", OPEN) for text in STIMULI)]
    before = loaded.stats.tokens_computed
    shared = loaded.predict(prompts)
    middle = loaded.stats.tokens_computed
    alone = loaded.predict(prompts, shared=False)
    assert bits(shared) == bits(alone)
    assert middle - before < (loaded.stats.tokens_computed - middle) * 0.7  # and it does share


def test_other_types_and_two_threads(small_file: Path) -> None:
    with GgufPredictor(small_file, context=1024, threads=2, deterministic=True) as predictor:
        assert bits(predictor.predict(EVERY)) == bits(predictor.predict(EVERY, shared=False))


def test_a_row_alone_is_the_row_in_a_job(loaded: GgufPredictor) -> None:
    together = bits(loaded.predict(EVERY))
    for number in range(0, len(EVERY), 5):
        assert bits(loaded.predict([EVERY[number]])) == [together[number]]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(STIMULI),
            st.sampled_from(["", " really", " é 漢字", " and so on" * 30]),
            st.sampled_from([*SCALES.values(), OPEN]),
        ),
        min_size=1,
        max_size=10,
    ),
    st.randoms(),
)
def test_random_jobs_in_any_order(
    loaded: GgufPredictor, parts: list[tuple[str, str, Scale]], random: Random
) -> None:
    prompts = [Prompt("", text + more, scale) for text, more, scale in parts]
    straight = bits(loaded.predict(prompts))
    order = list(range(len(prompts)))
    random.shuffle(order)
    mixed = bits(loaded.predict([prompts[number] for number in order]))
    assert mixed == [straight[number] for number in order]


def test_the_same_in_another_process_and_with_another_context(loaded: GgufPredictor, gguf_file: Path) -> None:
    with GgufPredictor(gguf_file, context=700, threads=1, deterministic=True) as other:
        assert bits(other.predict(EVERY[:10])) == bits(loaded.predict(EVERY[:10]))


Shape = tuple[int, bytes, tuple[int, ...], bytes, bytes]


def decodes(groups: Sequence[Group]) -> dict[int, list[Shape]]:
    """What each job's decodes look like, from the tokens in the cache on."""
    seen: dict[int, list[Shape]] = {}
    for step in groups:
        shape = (
            step.kept,
            step.tokens.tobytes(),
            tuple(step.cached),
            step.first.tobytes(),
            step.last.tobytes(),
        )
        for job in step.jobs:
            seen.setdefault(job, []).append(shape)
    return seen


@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(0, 3)), min_size=1, max_size=8),
    st.integers(0, 200),
)
def test_a_jobs_last_decodes_are_its_own(prompts: list[tuple[int, int]], common: int) -> None:
    """Whatever came before, the blocks of a prompt and what follows them are decoded in the same shapes."""
    limits = Limits(sequences=3, cells=1000, batch=BLOCK, outputs=4)
    jobs = []
    for number, (length, branches) in enumerate(prompts):
        ids = np.full(length, number + 1, np.int32)
        ids[:common] = 0
        tails = [[], *([7, branch] for branch in range(branches))]
        jobs.append(
            [
                TokenPath(number, np.array([*ids, *tail], np.int32), {length - 1 + len(tail): len(tail)})
                for tail in tails
            ]
        )
    together = decodes(list(plan_apart([path for job in jobs for path in job], limits, BLOCK)))
    for number, job in enumerate(jobs):
        alone = decodes(list(plan_apart(job, limits, BLOCK)))[number]
        mine = together[number]
        assert alone[len(alone) - len(mine) :] == mine
        assert all(kept % BLOCK == 0 for kept, *_ in alone[: len(alone) - len(mine)])
