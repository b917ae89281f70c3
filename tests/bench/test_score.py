"""The scoring bench: its rows, its count of the prefix tree, and its record. Figures themselves are not asserted."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socrates_bench.children import Child, memory
from socrates_bench.record import read
from socrates_bench.score import plan_of
from socrates_bench.score_work import batches, people, prompts_of_people, row_by_row, stimuli, tree_nodes
from socrates_fast.errors import SocratesError
from tests.bench.lines import details, lines_of, named
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
    with pytest.raises(SocratesError, match="choose from tiny, 0.5b, 1.5b, 3b"):
        plan_of(bad, None, None, ["persona_first"], 1, None, 0)
    with pytest.raises(SocratesError, match="choose from persona_first, stimulus_first"):
        plan_of("tiny", None, None, ["persona_first", bad], 1, None, 0)


@pytest.mark.long
def test_the_record(command: Command, tmp_path: Path) -> None:
    outcome = command("bench", "score", "--shape", "tiny", "--people", 2, "--peer-people", 1, "--types", "q8_0",
                      "--orders", "stimulus_first", "--threads", 1, "--out", "kept.jsonl", "--json")  # fmt: skip
    found = lines_of(outcome, "score")
    assert read(tmp_path / "kept.jsonl") == found
    ours, peer = named(found, "rows per second"), named(found, "rows per second of Llama")
    tree, pp512 = (
        named(found, "tokens computed over the tree's nodes"),
        named(found, "prompt speed of llama.cpp"),
    )
    sizes: Any = ours.settings["tokens"]
    assert (ours.settings["rows"], ours.settings["peer_rows"], ours.where.threads) == (20, 10, 1)
    assert 200 < sizes["stimulus"] < 300 and 100 < sizes["persona"] < 160
    work, seen = details(tree)["work"], details(ours)
    assert work["tree_nodes"] < work["tree_nodes_with_answers"] < work["tokens_of_prompts"]
    assert seen["tokens_computed"] <= 1.02 * work["tree_nodes_with_answers"]
    assert tree.figure.median == seen["tokens_computed"] / work["tree_nodes_with_answers"]
    assert (
        0 < seen["shared_prefix"] < 1
        and seen["shared_prefix"] == 1 - seen["tokens_computed"] / seen["tokens_asked"]
    )
    (seconds,) = seen["seconds"]
    assert ours.figure.median == 20 / seconds and 0 < seen["decode_seconds"][0] < seconds
    assert ours.share == pytest.approx(seen["tokens_computed"] / seconds / pp512.figure.median)
    assert pp512.figure.n == 9 and pp512.where.llama and "CPU" in pp512.where.llama
    assert details(peer)["rows"] == 10 and 1 <= details(peer)["generated_per_row"] <= 4
    times, first = named(found, "times Llama"), named(found, "times Llama to its first token")
    assert times.figure.median == ours.figure.median / peer.figure.median > first.figure.median > 0
    exact, memory = named(found, "rows per second, deterministic"), named(found, "memory")
    assert exact.quality == {"deviation": 0} and ours.quality and 0 <= ours.quality["deviation"] < 0.01
    assert details(memory)["beyond_model_and_kv"] > 0 and memory.model == ours.model
    assert (
        memory.model
        and memory.model.bytes == details(memory)["model"]
        and memory.peak_memory == memory.figure.median
    )
