"""Run a job: check the input, score what is missing, window by window, and put the results in the input's order."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from socrates_fast.console import Console
from socrates_fast.errors import ScoringError
from socrates_fast.infer import load_predictor, trained_prompt
from socrates_fast.infer.predictor import Predictor, Result
from socrates_fast.jobs.check import Checked, check
from socrates_fast.jobs.facts import check_same, identity, is_complete, read_job
from socrates_fast.jobs.follow import Follower
from socrates_fast.jobs.rows import Row, windows
from socrates_fast.jobs.shorten import is_too_long, shortened
from socrates_fast.jobs.source import Source, open_source
from socrates_fast.jobs.store import JOB, PREDICTIONS, Store, clear, locked
from socrates_fast.recipe import PromptOptions
from socrates_fast.runs import environment, sha256_file, write_json

WINDOW = 8192
"""Rows given to the predictor at once: sorted by their tokens, so many share nearly all that they can share."""
WINDOW_ANSWERS = 2**21
"""Allowed answers in a window, at most: what bounds the memory where scales are long."""

OnFault = Literal["refuse", "record"]


@dataclass(frozen=True)
class JobOptions:
    """How a job is run.

    Attributes:
        window: rows given to the predictor at once.
        on_fault: ``refuse`` stops at a row that cannot be scored, ``record`` keeps it without an answer.
        truncate: cut the stimulus of a prompt that is longer than the context from its beginning.
        adapter: a PEFT adapter for a Hugging Face folder.
        settings: of the predictor that change the results (context, deterministic).
        machine: of the predictor that change its speed (threads, gpu_layers, batch).
    """

    window: int = WINDOW
    on_fault: OnFault = "refuse"
    truncate: bool = False
    adapter: Path | None = None
    settings: Mapping[str, Any] | None = None
    machine: Mapping[str, Any] | None = None


def run_job(model: str, data: Path, out: Path, options: JobOptions, console: Console) -> dict[str, Any]:
    """Score every row of ``data`` into ``out/predictions.parquet``; the content of ``out/job.json``.

    The same call goes on where an earlier one was stopped, and does nothing if it was not.

    Args:
        model: as for ``load_predictor``.
        data: see ``open_source``.
        out: the job's folder; new, empty, or of the same job.
        options: how.
        console: where messages and progress go.

    Raises:
        DataError: the input cannot be read, or rows cannot be asked.
        ModelError: the model cannot be used.
        ScoringError: a row cannot be scored, or nothing further can be.
        SocratesError: the folder is another job's, or in use, or cannot be written.
    """
    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own keeps tens of MB of what it frees
    prompt = trained_prompt(model, options.adapter)
    source = open_source(data, prompt.fields)
    console.say(f"reading {data} ...")
    checked = check(source)
    if note := source.note():
        console.say(f"note: {note}")
    if options.on_fault == "refuse":
        checked.refuse_faults()
    settings = {**(options.settings or {}), "truncate": options.truncate}
    if settings.get("deterministic"):  # the last bits may depend on these as well
        settings |= options.machine or {}
    facts = identity(source, model, options.adapter, prompt.model_dump(mode="json"), settings)
    with locked(out):
        there = read_job(out)
        if there:
            check_same(out, there["job"], facts)
            if is_complete(out, there):
                clear(out)  # what a process that was killed at its very end left
                console.say(f"{out / PREDICTIONS}: complete and unchanged; nothing to do")
                return there
        return _Job(model, source, checked, out, prompt, options, facts, console).run()


class _Job:
    """A job whose folder is held and is its own."""

    def __init__(
        self,
        model: str,
        source: Source,
        checked: Checked,
        out: Path,
        prompt: PromptOptions,
        options: JobOptions,
        facts: dict[str, Any],
        console: Console,
    ) -> None:
        self._model, self._source, self._checked, self._out = model, source, checked, out
        self._prompt, self._options, self._console = prompt, options, console
        self._document: dict[str, Any] = {
            "job": facts,
            "machine": dict(options.machine or {}),
            "environment": environment(),
            "window": options.window,
            "rows": checked.rows,
        }

    def run(self) -> dict[str, Any]:
        """Score what is missing, merge, close."""
        rows = self._checked.rows
        store = Store(self._out, rows, self._checked.keys)
        self._refuse_recorded(store)
        left = int(store.missing.sum())
        if left < rows:
            self._console.say(f"{rows - left:,} of {rows:,} rows are done already")
        work: dict[str, Any] = {}
        if left:
            follower = Follower(self._model)
            with (
                self._load(follower) as predictor,
                self._console.rows("predict", rows, rows - left) as self._bar,
            ):
                follower.to(self._bar)
                write_json(self._out / JOB, self._document)
                self._score(predictor, store)
            for note in predictor.notes:
                self._console.say(f"note: {note}")
            work = {"rows": left, **self._bar.figures()}
        return self._close(store, work)

    def _load(self, follower: Follower) -> Predictor:
        settings = {**(self._options.machine or {}), **(self._options.settings or {}), **follower.settings}
        if Path(self._model).is_file():
            settings["probe"] = True
        if self._options.adapter is not None:
            settings["adapter"] = self._options.adapter
        return load_predictor(self._model, **settings)

    def _refuse_recorded(self, store: Store) -> None:
        fault = store.recorded_fault() if self._options.on_fault == "refuse" else ""
        if fault:
            raise ScoringError(
                f"{self._out}: an earlier start recorded rows without an answer (the first: {fault}); "
                "go on with --on-fault record, or name another folder with --out"
            )

    # --- scoring ----------------------------------------------------------------------------------------

    def _score(self, predictor: Predictor, store: Store) -> None:
        """Score the missing rows; whatever stops it, what was known by then is on disk."""
        try:
            self._try_longest(predictor, store)
            for window in windows(self._source, store.missing, self._options.window, WINDOW_ANSWERS):
                self._score_window(predictor, window, store)
                store.settle()
        except ScoringError as error:
            raise ScoringError(
                f"{error}\nwhat was done is kept; the same command goes on from there"
            ) from error
        finally:
            store.flush()

    def _try_longest(self, predictor: Predictor, store: Store) -> None:
        """Better refused now than after hours: the row that is most likely to be too long is asked first."""
        row = self._checked.longest
        if (
            row is None
            or self._options.on_fault == "record"
            or self._options.truncate
            or not store.missing.all()
        ):
            return
        for _, result in predictor.stream([row.prompt(self._prompt)]):
            if isinstance(result, ScoringError):
                self._refuse(row, result)

    def _score_window(self, predictor: Predictor, window: list[Row], store: Store) -> None:
        for row in window:
            if row.fault:
                store.add(row, row.fault)
        askable = [row for row in window if not row.fault]
        self._bar.reach(len(window) - len(askable))
        long = []
        for row, result in self._ask(predictor, askable):
            if isinstance(result, ScoringError) and self._options.truncate and is_too_long(result):
                long.append((row, row, result))
            else:
                self._keep(store, row, result, 0)
        while long:
            long = self._ask_shorter(predictor, long, store)

    def _ask_shorter(
        self, predictor: Predictor, long: Sequence[tuple[Row, Row, ScoringError]], store: Store
    ) -> list[tuple[Row, Row, ScoringError]]:
        """Ask rows again with less of their stimulus: as they are, as they were asked, and what was said to that."""
        whole: dict[int, Row] = {}
        shorter = []
        for row, asked, error in long:
            less = shortened(asked, len(asked.prompt(self._prompt).user), error)
            if less is None:
                self._keep(store, row, error, 0)
            else:
                whole[row.number] = row
                shorter.append(less)
        again = []
        for asked, result in self._ask(predictor, shorter):
            row = whole[asked.number]
            if isinstance(result, ScoringError) and is_too_long(result):
                again.append((row, asked, result))
            else:
                self._keep(store, row, result, len(row.stimulus) - len(asked.stimulus))
        return again

    def _ask(self, predictor: Predictor, rows: Sequence[Row]) -> Iterator[tuple[Row, Result]]:
        """Each row and its result, once."""
        self._bar.next_window()
        self._known = 0
        left = set(range(len(rows)))
        for number, result in predictor.stream([row.prompt(self._prompt) for row in rows]) if rows else ():
            if number not in left:
                raise ScoringError(f"{predictor.name} gave a result twice, or for a prompt that is none")
            left.remove(number)
            yield rows[number], result
        if left:
            raise ScoringError(f"{predictor.name} gave no result for {len(left)} of {len(rows)} prompts")

    def _keep(self, store: Store, row: Row, result: Result, cut: int) -> None:
        if not isinstance(result, ScoringError):
            store.add(row, result, cut)
        elif self._options.on_fault == "refuse":
            self._refuse(row, result)
        else:
            store.add(row, without_number(result), cut)
        self._known += 1
        self._bar.reach(self._known)

    def _refuse(self, row: Row, error: ScoringError) -> None:
        ways = "--truncate cuts its stimulus, " if is_too_long(error) and not self._options.truncate else ""
        raise ScoringError(
            f"{row.place}: {without_number(error)} ({ways}--on-fault record keeps such rows without an answer)"
        )

    # --- the end ----------------------------------------------------------------------------------------

    def _close(self, store: Store, work: dict[str, Any]) -> dict[str, Any]:
        merged = store.merge()
        path = self._out / PREDICTIONS
        self._document |= {
            "faults": dict(merged.faults),
            "truncated": merged.truncated,
            "last_start": work,
            "predictions": {"bytes": path.stat().st_size, "sha256": sha256_file(path)},
        }
        write_json(self._out / JOB, self._document)
        clear(self._out)
        for kind, count in merged.faults.items():
            self._console.say(f"{count:,} rows without an answer: {kind}")
        if merged.truncated:
            self._console.say(f"{merged.truncated:,} rows with a stimulus that was cut (column truncated)")
        return self._document


def without_number(error: ScoringError) -> str:
    """What is wrong with a prompt, without its number among those that were asked together."""
    return re.sub(r"^prompt \d+(?: of \d+)?: ", "", str(error))
