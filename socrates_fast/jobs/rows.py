"""A job's rows: what is asked of whom, on which scale; or why a row cannot be asked."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from socrates_fast.data.columns import INTEGER_FIELDS, NO_SCALE, NO_STIMULUS
from socrates_fast.data.scales import MAX_VALUES, Scale, parse_scale, range_scale
from socrates_fast.jobs.source import KEYS, Batch, Content, Source
from socrates_fast.prompt import Prompt, persona_text, user_text
from socrates_fast.recipe import PromptOptions

OPEN_ANSWERS = 512
"""Answers that an open scale is taken to have, where room for results is planned."""

_INT64 = 2**63


@dataclass(frozen=True)
class Row:
    """One row of the input.

    Attributes:
        number: from 0, in the whole input.
        place: file and line, and the row's keys: what an error calls it.
        keys: the columns of ``KEYS`` that the row has.
        demographic: persona field to value.
        stimulus: what the person reads.
        scale: the allowed answers; None if they cannot be had.
        fault: why the row cannot be asked; "" if it can.
    """

    number: int
    place: str
    keys: Mapping[str, Any]
    demographic: Mapping[str, Any]
    stimulus: str
    scale: Scale | None
    fault: str

    @property
    def length(self) -> int:
        """Characters of stimulus and persona."""
        return len(self.stimulus) + sum(len(str(value)) for value in self.demographic.values())

    @property
    def answers(self) -> int:
        """How many answers the result will hold, or about so many."""
        if self.scale is None:
            return 0
        return OPEN_ANSWERS if self.scale.values is None else len(self.scale.values)

    def prompt(self, options: PromptOptions) -> Prompt:
        """The row as it is asked; it must have no fault."""
        assert self.scale is not None
        persona = persona_text(self.demographic, options.fields)
        user = user_text(persona, self.stimulus, options.order)
        return Prompt(options.system, user, self.scale, reasons=options.reasoning)


def kind_of(fault: str) -> str:
    """The fault without its numbers, so that rows with the same kind of fault can be counted.

    Brackets that hold a number are left out whole, so a fault that puts its numbers there reads well as a kind.
    """
    return re.sub(r"-?\d+", "...", re.sub(r" \([^()]*\d[^()]*\)", "", fault))


def rows_of(source: Source, batch: Batch, wanted: NDArray[np.bool_]) -> list[Row]:
    """The rows of a batch where ``wanted``, of its length, is true.

    Raises:
        DataError: a line is no row at all.
    """
    contents = batch.read(wanted)
    places = np.flatnonzero(wanted).tolist()
    return [
        read_row(source, batch.start + at, batch.file, int(batch.lines[at]), content)
        for at, content in zip(places, contents, strict=True)
    ]


def read_row(source: Source, number: int, file: Path, line: int, content: Content) -> Row:
    """One row from its columns."""
    keys = {name: content[name] for name in KEYS if content.get(name) is not None}
    names = {"study_id": "study", "sample_id": "sample"}
    told = ", ".join(f"{names[name]} {keys[name]}" for name in names if name in keys)
    place = f"{file}:{line}" + (f" ({told})" if told else "")
    stimulus = content.get("stimuli")
    if not isinstance(stimulus, str) or not stimulus.strip():
        return Row(number, place, keys, {}, "", None, NO_STIMULUS)
    persona, fault = _persona(source, content)
    scale = scale_of(stimulus, content)
    if isinstance(scale, str):
        return Row(number, place, keys, persona, stimulus, None, fault or scale)
    return Row(number, place, keys, persona, stimulus, scale, fault)


def _persona(source: Source, content: Content) -> tuple[dict[str, Any], str]:
    """The persona, without the fields that are missing or empty; or what is wrong with it."""
    given = content.get("demographic")
    if isinstance(given, str) and given.strip():
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            return {}, "its column demographic is not JSON"
    if not given:
        given = {name: content[name] for name in source.persona if name in content}
    if not isinstance(given, dict):
        return {}, "its column demographic is not an object of persona fields"
    fields: dict[str, Any] = {}
    for name, value in given.items():
        if isinstance(value, str):
            if value and not value.isspace():
                fields[name] = value
        elif isinstance(value, (dict, list)):
            return {}, f"its persona field {name} is neither text nor a number"
        elif isinstance(value, float):  # a table that cannot hold a missing integer holds floats instead
            if math.isfinite(value):
                fields[name] = int(value) if name in INTEGER_FIELDS and value.is_integer() else value
        elif value is not None:
            fields[name] = value
    return fields, ""


def scale_of(stimulus: str, content: Content) -> Scale | str:
    """The scale that a row declares (``values``, or ``low`` and ``high``), else its stimulus; or what is wrong."""
    values, low, high = (content.get(name) for name in ("values", "low", "high"))
    if values is not None:
        if not isinstance(values, list) or set(map(type, values)) - {int}:
            return "its scale is not a list of integers (values)"
        return _listed(tuple(values))
    if low is not None or high is not None:
        if not is_int64(low) or not is_int64(high):
            return "its scale needs two integers, low and high"
        return _ranged(low, high)
    return _stated(stimulus) or NO_SCALE


def is_int64(value: Any) -> bool:
    """Whether a value is an integer that a column of 64 bits can hold."""
    return isinstance(value, int) and not isinstance(value, bool) and -_INT64 <= value < _INT64


@lru_cache(maxsize=64)
def _listed(values: tuple[int, ...]) -> Scale | str:
    if len(values) < 2:
        return f"its scale allows less than two answers (values lists {len(values)})"
    if len(values) > MAX_VALUES:
        return f"its scale lists more answers than can be asked (values lists {len(values)}, at most {MAX_VALUES})"
    if any(lower >= upper for lower, upper in pairwise(values)):
        return "its allowed answers (values) are not in ascending order"
    if not is_int64(values[0]) or not is_int64(values[-1]):
        return "its allowed answers (values) are too large"
    return Scale(values[0], values[-1], values)


@lru_cache(maxsize=256)
def _ranged(low: int, high: int) -> Scale | str:
    return (
        range_scale(low, high)
        if low < high
        else f"its scale is empty: low is not below high (low {low}, high {high})"
    )


@lru_cache(maxsize=2048)
def _stated(stimulus: str) -> Scale | None:
    """The stimulus' scale; a survey's texts recur."""
    return parse_scale(stimulus)


def windows(
    source: Source, missing: NDArray[np.bool_], most_rows: int, most_answers: int
) -> Iterator[list[Row]]:
    """The missing rows in order, so many at a time.

    Args:
        source: the input.
        missing: which of its rows; shape (rows,).
        most_rows: in a window.
        most_answers: allowed answers in a window, so that long scales take no more memory than short ones.
    """
    window: list[Row] = []
    answers = 0
    for batch in source.batches():
        wanted = missing[batch.start : batch.start + len(batch.lines)]
        for row in rows_of(source, batch, wanted) if wanted.any() else ():
            if window and (len(window) == most_rows or answers + row.answers > most_answers):
                yield window
                window, answers = [], 0
            window.append(row)
            answers += row.answers
    if window:
        yield window
