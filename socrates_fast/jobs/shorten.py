"""Prompts that are longer than the context: their stimulus cut from its beginning, word by word, until it fits."""

import math
import re
from dataclasses import replace

from socrates_fast.errors import ScoringError
from socrates_fast.jobs.rows import Row

KEPT = 200
"""Characters of a stimulus' end that are never cut, where it has no answer instruction."""

_TOO_LONG = re.compile(
    r"it has (\d+) tokens(?: and (\d+) more for its answers)?, and (?:at most|the model takes) (\d+)"
)
"""How predictors say that a prompt is too long (``infer.scorer``, ``infer.hf_model``)."""


def is_too_long(error: ScoringError) -> bool:
    """Whether a prompt was refused because of its length."""
    return _TOO_LONG.search(str(error)) is not None


def shortened(row: Row, characters: int, error: ScoringError) -> Row | None:
    """The row with less of its stimulus, or None if only the answer instruction is left.

    The persona and the instruction ("Only return ...") stay whole. About as much is cut as ``error`` says is too much,
    one word at least.

    Args:
        row: what was too long.
        characters: length of its whole prompt.
        error: what the predictor said.
    """
    found = _TOO_LONG.search(str(error))
    if found is None:
        return None
    tokens, steps, most = int(found[1]), int(found[2] or 0), int(found[3])
    text = row.stimulus.lstrip()
    instruction = text.rfind("Only return")
    end = instruction if instruction >= 0 else max(0, len(text) - KEPT)
    cut = math.ceil((tokens + steps - most) * characters / tokens)
    space = re.compile(r"\s+").search(text, min(max(cut, 1), end), end) if end else None
    if space:
        return replace(row, stimulus=text[space.end() :])
    return replace(row, stimulus=text[end:]) if end else None
