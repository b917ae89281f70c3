"""Recipe options: where the answers come from and what becomes of them."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from socrates_fast.recipe.section import Section
from socrates_fast.recipe.table import Table


class Synthetic(Section):
    """A made-up survey whose true answer distributions are known."""

    studies: int = Field(6, ge=1)
    """Number of studies."""
    people: int = Field(120, ge=2)
    """Respondents per study."""
    tasks: int = Field(3, ge=1, le=5)
    """Tasks (outcomes) that every respondent answers."""
    seed: int = 11
    """Seed of everything: study texts, arm effects, people, answers."""


class SocSci210(Section):
    """The dataset of the SOCRATES paper (arXiv 2509.05830) on the Hugging Face Hub."""

    repository: str = "socratesft/SocSci210"
    """Id of the dataset."""
    revision: str = "048481111a4425ed83dc0eacf15f8431f252b21a"
    """Commit, so that a run can be repeated."""
    studies: tuple[str, ...] | None = None
    """Only these studies; null takes all 210."""


class ScaleOverride(Section):
    """A scale that is declared instead of read from the stimulus."""

    study: str
    """Study that it holds for."""
    condition: int | None = None
    """Condition number; null: all of the study."""
    task: int | None = None
    """Task number; null: all of the study."""
    scale: str
    """``1-7``, ``1,2,4``, ``1=Yes, 2=No``, or ``open``."""


class Split(Section):
    """Which rows train, which validate, which test: by hash, so that adding rows never reshuffles the others."""

    by: Literal["participant", "random", "condition", "task", "study", "mapping"] = "participant"
    """What stays whole: people, arms, outcomes or studies; ``random`` splits rows and leaks; ``mapping`` reads a file."""
    mapping: str | None = None
    """The authors' ``participant_mapping``, ``condition_mapping`` or ``task_mapping`` (source socsci210), or a JSON file."""
    validation: float = Field(0.05, ge=0, lt=1)
    """Share of the groups whose answers steer training; with a mapping, share of the people on its training side."""
    test: float = Field(0.2, gt=0, lt=1)
    """Share of the groups whose answers are kept for the evaluation; a mapping says itself."""
    seed: int = 7
    """Seed of the split; a group's side depends on nothing but this seed and what it is."""
    near_duplicates: float | None = Field(0.8, gt=0, le=1)
    """Jaccard similarity from which stimuli on two sides are named; null: not looked for."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("validation + test must leave groups to train on (be below 1)")
        if (self.by == "mapping") != (self.mapping is not None):
            raise ValueError("by: mapping and mapping: FILE go together; one of them is missing")
        return self


Fate = Literal["drop", "keep", "refuse"]
"""What becomes of a doubtful row: left out and counted, kept and counted, or an error."""


class Data(Section):
    """Where the answers come from and what becomes of them."""

    source: Literal["synthetic", "socsci210", "files", "table"] = "files"
    """``synthetic``: made up; ``socsci210``: from the Hub; ``files``: parquet, JSONL or CSV in its columns; ``table``: one line a person."""
    path: Path | None = None
    """File or folder of the source, relative to the folder where the command is run."""
    synthetic: Synthetic = Synthetic()
    """The made-up survey."""
    socsci210: SocSci210 = SocSci210()
    """The dataset on the Hub."""
    table: Table | None = None
    """How the table is read."""
    scales: tuple[ScaleOverride, ...] = ()
    """Scales that are declared; the narrowest that fits a cell counts, the last of equally narrow ones."""
    off_scale: Fate = "drop"
    """What becomes of an answer outside its scale (kept ones train, and are never scored)."""
    missing_codes: tuple[int, ...] = (
        -9,
        -8,
        -7,
        -6,
        -5,
        -4,
        -3,
        -2,
        -1,
        77,
        88,
        97,
        98,
        99,
        998,
        999,
        9998,
        9999,
        99999,
    )
    """Answers off their scale that are counted as missing-value codes by name; dealt with as ``off_scale`` says."""
    duplicates: Fate = "drop"
    """What becomes of a row that repeats an earlier one: the same id, or the same person, cell, stimulus and answer."""
    unread: Literal["drop", "refuse"] = "drop"
    """What becomes of a row whose scale cannot be read from its stimulus."""
    open: Literal["drop", "keep"] = "drop"
    """What becomes of open questions (an amount without a range); kept ones train, and are not in the metrics."""
    share: float = Field(1.0, gt=0, le=1)
    """Share of each study's training people whose answers train, chosen by hash; a larger share holds a smaller one."""
    max_rows_per_cell: int | None = Field(None, ge=1)
    """Most training rows of a cell, chosen by hash; null takes all."""
    max_train_rows: int | None = Field(None, ge=1)
    """Most training rows (chosen by hash, so that the choice is stable); null takes all."""
    pairs: bool = False
    """Also write preference pairs for DPO: the same prompt, the own answer and another's of the same cell."""
    reasoning: bool = False
    """Keep the source's reasoning column, for recipes that train on it; it was written knowing the answer."""
    split: Split = Split()
    """The split."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.source == "table" and self.table is None:
            raise ValueError("source is table, but data.table is missing")
        if self.source in ("files", "table") and self.path is None:
            raise ValueError(f"source is {self.source}, but data.path is missing")
        return self
