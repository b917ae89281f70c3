"""A run from recipe to report: data -> base -> train -> export -> evaluate.

Each stage is skipped if the manifest says that it is complete and that nothing it depends on has changed, so the
same command resumes where it stopped.
"""

import fcntl
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import polars as pl

from socrates_fast import __version__, recipes
from socrates_fast.actions import Known, evaluate_model, export_files, read_metrics, reasons
from socrates_fast.base import resolve_base
from socrates_fast.console import Console
from socrates_fast.curves.history import History
from socrates_fast.data.facts import Facts
from socrates_fast.data.pairs import pairs
from socrates_fast.data.prepare import FACTS, PAIRS, rows_key, write_card, write_rows
from socrates_fast.data.prepared import after_reasoning, prompts_of, scorable
from socrates_fast.data.splits import sample_rows
from socrates_fast.errors import ModelError, SocratesError
from socrates_fast.evaluate.training import Training
from socrates_fast.judge import judge_by
from socrates_fast.prompt import Prompt
from socrates_fast.recipe import PromptOptions, Recipe
from socrates_fast.release import refresh_card, run_facts
from socrates_fast.runs import LOG, environment, fingerprint, sha256_file, write_json, write_text
from socrates_fast.tokenizer import FolderTokenizer
from socrates_fast.train.distributed import ALONE, World
from socrates_fast.train.start import start_of

if TYPE_CHECKING:
    from socrates_export.proof.comparison import Judge
    from socrates_fast.train.progress import Told


@dataclass(frozen=True)
class Evaluated:
    """An evaluation of one model of a run: its folder and what ``metrics.json`` holds."""

    name: str
    folder: Path
    metrics: Mapping[str, Any]


class Pipeline:
    """The stages of one recipe in one run folder.

    Args:
        recipe: what to do.
        folder: the run's folder; made if it is not there.
        console: where progress goes.
        usd_per_hour: price of the machine, to tell what training costs; None tells no cost.
        world: the processes that train together. All but the first only train.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        console: Console,
        usd_per_hour: float | None = None,
        world: World = ALONE,
    ) -> None:
        self.recipe = recipe
        self.console = console
        self.usd_per_hour = usd_per_hour
        self.world = world
        self._trained = False
        self.run = world.run(folder)

    @contextmanager
    def locked(self, record: bool = True) -> Iterator[None]:
        """Hold the run's folder alone; clear what a killed process left; ``record`` recipe and versions in it.

        Of processes that train together the first holds it for all.

        Raises:
            SocratesError: another process works in the folder.
        """
        with (self.run.folder / ".lock").open("a") as file:
            self.world.once(lambda: self._hold(file, record))
            yield

    def _hold(self, file: IO[str], record: bool) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SocratesError(
                f"{self.run.folder}: another socrates-fast works in this folder; "
                f"wait for it or name another with --out"
            ) from error
        self.run.sweep()
        if record:
            write_text(self.run.folder / "recipe.yaml", recipes.dump(self.recipe))
            write_json(self.run.folder / "environment.json", environment())

    def _stage(self, name: str, key: str, work: Callable[[], list[Path]]) -> None:
        """Do ``work``, which returns the files it wrote, unless ``name`` is complete with this ``key``."""
        if self.run.is_complete(name, key):
            self.console.say(f"{name}: already done")
            return
        again = " (what it depends on has changed)" if name in self.run.manifest else ""
        self.console.say(f"{name} ...{again}")
        started = time.monotonic()
        files = work()
        seconds = time.monotonic() - started
        self.run.close(name, key, files, seconds)
        self.run.log("stage", stage=name, seconds=round(seconds, 3))
        self.console.say(f"{name}: done in {seconds:.1f} s")

    # --- data -------------------------------------------------------------------------------------------

    @cached_property
    def _data_key(self) -> str:
        return rows_key(self.recipe.data)

    @cached_property
    def data(self) -> Path:
        """The prepared folder."""
        folder = self.run.folder / "data"
        if not self.world.first:  # the first process has prepared it before the others come here
            return self.world.seen(folder / "train.parquet").parent

        def work() -> list[Path]:
            with self.console.steps("preparing") as advance:
                return write_rows(self.recipe, folder, self.console.say, advance)

        self._stage("data", self._data_key, work)
        return folder

    def rows(self, side: str) -> pl.DataFrame:
        """Prepared rows of ``side`` (train, validation, test)."""
        return pl.read_parquet(self.data / f"{side}.parquet")

    # --- train ------------------------------------------------------------------------------------------

    @cached_property
    def base(self) -> Path:
        """The base model's folder, which the exporter can read: better to know before hours of training.

        Raises:
            ModelError: no safetensors, damaged ones, or an architecture that cannot be exported.
        """
        from socrates_export.source.base import open_base

        folder = resolve_base(self.recipe.model, self.console)
        open_base(folder)
        return folder

    @cached_property
    def _train_key(self) -> str:
        recipe = self.recipe
        told = recipe.train.model_dump(exclude={"report_to", "save_minutes"})  # they change no number
        before = start_of(recipe, self.run)
        parts = [
            self._data_key,
            self._base_facts,
            recipe.model.model_dump(),
            recipe.prompt.model_dump(),
            told,
        ]
        return fingerprint([*parts, before] if before else parts)

    @cached_property
    def _base_facts(self) -> dict[str, Any]:
        """What identifies the base: small files by content, weights by size and time of change."""
        facts: dict[str, Any] = {}
        for path in sorted(self.base.iterdir()):
            if path.suffix == ".safetensors":
                status = path.stat()  # hashing 28 GB at every start would take a minute
                facts[path.name] = [status.st_size, status.st_mtime_ns]
            elif path.suffix in (".json", ".jinja", ".model"):
                facts[path.name] = sha256_file(path)
        return facts

    def train(self) -> Path:
        """The adapter's folder. Processes that train together all call this; the first does what is done once."""
        if self._trained:
            return self.run.folder / "adapter"
        key, done = self.world.once(self._ready)
        if self.world.first:
            self._stage("train", key, lambda: self._train(key))
        elif not done:
            self._train(key)
        return self.run.folder / "adapter"

    def _ready(self) -> tuple[str, bool]:
        """The training's key, and whether it is done. Data and base must be fit before hours of training."""
        data, base = self.data, self.base
        write_card(self.recipe, data, FolderTokenizer(base).renderer(), self.console.say)
        return self._train_key, self.run.is_complete("train", self._train_key)

    def _train(self, key: str) -> list[Path]:
        """The files of the adapter."""
        base = self.world.on_each_node(lambda: self.base)
        from socrates_fast.train.sft import train

        sides = self._training_rows()
        told = self._told(bool(len(sides["validation"])))
        # Unsloth and TRL print to stdout, which belongs to the command's own output.
        with (
            redirect_stdout(sys.stderr),
            self.world.quiet(),
            self.console.steps("training", own_time=True) as progress,
        ):
            result = train(
                self.recipe, base, sides, self.run, key,
                lambda step, steps, logs: progress(step, steps, told(step, steps, logs)), self.console.say, self.world,
            )  # fmt: skip
        facts = {k: v for k, v in vars(result).items() if k != "adapter"}
        self.console.say(told.end())
        self.run.log("trained", **facts, **told.cost())
        return [path for path in result.adapter.rglob("*") if path.is_file()]

    def goes_on(self) -> bool:
        """Whether this process is needed after training: of several all train, and the first goes on alone."""
        if self.world.size == 1:
            return True
        self.train()
        world, self.world, self._trained = self.world, ALONE, True
        world.leave()
        return world.first

    def _training_rows(self) -> dict[str, pl.DataFrame]:
        """What is trained on, and what validation losses are over: rows, or pairs of answers for DPO."""
        train, validation = self.rows("train"), self.rows("validation")
        if self.recipe.train.objective == "dpo":
            seed = self.recipe.data.split.seed
            return {"train": pl.read_parquet(self.data / PAIRS), "validation": pairs(validation, seed)}
        return {"train": train, "validation": validation}

    def _told(self, validated: bool) -> "Told":
        """What is said while it trains; a resumed training has cost something before."""
        from socrates_fast.train.progress import Pace, Told

        before = History.read(self.run.folder / LOG).seconds
        pace = Pace(self.recipe.train.eval_steps if validated else None)
        return Told(pace, self.usd_per_hour, before)

    def check_trained(self) -> None:
        """Refuse to go on from an adapter that another recipe, base or data made.

        Raises:
            ModelError: it is not this recipe's adapter.
        """
        if not self.run.is_complete("train", self._train_key):
            raise ModelError(
                f"{self.run.folder}: recipe.yaml is not what trained the adapter there (recipe, data or base "
                f"have changed, or training was stopped); run socrates-fast train on it first"
            )

    # --- export -----------------------------------------------------------------------------------------

    @cached_property
    def _export_key(self) -> str:
        return fingerprint([self._train_key, self.recipe.name, self.recipe.export.model_dump()])

    def export(self) -> Path:
        """The folder of the run's GGUF files."""
        folder = self.run.folder / "gguf"
        adapter = self.train()
        self._stage("export", self._export_key, lambda: self._export(folder, self.recipe.name, adapter))
        return folder

    def export_base(self) -> Path:
        """The folder of the base model's GGUF, exported in the same way."""
        folder = self.run.folder / "gguf" / "base"
        only = (self.recipe.evaluate.quantisation,)
        parts = [self.recipe.export.model_dump(), self.recipe.prompt.model_dump(), only]
        key = fingerprint([__version__, self._base_facts, self._data_key, *parts])
        self._stage("export base", key, lambda: self._export(folder, "base", None, only))
        return folder

    def _export(
        self, folder: Path, name: str, adapter: Path | None, only: tuple[str, ...] | None = None
    ) -> list[Path]:
        options = self.recipe.export
        if only:
            options = options.model_copy(update={"quantisations": only, "lora": False})
        return export_files(
            self.base, adapter, folder, name, options, self.gate_prompts(), self._prompt(bool(adapter)), self.console,
            self.calibration_prompts(), self.judge(), run_facts(self),
        )  # fmt: skip

    def _prompt(self, tuned: bool) -> PromptOptions:
        """How the fine-tuned model is asked, or the base, which never learnt to reason and then answer."""
        shown = self.recipe.prompt
        return shown if tuned else shown.model_copy(update={"reasoning": False})

    def calibration_prompts(self) -> list[Prompt]:
        """The training prompts that an importance matrix is collected on; none if none is to be collected."""
        if self.recipe.export.imatrix != "auto":
            return []
        options = self.recipe
        rows = sample_rows(self.rows("train"), options.export.calibration, options.data.split.seed)
        rows = scorable(rows)
        return after_reasoning(prompts_of(rows, self.recipe.prompt), rows)

    def gate_prompts(self) -> list[Prompt]:
        """The prompts on which an export is compared with the trained model."""
        return after_reasoning(prompts_of(self._gate_rows, self.recipe.prompt), self._gate_rows)

    def judge(self) -> "Judge":
        """The evaluation's figures on those prompts."""
        return judge_by(self._gate_rows)

    @cached_property
    def _gate_rows(self) -> pl.DataFrame:
        rows = self.rows("validation")
        rows = rows if len(rows) else self.rows("train")
        parity = self.recipe.export.parity
        return scorable(sample_rows(rows, max(parity.prompts, parity.answers), self.recipe.data.split.seed))

    # --- evaluate ---------------------------------------------------------------------------------------

    def evaluate(self) -> list[Evaluated]:
        """Evaluations of the fine-tuned model and, if the recipe says so, of the base model."""
        self.export()
        before: list[Evaluated] = []
        if self.recipe.evaluate.base:  # first: the fine-tuned model is shown beside it
            before = [self._evaluated("evaluate base", "base", self.base_file, "evaluation/base")]
        tuned = self._evaluated("evaluate", "fine-tuned", self.model_file, "evaluation")
        refresh_card(self)
        return [tuned, *before]

    @property
    def model_file(self) -> Path:
        """The GGUF that is evaluated."""
        name = f"{self.recipe.name}-{self.recipe.evaluate.quantisation}.gguf"
        return self.run.folder / "gguf" / name

    @property
    def base_file(self) -> Path:
        """The base model's GGUF, made if it is not there."""
        return self.export_base() / f"base-{self.recipe.evaluate.quantisation}.gguf"

    def evaluation_key(self, model: Path) -> str:
        """What an evaluation of ``model`` depends on."""
        options = [self.recipe.name, self.recipe.evaluate.model_dump(), self.recipe.prompt.model_dump()]
        beside = self._base_facts if self.recipe.evaluate.base else None
        return fingerprint([self._data_key, sha256_file(model), options, beside, __version__])

    def _evaluated(self, stage: str, name: str, model: Path, folder: str) -> Evaluated:
        out = self.run.folder / folder

        def work() -> list[Path]:
            recipe = self.recipe
            rows = sample_rows(scorable(self.rows("test")), recipe.evaluate.limit, recipe.data.split.seed)
            details = {"dropped": self._dropped(), "recipe": recipe.model_dump(mode="json")}
            tuned = name != "base"
            known = Known(Training(self.data / "train.parquet", recipe.data.split.by), tuned)
            if tuned:
                known = replace(known, history=History.read(self.run.folder / LOG))
            if tuned and recipe.evaluate.base:
                known = replace(known, base=self.run.folder / "evaluation" / "base" / "predictions.parquet")
            return evaluate_model(str(model), rows, out, recipe.evaluate, self._prompt(tuned), f"{recipe.name}: {name}",
                                  details, self.console, known)  # fmt: skip

        self._stage(stage, self.evaluation_key(model), work)
        return Evaluated(name, out, read_metrics(out))

    def _dropped(self) -> dict[str, int]:
        """Rows left out, by reason."""
        return reasons(Facts.read(self.data / FACTS).dropped)
