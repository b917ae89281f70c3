"""How many rows a recipe trains on and how long they are: counted where that is possible, else estimated.

Counted from a prepared folder's card; from a file of the user's; from the options of a made-up survey. SocSci210 is not
downloaded for a plan: its published counts and the assumptions named here stand for it.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from socrates_fast.errors import DataError
from socrates_fast.plan.ranges import Range, fixed
from socrates_fast.prompt import PERSONA_HEAD, TASK_HEAD
from socrates_fast.recipe import Data, PromptOptions, Recipe

ROWS, STUDIES, CELLS = 2_901_390, 210, 5_998
"""SocSci210 as its authors and those who audited it count it."""
USABLE = 0.968
"""Share of its rows that stay: 1.6% lie off their scale, 1.6% answer open questions (of 6,069 real rows)."""
SEEN_ROWS, SEEN_CELLS = 2_418_748, 5_195
"""Of the 170 studies that the authors train on."""
MAPPED = {
    "participant_mapping": (SEEN_ROWS, SEEN_CELLS),
    "condition_mapping": (129 * ROWS * 3 // 4 // STUDIES, 129 * CELLS * 3 // 4 // STUDIES),
    "task_mapping": (73 * ROWS * 3 // 4 // STUDIES, 73 * CELLS * 3 // 4 // STUDIES),
}
"""Training rows and cells of the authors' files; of the two that split inside 129 and 73 studies, three quarters of as many
average studies."""

STIMULUS = Range(560, 800)
"""Characters of a SocSci210 stimulus, mean: the median of 6,069 real ones with a short persona is 556, and the longest
has 4,720, so the mean lies above. With the full persona 50 rendered rows have a median of about 1,600 in all."""
FIELD = 31
"""Characters of a persona's line: "- Marital Status: Never married" and its line end."""
FILLED = Range(0.4, 0.95)
"""Share of the persona's fields that are known: 6 of 16 in some of SocSci210's studies, 15 of 16 in others."""
CHARACTERS_PER_TOKEN = Range(3.8, 4.6)
"""English prose and short labels in a vocabulary of 128,000 or more tokens; assumed."""
TEMPLATE = 22
"""Tokens of a chat template, the answer and what ends it."""
REASONING = Range(60, 160)
"""Tokens of a written rationale; assumed."""
LONG = 2.2
"""How many times the mean the longest rows of a batch are where nothing is known of them: 768 tokens hold nearly all of
SocSci210's rows."""


@dataclass(frozen=True)
class Rows:
    """What a training reads.

    Attributes:
        train: training rows.
        validation: rows of the validation side.
        test: rows of the test side.
        tokens: mean tokens of a row, prompt and answer.
        longest: tokens of the longest rows.
        source: where these numbers are from, in words.
        counted: whether rows were counted rather than estimated.
    """

    train: Range
    validation: Range
    test: Range
    tokens: Range
    longest: Range
    source: str
    counted: bool


def rows_of(recipe: Recipe, prepared: Path | None = None) -> Rows:
    """The rows of a recipe.

    Args:
        recipe: its data, prompt and ``model.max_length`` count.
        prepared: a folder that ``data prepare`` wrote for it; None to estimate.

    Raises:
        DataError: the folder has no card, or a file of the recipe cannot be read.
    """
    found = _of_card(prepared) if prepared else _estimated(recipe)
    if recipe.prompt.reasoning and not found.counted:
        found = replace(found, tokens=found.tokens + REASONING, longest=found.longest + REASONING * 2)
    limit = float(recipe.model.max_length)
    return replace(found, tokens=_at_most(found.tokens, limit), longest=_at_most(found.longest, limit))


def _at_most(value: Range, limit: float) -> Range:
    return Range(min(value.low, limit), min(value.high, limit))


def _of_card(prepared: Path) -> Rows:
    path = prepared / "card.json"
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        sides = {side: fixed(card["splits"][side]["rows"]) for side in ("train", "validation", "test")}
        lengths = card["lengths"]
        mean, longest = fixed(lengths["mean"]), Range(lengths["99%"], lengths["max"])
        in_tokens = lengths["unit"] == "tokens"
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not the card of a prepared folder ({error}); run data prepare first"
        ) from error
    if not in_tokens:
        mean, longest = tokens_of(mean), tokens_of(longest)
    how = "lengths measured in tokens" if in_tokens else "lengths in characters"
    return Rows(**sides, tokens=mean, longest=longest, source=f"counted in {path} ({how})", counted=True)


def tokens_of(characters: Range) -> Range:
    """Tokens of a prompt of so many characters, template and answer included."""
    return characters.over(CHARACTERS_PER_TOKEN) + fixed(TEMPLATE)


def characters_of(options: PromptOptions, stimulus: Range) -> Range:
    """Characters of a prompt around a stimulus: system line, persona, the line between them."""
    constant = len(options.system) + len(PERSONA_HEAD) + len(TASK_HEAD) + 6
    return fixed(constant) + FILLED * float(FIELD * len(options.fields)) + stimulus


def _estimated(recipe: Recipe) -> Rows:
    if recipe.data.source == "socsci210":
        return _socsci210(recipe)
    if recipe.data.source == "synthetic":
        made = recipe.data.synthetic
        rows, cells = made.studies * made.people * made.tasks, made.studies * made.tasks * 2
        return _split(recipe, fixed(rows), cells, Range(150, 420), "the options of the made-up survey", True)
    return _of_files(recipe)


def _of_files(recipe: Recipe) -> Rows:
    import polars as pl

    from socrates_fast.data.sources import open_source

    source = open_source(recipe.data)
    stimuli = source.frame.select(
        rows=pl.len(), characters=pl.col("stimuli").str.len_chars().mean(),
        cells=pl.struct("study_id", "condition_num", "task_num").n_unique(),
    ).collect(engine="streaming").row(0)  # fmt: skip
    if not stimuli[0]:
        raise DataError(f"{source.name}: no rows, so there is nothing to plan")
    told = f"counted in {source.name}, before unusable rows are left out"
    return _split(recipe, fixed(stimuli[0]), stimuli[2], fixed(stimuli[1]), told, True)


def _socsci210(recipe: Recipe) -> Rows:
    data = recipe.data
    share = len(data.socsci210.studies) / STUDIES if data.socsci210.studies else 1.0
    rows, cells = MAPPED.get(data.split.mapping or "", (ROWS, CELLS))
    return _split(recipe, fixed(rows * share * USABLE), round(cells * share), STIMULUS,
                  "SocSci210's published counts and lengths; not downloaded", False)  # fmt: skip


def _split(recipe: Recipe, rows: Range, cells: int, stimulus: Range, source: str, counted: bool) -> Rows:
    """The training and validation rows that the recipe's split, shares and caps leave."""
    split = recipe.data.split
    held_out = 0.0 if split.by == "mapping" else split.test
    validation = rows * (1 - held_out if split.by == "mapping" else 1.0) * split.validation
    train = rows * (1 - held_out - split.validation)
    cells_left = cells * (1.0 if split.by in ("participant", "random", "mapping") else 1 - held_out)
    tokens = tokens_of(characters_of(recipe.prompt, stimulus))
    longest = Range(tokens.low * LONG, float(recipe.model.max_length))
    longest = Range(min(longest.low, longest.high), longest.high)
    test = fixed(ROWS * USABLE - rows.low) if split.by == "mapping" else rows * split.test
    return Rows(capped(train, recipe.data, cells_left), validation, test, tokens, longest, source, counted)


def capped(rows: Range, data: Data, cells: float) -> Range:
    """What ``share``, ``max_rows_per_cell`` and ``max_train_rows`` leave of so many training rows.

    Cells are taken for equally large, which they are not: a cap leaves at most what is said here. Of SocSci210's seen
    studies 32 rows a cell are 165,624 in a published run, and 166,240 by this formula.
    """
    rows = rows * data.share
    if data.max_rows_per_cell:
        rows = _at_most(rows, max(data.max_rows_per_cell * cells, 1.0))
    return _at_most(rows, data.max_train_rows) if data.max_train_rows else rows
