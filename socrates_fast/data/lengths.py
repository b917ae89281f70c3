"""How long the rows of a prepared folder get as prompts with their answers: measured with the model's own renderer."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from socrates_fast.data.choice import ROW, positions
from socrates_fast.data.prepared import make_prompt
from socrates_fast.data.scales import Scale
from socrates_fast.data.splits import SIDES
from socrates_fast.prompt import opening_of
from socrates_fast.recipe import PromptOptions, Recipe

if TYPE_CHECKING:
    from socrates_fast.prompt import ChatRenderer

SAMPLE = 10_000
"""Rows that are measured; all, where there are no more."""
LONGEST = 1_000
"""Stimuli, the longest by bytes, of each of which the row with the longest persona is measured besides."""
PURPOSE = "lengths"
BINS = 40
BATCH = 65_536
_ANY = Scale(0, 1, (0, 1))
"""A prompt's length does not depend on its scale."""

Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


def lengths(folder: Path, recipe: Recipe, renderer: "ChatRenderer | None") -> dict[str, Any]:
    """Lengths of a prepared folder's rows, prompt and answer together: in tokens, or in characters without a renderer.

    Quantiles and histogram are of ``SAMPLE`` rows chosen by hash (so they stay the same when rows are reordered). The
    longest row is looked for apart, because training refuses rows beyond ``model.max_length``: of the ``LONGEST`` longest
    different stimuli the row with the longest persona is measured too. Length in bytes, not in characters, says which are
    the longest: a tokenizer makes more tokens of a character the more bytes it has. That finds the maximum unless a text
    that is shorter in bytes than a thousand others takes more tokens than all of them; it is no proof, and the card says
    so, unless every row was measured (``all_measured``).

    Args:
        recipe: its ``prompt`` and ``model.max_length`` count.
        renderer: of the recipe's model; None if its tokenizer is not at hand.

    Returns:
        ``unit`` (tokens or characters), ``rows`` in all, ``measured``, ``all_measured``, ``min``, ``median``, ``mean``,
        ``90%``, ``99%`` and ``max``; ``max_length`` in tokens; ``beyond``: of the measured rows those with more tokens, and
        ``beyond_share``, their share in the sample (both null in characters); ``histogram``: ``edges`` and ``counts`` of
        the sample.
    """
    frames = {side: pl.scan_parquet(folder / f"{side}.parquet") for side in SIDES}
    keys = {side: _keys(frame, recipe.prompt) for side, frame in frames.items()}
    rows = pl.concat(part.with_columns(side=pl.lit(side)) for side, part in keys.items())
    sample = _sample(rows, recipe.data.split.seed).with_columns(sampled=True)
    longest = _longest(rows).with_columns(sampled=False)
    chosen = pl.concat([sample, longest]).unique("key", keep="first", maintain_order=True).sort("key")
    parts = [chosen.filter(pl.col("side") == side)["row"].to_numpy() for side in SIDES]
    texts = [rows_at(frames[side], part) for side, part in zip(SIDES, parts, strict=True) if len(part)]
    measured = _measured(texts, recipe.prompt, renderer)
    sampled = chosen["sampled"].to_numpy()
    return _summary(rows.height, measured, sampled, recipe.model.max_length, renderer is not None)


def rows_at(frame: pl.LazyFrame, numbers: Integers) -> pl.DataFrame:
    """The rows of these numbers (from 0, ascending), read in batches so that the others never sit in memory together."""
    found, start = [], 0
    for batch in frame.collect_batches(chunk_size=BATCH, maintain_order=True):
        here = numbers[np.searchsorted(numbers, start) : np.searchsorted(numbers, start + batch.height)]
        found.append(batch[here - start])
        start += batch.height
    return pl.concat(found) if found else frame.clear().collect()


def _keys(frame: pl.LazyFrame, options: PromptOptions) -> pl.DataFrame:
    """``row``, ``ROW``, the ``stimulus``' hash, ``bytes`` of the stimulus and ``persona_bytes`` of what else differs: the
    shown fields, and the reasoning.
    """
    persona = frame.collect_schema()["demographic"]
    known = persona.to_schema() if isinstance(persona, pl.Struct) else {}
    shown = [pl.col("demographic").struct.field(name) for name in options.fields if name in known]
    sizes = [column.cast(pl.String).str.len_bytes().fill_null(0) for column in [*shown, _reasoning(options)]]
    return frame.select(
        *ROW,
        stimulus=pl.col("stimuli").hash(),
        bytes=pl.col("stimuli").str.len_bytes(),
        persona_bytes=pl.sum_horizontal(sizes),
    ).collect(engine="streaming").with_row_index("row")  # fmt: skip


def _reasoning(options: PromptOptions) -> pl.Expr:
    """The text that the model is to say before the answer; null where it says none."""
    return pl.col("reasoning") if options.reasoning else pl.lit(None, dtype=pl.String).alias("reasoning")


def _sample(rows: pl.DataFrame, seed: int) -> pl.DataFrame:
    """``SAMPLE`` rows by hash: their ``key`` (number among all), ``side`` and ``row``, in order."""
    wanted = rows.with_row_index("key").select("key", "side", "row", *ROW)
    if rows.height > SAMPLE:
        wanted = wanted.with_columns(positions(rows, ROW, seed, PURPOSE)).bottom_k(
            SAMPLE, by=["position", *ROW]
        )
    return wanted.select("key", "side", "row").sort("key")


def _longest(rows: pl.DataFrame) -> pl.DataFrame:
    """Of the ``LONGEST`` longest stimuli the row with the longest persona each; columns as ``_sample``'s."""
    texts = rows.with_row_index("key").select("key", "side", "row", "stimulus", "bytes", "persona_bytes")
    top = texts.group_by("stimulus").agg(pl.col("bytes").first()).top_k(LONGEST, by=["bytes", "stimulus"])
    of_top = texts.join(top.select("stimulus"), on="stimulus", how="semi")
    last = pl.all().sort_by("persona_bytes", "key").last()
    return of_top.group_by("stimulus").agg(last).select("key", "side", "row").sort("key")


def _measured(parts: list[pl.DataFrame], options: PromptOptions, renderer: "ChatRenderer | None") -> Integers:
    """Length of every row, shape (n,)."""
    found = []
    for part in parts:
        for demographic, stimulus, answer, reasoning in part.select(
            "demographic", "stimuli", "response", _reasoning(options)
        ).iter_rows():
            prompt = make_prompt(demographic or {}, stimulus, _ANY, options)
            if reasoning:
                prompt = replace(prompt, opening=opening_of(reasoning))
            if renderer is None:
                found.append(sum(map(len, (prompt.system, prompt.user, prompt.opening, str(answer)))))
            else:
                found.append(len(renderer.prompt_array(prompt)) + len(renderer.answer_ids(answer)) + 1)
    return np.array(found, dtype=np.int64)


def _summary(rows: int, measured: Integers, sampled: Booleans, limit: int, tokens: bool) -> dict[str, Any]:
    sample = measured[sampled]
    counts, edges = np.histogram(sample, bins=_edges(sample))
    quantiles = {
        name: float(np.quantile(sample, at)) for name, at in (("median", 0.5), ("90%", 0.9), ("99%", 0.99))
    }
    return {
        "unit": "tokens" if tokens else "characters",
        "rows": rows,
        "measured": len(measured),
        "all_measured": len(measured) == rows,
        "min": int(measured.min()),
        "mean": round(float(sample.mean()), 1),
        **quantiles,
        "max": int(measured.max()),
        "max_length": limit,
        "beyond": int((measured > limit).sum()) if tokens else None,
        "beyond_share": float((sample > limit).mean()) if tokens else None,
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }


def _edges(sample: Integers) -> Integers:
    """Equally wide bins of whole numbers, ``BINS`` at most."""
    width = max(1, -(-int(sample.max() - sample.min() + 1) // BINS))
    return np.arange(sample.min(), sample.max() + width + 1, width)
