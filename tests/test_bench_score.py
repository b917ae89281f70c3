"""The scoring bench: its rows, its count of the prefix tree, and its record. Figures themselves are not asserted."""

import json
import os
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socrates_bench.children import Child, memory
from socrates_bench.score import plan_of
from socrates_bench.score_work import batches, people, prompts_of_people, row_by_row, stimuli, tree_nodes
from socrates_fast.errors import SocratesError
from tests.conftest import Command

TOKENS = st.lists(st.integers(0, 2), max_size=5)


@given(st.lists(st.tuples(TOKENS, st.lists(TOKENS.filter(len), max_size=3)), max_size=8))
def test_nodes_are_the_different_prefixes(rows: list[tuple[list[int], list[list[int]]]]) -> None:
    prompts = {tuple(ids[:n]) for ids, _ in rows for n in range(1, len(ids) + 1)}
    steps = {
        (*ids, *answer[:n]) for ids, answers in rows for answer in answers for n in range(1, len(answer))
    }
    assert tree_nodes(rows) == (len(prompts), len(prompts | steps))
    assert len(prompts) <= row_by_row([ids for ids, _ in rows]) <= sum(len(ids) for ids, _ in rows)


def test_row_by_row_reuses_the_row_before() -> None:
    assert row_by_row([[1, 2, 3], [1, 2, 4], [5], [1, 2, 3], [1, 2, 3]]) == 3 + 1 + 1 + 3 + 0


def test_the_rows_are_socsci210s() -> None:
    texts = [text for text, _ in stimuli()]
    scales = [scale.values or () for _, scale in stimuli()]
    assert sorted((min(scale), max(scale)) for scale in scales) == sorted(
        [(1, 7)] * 3 + [(1, 5)] * 2 + [(0, 10)] + [(0, 100)] * 2 + [(1, 2), (1, 4)]
    )
    assert people(3) == people(9)[:3]
    for order, first in (
        ("persona_first", "You are a survey respondent"),
        ("stimulus_first", "Read the question"),
    ):
        prompts = prompts_of_people(3, order)  # type: ignore[arg-type]
        assert len({prompt.user for prompt in prompts}) == 30
        assert all(prompt.user.startswith(first) for prompt in prompts)
        for number, prompt in enumerate(prompts):
            assert texts[number % 10] in prompt.user and prompt.scale is stimuli()[number % 10][1]


@given(st.lists(st.integers(), max_size=30), st.integers(1, 7))
def test_pieces_make_the_whole(items: list[int], pieces: int) -> None:
    found = list(batches(items, pieces))
    assert [item for piece in found for item in piece] == items and len(found) == pieces
    assert max(map(len, found)) - min(map(len, found)) <= 1


def test_a_dead_child_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SocratesError, match=r"socrates_bench.pp512 ended with code 1:\n(.|\n)*no-model.gguf"):
        Child("socrates_bench.pp512", path=str(tmp_path / "no-model.gguf"), threads=1, gpu_layers=0)


def test_memory_of_a_process() -> None:
    found = memory(os.getpid())
    assert found["peak"] >= found["own"] > 10 * 2**20 and found["files"] > 2**20


@pytest.mark.parametrize("bad", ["9b", ""])
def test_a_shape_or_order_that_does_not_exist(bad: str) -> None:
    with pytest.raises(SocratesError, match="choose from tiny, 0.5b, 3b"):
        plan_of(bad, None, None, ["persona_first"], 1, None, 0)
    with pytest.raises(SocratesError, match="choose from persona_first, stimulus_first"):
        plan_of("tiny", None, None, ["persona_first", bad], 1, None, 0)


def test_the_record(command: Command) -> None:
    outcome = command("bench", "score", "--shape", "tiny", "--people", 2, "--peer-people", 1,
                      "--types", "q8_0", "--orders", "stimulus_first", "--threads", 1, "--json")  # fmt: skip
    assert outcome.code == 0, outcome.err
    record = json.loads(outcome.out)
    assert (record["rows"], record["peer_rows"], record["threads"]) == (20, 10, 1)
    assert 200 < record["tokens"]["stimulus"] < 300 and 100 < record["tokens"]["persona"] < 160
    work = record["work"]["stimulus_first"]
    assert work["tree_nodes"] < work["tree_nodes_with_answers"] < work["tokens_of_prompts"]
    (one,) = record["files"]
    found = one["orders"]["stimulus_first"]
    assert found["peer"]["rows"] == 10 and 1 <= found["peer"]["generated_per_row"] <= 4
    assert found["tokens_computed"] <= 1.02 * work["tree_nodes_with_answers"]
    assert found["tokens_over_tree"] == found["tokens_computed"] / work["tree_nodes_with_answers"]
    (seconds,) = found["seconds"]
    assert found["rows_per_second"] == 20 / seconds and 0 < found["decode_seconds"][0] < seconds
    assert found["times_peer"] > found["times_peer_to_first_token"] > 0
    assert found["pp512"]["median"] == statistics.median(found["pp512"]["all"]) > 0
    assert one["deterministic"]["stimulus_first"]["deviation"]["largest"] == 0
    assert 0 <= found["deviation"]["largest"] < 0.01
    assert one["memory"]["beyond_model_and_kv"] > 0 and one["memory"]["model"] == one["bytes"]
    assert record["cpu"] and record["environment"]["packages"]["llama-cpp-python"]
