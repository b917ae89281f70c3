"""Prepared rows read back: for scoring, as prompts, as answers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from socrates_fast.data.judge import judged
from socrates_fast.data.keys import collect_keys, in_words, usable
from socrates_fast.data.scales import Scale, range_scale
from socrates_fast.data.schema import PREPARED
from socrates_fast.data.sources import Source, open_files
from socrates_fast.errors import DataError
from socrates_fast.prompt import Prompt, opening_of, persona_text, user_text
from socrates_fast.recipe import Data, PromptOptions


@dataclass(frozen=True)
class Prepared:
    """Usable rows, and what was left out.

    Attributes:
        rows: columns of ``schema.PREPARED``.
        dropped: for each cell and reason the cell's key, ``reason``, ``rows`` (a count), and the first ``example``.
    """

    rows: pl.DataFrame
    dropped: pl.DataFrame

    def faults(self) -> str:
        """What was left out, in words, one line for each cell and reason."""
        return in_words(self.dropped)


def to_prepared(rows: pl.DataFrame, data: Data | None = None, reasoning: bool = False) -> Prepared:
    """The usable rows of a frame in memory; see ``keys.decide`` for what is left out.

    Args:
        rows: columns of SocSci210 or of a prepared folder.
        data: the recipe's declared scales, missing codes, and what becomes of doubtful rows.
        reasoning: keep that column.
    """
    rows = rows.with_columns(file=pl.lit("rows"))
    if "line" not in rows.columns:
        rows = rows.with_row_index("line", 1)
    source = Source("rows", rows.lazy())
    data = data or Data(source="synthetic")
    keys = collect_keys(source, data)
    used, dropped = usable(keys, data)
    return Prepared(prepared_columns(judged(rows, data).filter(used), reasoning), dropped)


def prepared_columns(rows: pl.DataFrame, reasoning: bool = False) -> pl.DataFrame:
    """Judged rows in the columns of ``schema.PREPARED``, with ``reasoning`` after them if asked."""
    if "truth" not in rows.columns:
        rows = rows.with_columns(truth=pl.lit(None, dtype=PREPARED["truth"]))
    gaps = pl.col("values").list.len() < pl.col("high") - pl.col("low") + 1
    rows = rows.with_columns(
        response=pl.col("number").cast(pl.Int64), values=pl.when(gaps).then(pl.col("values"))
    )
    return rows.select(*PREPARED, *(["reasoning"] if reasoning else []))


def read_prepared(path: Path, side: str = "test") -> Prepared:
    """Rows that can be scored: ``side`` of a prepared folder, or a file in SocSci210's or in the prepared columns.

    Open questions and answers off their scale are left out, whatever the recipe kept for training.

    Raises:
        DataError: nothing is there, or no row can be used.
    """
    folder = (path / f"{side}.parquet").is_file()
    source = open_files(path / f"{side}.parquet" if folder else path)
    data = Data(
        source="synthetic", duplicates="keep" if folder else "drop"
    )  # a prepared folder has been judged
    prepared = to_prepared(source.read(), data)
    if prepared.rows.is_empty():
        raise DataError(f"{path}: no usable row:\n{prepared.faults()}")
    return prepared


def scorable(rows: pl.DataFrame) -> pl.DataFrame:
    """Those prepared rows whose answers can be scored: no open scale, no answer off its scale."""
    if rows.is_empty():
        return rows
    return to_prepared(rows, Data(source="synthetic", duplicates="keep"), "reasoning" in rows.columns).rows


def prompts_of(rows: pl.DataFrame, options: PromptOptions) -> list[Prompt]:
    """The prompts of prepared rows, in order."""
    scales: dict[tuple[Any, ...], Scale] = {}
    prompts = []
    for demographic, stimulus, *stated in rows.select("demographic", "stimuli", *_SCALE).iter_rows():
        key = (*stated[:2], stated[2] and tuple(stated[2]), stated[3])
        if key not in scales:
            scales[key] = _scale(*key)
        prompts.append(make_prompt(demographic or {}, stimulus, scales[key], options))
    return prompts


_SCALE = ("low", "high", "values", "open")


def _scale(low: int, high: int, values: tuple[int, ...] | None, is_open: bool) -> Scale:
    return Scale(low, high, values) if values or is_open else range_scale(low, high)


def make_prompt(demographic: dict[str, Any], stimulus: str, scale: Scale, options: PromptOptions) -> Prompt:
    """The prompt of one question to one person."""
    persona = persona_text(demographic, options.fields)
    return Prompt(
        options.system, user_text(persona, stimulus, options.order), scale, reasons=options.reasoning
    )


def after_reasoning(prompts: Sequence[Prompt], rows: pl.DataFrame) -> list[Prompt]:
    """Prompts that ask for a reasoning with the rows' own said already, which give their answers away.

    To train on, and to compare a model's files on; never to evaluate. One without a reasoning is asked without.
    """
    if not any(prompt.reasons for prompt in prompts):
        return list(prompts)
    said = [opening_of(text) if (text or "").strip() else "" for text in rows["reasoning"]]
    return [replace(p, opening=o, reasons=bool(o)) for p, o in zip(prompts, said, strict=True)]


def answers_of(rows: pl.DataFrame) -> Sequence[int]:
    """The answers of prepared rows, in order."""
    return [int(answer) for answer in rows["response"]]
