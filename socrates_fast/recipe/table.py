"""Recipe options: how a table with one line a person is read."""

from string import Formatter
from typing import Self

from pydantic import Field, model_validator

from socrates_fast.recipe.section import Section


class PersonaColumn(Section):
    """Where one persona field comes from."""

    column: str
    """Column of the file."""
    recode: dict[str, str | None] = Field({})
    """Cell text to persona text; null leaves the field out. A text that is not listed stays as it is."""


class Answers(Section):
    """How the answer cells are read."""

    column: str
    """Column of the answer; ``{n}`` stands for the number of the repetition."""
    low: int
    """Smallest allowed answer, after recoding."""
    high: int
    """Largest allowed answer, after recoding."""
    recode: dict[int, int] = Field({})
    """Code in the file to answer, where they differ. If given, a code that is not listed is off the scale."""
    missing: tuple[str, ...] = ("",)
    """Cell texts that mean "no answer"; such rows are counted and left out."""

    @model_validator(mode="after")
    def _scale_has_room(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        return self


class Table(Section):
    """How a wide table (one line a person) is read."""

    study: str
    """Name that the study gets."""
    label_rows: int = Field(0, ge=0)
    """Lines below the header that hold labels, not people (Qualtrics: 2; SPSS and Stata files: 0)."""
    encoding: str = "utf-8-sig"
    """Text encoding of the file; of an SPSS or Stata file only if it is not this default and the file does not say."""
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    """Character between the cells; null: comma, semicolon, tab or |, whichever finds the columns in the header."""
    value_labels: bool = False
    """SPSS, Stata: persona and variables get the texts that the file gives for its codes; answers stay codes."""
    participant: str | None = None
    """Column that identifies a person; without it a person is a line."""
    persona: dict[str, PersonaColumn]
    """Persona field to its column."""
    repetitions: int = Field(1, ge=1)
    """Each line holds questions 1..n; ``{n}`` in a column name stands for the number."""
    variables: dict[str, str] = Field({})
    """Name in the stimulus template to the column that fills it; ``{n}`` allowed in the column."""
    lists: dict[str, tuple[str, ...]] = Field({})
    """Name in the stimulus template to the texts that fill it, one for each repetition."""
    stimulus: str
    """Template of the stimulus; ``{name}`` is filled from ``variables`` and ``lists``."""
    condition: tuple[str, ...] = ()
    """Variables whose combination makes the condition."""
    answers: Answers
    """The answers."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        columns = [self.answers.column, *self.variables.values()]
        for column in columns:
            if set(_placeholders(column)) - {"n"}:
                raise ValueError(f"column {column!r}: only {{n}} can stand in a column's name")
        if self.repetitions > 1 and "n" not in _placeholders(self.answers.column):
            raise ValueError(
                f"answers.column is {self.answers.column!r} for all {self.repetitions} repetitions; "
                f"put {{n}} in it"
            )
        names = [*self.variables, *self.lists, "n"]
        if len(names) != len(set(names)):
            raise ValueError("a name stands twice in variables and lists, or is n, which is the number")
        for name in _placeholders(self.stimulus):
            if name not in names:
                raise ValueError(f"stimulus: {{{name}}} is in neither variables nor lists")
        for name, texts in self.lists.items():
            if len(texts) != self.repetitions:
                raise ValueError(f"lists.{name} has {len(texts)} texts for {self.repetitions} repetitions")
        unknown = [name for name in self.condition if name not in self.variables]
        if unknown:
            raise ValueError(f"condition names {', '.join(unknown)}, which variables does not define")
        return self


def _placeholders(template: str) -> list[str]:
    """Names in braces of a template; a template that Python cannot fill is a ValueError."""
    parts = Formatter().parse(template)
    return [name for _, name, _, _ in parts if name is not None]
