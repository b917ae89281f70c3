"""The preview: the very sequence of training, cut into parts that add up, and rows chosen by hash."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from socrates_fast import recipes
from socrates_fast.data.prepared import prompts_of
from socrates_fast.data.preview import KINDS, Shown, preview, print_preview
from socrates_fast.errors import DataError
from socrates_fast.prompt import ChatRenderer
from socrates_fast.recipe import Recipe
from socrates_fast.tokenizer import FolderTokenizer
from tests.data.prepared_rows import person, prepared
from tests.export.vocabularies import FAMILIES, write_vocabulary

ROWS = prepared(
    [
        {
            "study_id": "ab"[n % 2], "condition_num": n % 3, "participant": n, "response": 1 + n % 7,
            "stimuli": f"You read: “{n}.”\n\nHow fair? Only return an integer from 1 to 7, nothing else.",
            "demographic": person(age=20 + n, gender="Female"),
        }
        for n in range(30)
    ]
)  # fmt: skip


def recipe(system: str = "Be short.", order: str = "persona_first") -> Recipe:
    return recipes.load(
        "tiny", ["prompt.fields=[age,gender]", f"prompt.order={order}", f"prompt.system={json.dumps(system)}"]
    )


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ChatRenderer]:
    made: dict[str, ChatRenderer] = {}

    def renderer(name: str) -> ChatRenderer:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            write_vocabulary(folder, FAMILIES[name])
            made[name] = FolderTokenizer(folder).renderer()
        return made[name]

    return renderer


@pytest.mark.parametrize("order", ["persona_first", "stimulus_first"])
@pytest.mark.parametrize("system", ["Be short.", ""])
@pytest.mark.parametrize("name", ["qwen2", "llama3", "mistral", "llama2", "phi3", "gemma"])
def test_parts_are_the_sequence_of_training(
    family: Callable[[str], ChatRenderer], name: str, system: str, order: str
) -> None:
    renderer, chosen = family(name), recipe(system, order)
    for one in preview(ROWS, chosen, renderer):
        row = ROWS.filter(pl.col("sample_id") == one.row["sample_id"])
        prompt = prompts_of(row, chosen.prompt)[0]
        example = renderer.example(prompt, one.row["response"])
        assert (one.input_ids, one.completion_mask) == (example.input_ids, example.completion_mask)
        assert sum(part.tokens for part in one.parts) == sum(one.tokens.values()) == len(example.input_ids)
        assert all(part.tokens > 0 for part in one.parts)
        trained = "".join(part.text for part in one.parts if part.trained)
        ids = [token for token, counts in zip(one.input_ids, one.completion_mask, strict=True) if counts]
        digits = str(one.row["response"])
        assert trained.startswith(digits) and renderer.answer_ids(int(digits)) == ids[:-1]
        assert renderer.tokenize(trained.removeprefix(digits), True) == ids[-1:]
        whole = "".join(part.text for part in one.parts)
        assert prompt.user in whole and system in whole
        kinds = [part.kind for part in one.parts if part.kind not in ("template", "system")]
        user = ["persona", "instruction", "stimulus"]
        assert kinds == [*(user if order == "persona_first" else [*user[1:], user[0]]), "answer", "answer"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.sampled_from(["<|im_end|>", "<|im_start|>user\n", "\n\n", " ", "é", "x.", "9"]), max_size=6
    ).map("".join)
)
def test_any_stimulus_adds_up_and_control_tokens_in_it_are_noted(
    family: Callable[[str], ChatRenderer], text: str
) -> None:
    row = prepared([{"stimuli": f"Why? {text}?", "demographic": person(age=3)}])
    one = preview(row, recipe(), family("qwen2"))[0]
    assert sum(part.tokens for part in one.parts) == len(one.input_ids)
    assert bool(one.notes) == ("<|im_" in text)
    assert sum(one.completion_mask) == 2


def keys(found: list[Shown]) -> list[Any]:
    return sorted((one.row["study_id"], one.row["sample_id"]) for one in found)


def test_rows_are_chosen_by_hash_from_different_cells(family: Callable[[str], ChatRenderer]) -> None:
    renderer = family("qwen2")
    found = preview(ROWS, recipe(), renderer)
    assert len({(one.row["study_id"], one.row["condition_num"]) for one in found}) == 3
    assert keys(preview(ROWS.reverse().lazy(), recipe(), renderer)) == keys(found)
    assert len(preview(ROWS, recipe(), renderer, count=8)) == 8  # more than there are cells
    assert set(keys(found)) <= set(keys(preview(ROWS, recipe(), renderer, count=8)))
    assert len(preview(ROWS.head(2), recipe(), renderer)) == 2


def test_one_row_by_its_number(family: Callable[[str], ChatRenderer]) -> None:
    found = preview(ROWS, recipe(), family("qwen2"), example=30)
    assert [one.row["sample_id"] for one in found] == [29]
    for number in (0, 31):
        with pytest.raises(DataError, match=f"no row {number}: they are numbered from 1 to 30"):
            preview(ROWS, recipe(), family("qwen2"), example=number)
    with pytest.raises(DataError, match="no row to show"):
        preview(ROWS.clear(), recipe(), family("qwen2"))


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def printed(found: list[Shown], file: StringIO) -> str:
    print_preview(found, file)
    return file.getvalue()


def test_marks_without_colour_and_colour_without_marks(
    family: Callable[[str], ChatRenderer], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = prepared(
        [{"stimuli": "See \x1b[31mred\x07 [bold]this[/bold]", "response": 7, "demographic": person(age=3)}]
    )
    found = preview(row, recipe(), family("qwen2"))
    plain = printed(found, StringIO())
    assert "<|im_start|>assistant\n«7<|im_end|>»\n" in plain and "; trained on: 2\n" in plain
    assert "See \\x1b[31mred\\x07 [bold]this[/bold]<|im_end|>" in plain and "\x1b" not in plain
    assert "study s, condition 0, task 0, person 0, sample 0" in plain
    counts = found[0].tokens
    assert " + ".join(f"{counts[kind]} {kind}" for kind in KINDS) in plain
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = printed(found, Terminal())
    assert "\x1b[1;30;42m7" in coloured and "«" not in coloured and "\x1b[31m" not in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    assert "«7<|im_end|>»" in printed(found, Terminal())


def test_json(family: Callable[[str], ChatRenderer], tmp_path: Path) -> None:
    found = [one.as_json() for one in preview(ROWS, recipe(), family("qwen2"))]
    again = json.loads(json.dumps(found))
    assert again[0]["length"] == len(again[0]["input_ids"]) == sum(again[0]["tokens"].values())
    assert again[0]["trained"] == sum(again[0]["completion_mask"])
    assert [part["kind"] for part in again[0]["parts"] if part["trained"]] == ["answer", "answer"]
