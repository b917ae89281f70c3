"""A few prompts as the model sees them, token for token, and what of them is trained on."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, TextIO
from unicodedata import normalize

import numpy as np
import polars as pl
from numpy.typing import NDArray

from socrates_fast.data.choice import ROW, positions
from socrates_fast.data.lengths import rows_at
from socrates_fast.data.prepared import after_reasoning, prompts_of
from socrates_fast.data.schema import CELL
from socrates_fast.errors import DataError
from socrates_fast.prompt import TASK_HEAD, Prompt, persona_text
from socrates_fast.recipe import PromptOptions, Recipe

if TYPE_CHECKING:
    from rich.text import Text

    from socrates_fast.prompt import ChatRenderer

KINDS = {
    "template": "dim", "system": "magenta", "persona": "cyan", "instruction": "blue", "stimulus": "default",
    "answer": "bold black on green",
}  # fmt: skip
"""What a part of a prompt is, and its style on a terminal: the chat template's own text, the system line, the persona, the
line that says what to do, the stimulus, and the answer with the token that ends it."""
OPEN, CLOSE = "«", "»"
"""Around what is trained on, where there is no colour."""
PURPOSE = "preview"
_RULE = "-" * 72


@dataclass(frozen=True)
class Part:
    """A piece of a sequence.

    Attributes:
        kind: one of ``KINDS``.
        text: as it is tokenised.
        tokens: how many; one that lies over the border of two pieces of the user's turn counts to either.
        trained: whether the loss counts on it.
    """

    kind: str
    text: str
    tokens: int
    trained: bool = False


@dataclass(frozen=True)
class Shown:
    """One row as a training sequence.

    Attributes:
        row: the row's keys.
        parts: pieces in order; their texts together are the whole sequence, their tokens are all its tokens.
        input_ids: the sequence.
        completion_mask: 1 where the loss counts.
        notes: what a reader should know.
    """

    row: dict[str, Any]
    parts: tuple[Part, ...]
    input_ids: list[int]
    completion_mask: list[int]
    notes: tuple[str, ...]

    @property
    def tokens(self) -> dict[str, int]:
        """Tokens by kind of part; of those that are there."""
        counts = {kind: sum(part.tokens for part in self.parts if part.kind == kind) for kind in KINDS}
        return {kind: count for kind, count in counts.items() if count}

    def as_json(self) -> dict[str, Any]:
        """All of it, JSON-able, with the counts."""
        counts = {"tokens": self.tokens, "length": len(self.input_ids), "trained": sum(self.completion_mask)}
        return {**asdict(self), **counts}


def preview(
    rows: pl.DataFrame | pl.LazyFrame,
    recipe: Recipe,
    renderer: "ChatRenderer",
    count: int = 3,
    example: int | None = None,
) -> list[Shown]:
    """Rows as the sequences that they train as.

    Args:
        rows: prepared rows; lazy ones are read in batches.
        recipe: its ``prompt`` counts, and the seed of its split, which chooses.
        renderer: of the recipe's model.
        count: so many rows by hash, each of another cell as long as there are such.
        example: instead the row of this number, from 1.

    Raises:
        DataError: there is no such row, or none at all.
    """
    frame = rows.lazy()
    height = int(frame.select(pl.len()).collect(engine="streaming").item())
    if not height:
        raise DataError("there is no row to show")
    if example is not None and not 1 <= example <= height:
        raise DataError(f"there is no row {example}: they are numbered from 1 to {height}")
    numbers = _chosen(frame, recipe.data.split.seed, count) if example is None else np.array([example - 1])
    found = rows_at(frame, numbers)
    prompts = after_reasoning(prompts_of(found, recipe.prompt), found)
    return [
        shown(row, prompt, recipe.prompt, renderer)
        for row, prompt in zip(found.iter_rows(named=True), prompts, strict=True)
    ]


def _chosen(frame: pl.LazyFrame, seed: int, count: int) -> NDArray[np.int64]:
    """Numbers of the rows to show, ascending: the first of each of the first cells by hash, then the second, ..."""
    keys = frame.select(*CELL, ROW[1]).collect(engine="streaming").with_row_index("number")
    cells = keys.select(CELL).unique()
    cells = cells.with_columns(positions(cells, CELL, seed, PURPOSE).alias("turn")).bottom_k(
        count, by=["turn", *CELL]
    )
    near = keys.join(cells, on=CELL, how="inner")
    near = near.with_columns(positions(near, ROW, seed, PURPOSE)).sort("position", "number")
    within = near.with_columns(round=pl.int_range(pl.len()).over(CELL)).sort("round", "turn", *CELL)
    return within.head(count)["number"].cast(pl.Int64).sort().to_numpy()


def shown(row: dict[str, Any], prompt: Prompt, options: PromptOptions, renderer: "ChatRenderer") -> Shown:
    """One row as it trains: its parts, counted, and marked as the renderer's ``completion_mask`` says.

    Args:
        row: a prepared row.
        prompt: its prompt.
    """
    example = renderer.example(prompt, row["response"])
    asked = replace(prompt, opening="")
    length = len(renderer.prompt_ids(asked))
    parts = _template(asked, _user(row, asked, options, renderer), length, renderer)
    if prompt.opening:
        parts.append(Part("answer", prompt.opening, len(renderer.prompt_ids(prompt)) - length))
    parts.append(Part("answer", str(row["response"]), len(renderer.answer_ids(row["response"]))))
    parts.append(Part("answer", _end(renderer), 1))
    marked, start = [], 0
    for part in parts:
        here = example.completion_mask[start : start + part.tokens]
        marked.append(replace(part, trained=bool(here) and all(here)))
        start += part.tokens
    keys = {name: row[name] for name in (*CELL, "participant", "sample_id", "response")}
    return Shown(keys, tuple(marked), example.input_ids, example.completion_mask, _notes(parts, renderer))


def _user(
    row: dict[str, Any], prompt: Prompt, options: PromptOptions, renderer: "ChatRenderer"
) -> list[Part]:
    """The user's turn in its parts, each with the tokens that the turn grows by with it."""
    persona = persona_text(row["demographic"] or {}, options.fields)
    pieces = [("persona", persona), ("instruction", TASK_HEAD), ("stimulus", row["stimuli"].strip())]
    if options.order == "stimulus_first":
        pieces = [*pieces[1:], pieces[0]]
    pieces = [(kind, text + "\n\n") for kind, text in pieces[:-1]] + pieces[-1:]
    if "".join(text for _, text in pieces) != prompt.user:
        raise AssertionError("the user's turn is not persona, instruction and stimulus")
    parts, before, text = [], len(renderer.prompt_array(replace(prompt, user=""))), ""
    for kind, piece in pieces:
        text += piece
        after = len(renderer.prompt_array(replace(prompt, user=text)))
        parts.append(Part(kind, normalize("NFC", piece), after - before))
        before = after
    return parts


def _template(prompt: Prompt, user: list[Part], length: int, renderer: "ChatRenderer") -> list[Part]:
    """The prompt's parts: the template's pieces around the system line and the user's turn, ``length`` tokens together."""
    pieces = renderer.pieces(bool(prompt.system))[:-1]
    parts = []
    if prompt.system:
        system = normalize("NFC", prompt.system)
        parts = [_own(pieces[0], renderer), Part("system", system, len(renderer.tokenize(system, False)))]
    parts += [_own(pieces[-2], renderer), *user]
    rest = length - sum(part.tokens for part in parts)
    return [*parts, Part("template", pieces[-1], rest)]


def _own(piece: str, renderer: "ChatRenderer") -> Part:
    return Part("template", piece, len(renderer.tokenize(piece.removesuffix(" "), True)))


def _end(renderer: "ChatRenderer") -> str:
    """Text of the token that ends an answer."""
    closing = renderer.pieces(False)[-1].lstrip()
    ends = (
        end for end in range(1, len(closing)) if renderer.tokenize(closing[:end], True) == [renderer.end_id]
    )
    return closing[: next(ends, len(closing))]


def _notes(parts: Sequence[Part], renderer: "ChatRenderer") -> tuple[str, ...]:
    texts = [part for part in parts if part.kind in ("system", "persona", "stimulus")]
    return tuple(
        f"the {part.kind} holds the text of a control token; the model reads it as text"
        for part in texts
        if renderer.tokenize(part.text, True) != renderer.tokenize(part.text, False)
    )


def print_preview(found: Sequence[Shown], file: TextIO | None = None) -> None:
    """Print prompts: coloured on a terminal, elsewhere with ``OPEN`` and ``CLOSE`` around what is trained on.

    Args:
        file: stdout if None.
    """
    from rich.console import Console

    console = Console(file=file or sys.stdout, highlight=False, soft_wrap=True)
    coloured = console.is_terminal and not console.no_color
    for number, one in enumerate(found, 1):
        console.print(_text(one, f"prompt {number} of {len(found)}", coloured))


def _text(one: Shown, title: str, coloured: bool) -> "Text":
    from rich.text import Text

    study, condition, task, person, sample = (one.row[name] for name in (*CELL, "participant", "sample_id"))
    text = Text(
        f"{title}: study {study}, condition {condition}, task {task}, person {person}, sample {sample}\n"
    )
    text.append(f"{_RULE}\n")
    trained = False
    for part in one.parts:
        if part.trained != trained and not coloured:
            text.append(OPEN if part.trained else CLOSE)
        trained = part.trained
        style = KINDS["answer"] if part.trained else KINDS[part.kind]
        text.append(_visible(part.text), style if coloured else None)
    text.append("\n" if coloured or not trained else f"{CLOSE}\n")
    text.append(f"{_RULE}\n{len(one.input_ids)} tokens:")
    for number, (kind, count) in enumerate(one.tokens.items()):
        text.append(" + " if number else " ").append(f"{count} {kind}", KINDS[kind] if coloured else None)
    text.append(f"; trained on: {sum(one.completion_mask)}\n")
    for note in one.notes:
        text.append(f"note: {note}\n")
    return text


def _visible(text: str) -> str:
    """Text from the data without what would steer the terminal."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else repr(letter)[1:-1] for letter in text
    )
