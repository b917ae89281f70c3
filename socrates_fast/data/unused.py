"""Columns of a file that nothing reads: a misspelt persona field would else go missing without a word."""

from collections.abc import Collection, Sequence

from socrates_fast.data.columns import KNOWN
from socrates_fast.data.table_layout import nearest
from socrates_fast.recipe import PERSONA_FIELDS

MOST = 20
"""Columns that a note names."""


def unused_columns(names: Collection[str], fields: Sequence[str] = PERSONA_FIELDS) -> str:
    """A note that names the columns that are not used, those first that may be misspelt fields; "" if all are.

    Args:
        names: the columns that there are.
        fields: persona fields that are shown.
    """
    free = [name for name in fields if name not in names]  # a field that is there was not misspelt
    near = {name: nearest(name, free) for name in names if name not in {*KNOWN, *fields}}
    ordered = sorted(near.items(), key=lambda pair: (pair[1] is None, pair[0]))
    shown = [(name or "''") + (f" (did you mean {field}?)" if field else "") for name, field in ordered]
    if not shown:
        return ""
    more = [f"and {len(shown) - MOST} more"] if len(shown) > MOST else []
    return "columns that are not used: " + ", ".join([*shown[:MOST], *more])
