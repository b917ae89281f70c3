"""The record of all benches: JSON lines, one a measurement, with its unit, its spread, and where it was taken.

    here = Bench.begin("decode", threads=2)          # warns if the machine is busy
    line = here.measured("tokens per second", Figure.of(speeds, "tokens/s", warm_up=1), model=Model(shape="tiny"))
    append(Path("results.jsonl"), [line])

``bench/record.schema.json`` is made from here, by ``make docs``.
"""

import json
import os
import re
import secrets
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    computed_field,
    model_validator,
)

from socrates_bench.machine import Where, warn_if_busy, where
from socrates_fast.errors import DataError
from socrates_fast.runs import write_text

__all__ = [
    "Bench", "Ceiling", "Figure", "Measurement", "Model", "Where", "append", "better", "lines", "read", "schema",
    "where", "write",
]  # fmt: skip

_TIME = re.compile(r"(s|ms|us|bytes)(/\w+)?")


def better(unit: str) -> Literal["lower", "higher"] | None:
    """Whether more of ``unit`` is better: of a speed it is, of time and memory it is not, else nobody knows."""
    if unit.endswith("/s"):
        return "higher"
    return "lower" if _TIME.fullmatch(unit) else None


class _Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, json_schema_serialization_defaults_required=True
    )


class Figure(_Frozen):
    """What was measured, as often as it was.

    Attributes:
        unit: ``s``, ``rows/s``, ``bytes``, ``ms/row``, ``x`` (a ratio), ...
        n: how often it was measured, without the warm-up.
        median: of the ``n``.
        min: the least of them.
        max: the largest.
        all: each of them, in the order of measuring; None if only the rest is known.
        warm_up: how many came before and do not count.
    """

    unit: str = Field(min_length=1)
    n: int = Field(ge=1)
    median: float
    min: float
    max: float
    all: tuple[float, ...] | None = None
    warm_up: int = Field(default=0, ge=0)

    @classmethod
    def of(cls, values: Iterable[float], unit: str, warm_up: int = 0) -> Self:
        """The figure of ``values``, those of the warm-up left out."""
        each = tuple(float(value) for value in values)
        if not each:
            raise DataError(f"no value was measured ({unit})")
        return cls(unit=unit, n=len(each), median=statistics.median(each), min=min(each), max=max(each),
                   all=each, warm_up=warm_up)  # fmt: skip

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.min <= self.median <= self.max:
            raise ValueError(f"median {self.median} is not between min {self.min} and max {self.max}")
        if self.n == 1 and self.min != self.max:
            raise ValueError("n is 1, but min and max differ")
        if self.all is not None:
            found = (len(self.all), min(self.all, default=None), max(self.all, default=None))
            if found != (self.n, self.min, self.max) or statistics.median(self.all) != self.median:
                raise ValueError("n, median, min and max are not those of all")
        return self


class Ceiling(_Frozen):
    """The best that could be had, in the figure's unit; of time and memory the least.

    Attributes:
        value: in ``unit``.
        unit: the figure's.
        how: in words, how it was computed or measured.
    """

    value: float = Field(gt=0)
    unit: str
    how: str = Field(min_length=1)


class Model(_Frozen):
    """What model it was.

    Attributes:
        shape: ``tiny``, ``0.5b``, ...
        parameters: how many.
        quantisation: the GGUF type (``q4_k_m``), or ``nf4``; several exported at once are joined by +.
        bytes: of the file.
    """

    shape: str | None = None
    parameters: int | None = None
    quantisation: str | None = None
    bytes: int | None = None


class Measurement(_Frozen):
    """One line.

    Attributes:
        format: of the line; other numbers are refused.
        bench: which one (``score``).
        run: id that the lines of one run share; the ids of later runs sort later.
        date: when the run began, UTC, ISO 8601.
        name: what was measured (``rows per second``).
        model: what model it was, if any.
        settings: what a person or the bench chose: all that must be equal for two lines to be compared.
        figure: the values.
        ceiling: the best that could be had, if it is known.
        peak_memory: bytes, at most, of what was measured; of a GPU, its memory.
        quality: how good the answers were, by name: ``kl`` (nats), ``wasserstein``, ``top1``, ...
        details: what else was seen.
        where: the machine and the versions.
    """

    format: Literal[1] = 1
    bench: str = Field(min_length=1)
    run: str = Field(min_length=1)
    date: datetime
    name: str = Field(min_length=1)
    model: Model | None = None
    settings: dict[str, JsonValue] = {}
    figure: Figure
    ceiling: Ceiling | None = None
    peak_memory: int | None = Field(default=None, ge=0)
    quality: dict[str, float] | None = None
    details: dict[str, JsonValue] | None = None
    where: Where

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own form, which mypy cannot follow
    @property
    def share(self) -> float | None:
        """The median over the ceiling: up to 1 of a speed, at least 1 of time and memory."""
        return self.figure.median / self.ceiling.value if self.ceiling else None

    @model_validator(mode="before")
    @classmethod
    def _share_is_computed(cls, data: Any) -> Any:
        """The share that a line holds is for other programs; here it is computed again."""
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in data.items() if name != "share"}

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        if self.ceiling and self.ceiling.unit != self.figure.unit:
            raise ValueError(f"the ceiling is in {self.ceiling.unit}, the figure in {self.figure.unit}")
        return self


@dataclass(frozen=True)
class Bench:
    """A run of a bench, from which its lines take what they share.

    Attributes:
        name: of the bench.
        run: the run's id.
        date: when it began.
        where: the machine, and its load before the run.
    """

    name: str
    run: str
    date: datetime
    where: Where

    @classmethod
    def begin(cls, name: str, threads: int | None = None, llama: str | None = None) -> Self:
        """Begin a run; warn on stderr if the machine is busy."""
        here, now = where(threads, llama), datetime.now(UTC).replace(microsecond=0)
        warn_if_busy(here)
        return cls(name, f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}", now, here)

    def measured(
        self, name: str, figure: Figure, *, threads: int | None = None, llama: str | None = None, **facts: Any
    ) -> Measurement:
        """One line of this run.

        Args:
            name: what was measured.
            figure: its values.
            threads: of this line, if the run has no number of them or another.
            llama: llama.cpp's system line, if it was not known when the run began.
            facts: the other fields of ``Measurement``.
        """
        changes = {key: value for key, value in (("threads", threads), ("llama", llama)) if value is not None}
        return Measurement(bench=self.name, run=self.run, date=self.date, name=name, figure=figure,
                           where=self.where.model_copy(update=changes), **facts)  # fmt: skip


def lines(measurements: Iterable[Measurement]) -> str:
    """The measurements as JSON lines, each with its newline."""
    return "".join(one.model_dump_json() + "\n" for one in measurements)


def write(path: Path, measurements: Iterable[Measurement]) -> None:
    """Write a file of measurements, whole or not at all."""
    write_text(path, lines(measurements))


def append(path: Path, measurements: Iterable[Measurement]) -> None:
    """Add measurements to a file, all of them or none; the file is made if need be.

    Raises:
        DataError: it cannot be written, or its last line was cut short.
    """
    content = lines(measurements).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+", buffering=0) as file:
            before = file.seek(0, os.SEEK_END)
            if before and os.pread(file.fileno(), 1, before - 1) != b"\n":
                raise DataError(
                    f"{path}: its last line was cut short; remove that line, or name another file"
                )
            try:
                written = file.write(content)
                if written != len(content):
                    raise OSError(f"only {written} of {len(content)} bytes fit")
            except OSError:
                file.truncate(before)
                raise
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error


def read(path: Path) -> list[Measurement]:
    """The measurements of a file.

    Raises:
        DataError: it cannot be read, or a line is no measurement; with its number.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    return [_line(path, number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _line(path: Path, number: int, line: str) -> Measurement:
    try:
        return Measurement.model_validate_json(line)
    except ValidationError as error:
        raise DataError(f"{path}, line {number}: {_faults(error)}") from error


def _faults(error: ValidationError) -> str:
    """What pydantic found, in one line."""
    found: Sequence[Any] = error.errors(include_url=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'the line'}: {one['msg']}" for one in found)


def schema() -> str:
    """The JSON schema of a line, as text."""
    return json.dumps(Measurement.model_json_schema(mode="serialization"), indent=2) + "\n"
