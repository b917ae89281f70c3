"""What the command's verbs share: export files, evaluate a model, read an evaluation back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from socrates_fast import recipes
from socrates_fast.console import Console
from socrates_fast.data.prepared import prompts_of, read_prepared
from socrates_fast.data.splits import sample_rows
from socrates_fast.errors import DataError, ModelError
from socrates_fast.infer import trained_prompt
from socrates_fast.prompt import Prompt
from socrates_fast.recipe import Evaluate, Export, PromptOptions
from socrates_fast.release import run_facts
from socrates_fast.runs import fingerprint, sha256_file

if TYPE_CHECKING:
    from socrates_export.proof.comparison import Judge
    from socrates_export.release.facts import RunFacts
    from socrates_fast.curves.history import History
    from socrates_fast.evaluate.run import Setting
    from socrates_fast.evaluate.training import Training


def export_files(
    base: Path,
    adapter: Path | None,
    out: Path,
    name: str,
    options: Export,
    prompts: Sequence[Prompt],
    prompt: PromptOptions | None,
    console: Console,
    calibration: Sequence[Prompt] = (),
    judge: "Judge | None" = None,
    run: "RunFacts | None" = None,
) -> list[Path]:
    """Export and check; returns all files written, with what goes with them (see ``socrates_export.release``).

    Args:
        prompts: what the exported files are compared on.
        prompt: what the model was trained with, which the files will carry; None if that is not known.
        calibration: what an importance matrix is collected on, if one is asked for.
        judge: the evaluation's figures on ``prompts``, where people's answers to them are known (``judge_by``).
        run: what is known of the training, for the model card.
    """
    from socrates_export.command import export
    from socrates_export.making import Making
    from socrates_export.release.facts import RunFacts

    result = export(
        base, adapter, out, options.quantisations, name, options.parity, prompts,
        progress=console.say, options=prompt, judge=judge,
        making=Making(options.merge_base, options.imatrix, calibration, f"prompts of {name}", options.lora),
        run=run or RunFacts(),
    )  # fmt: skip
    return result.delivered


@dataclass(frozen=True)
class Known:
    """What is known of a model besides its file.

    Attributes:
        training: the training side of the data, from which baselines learn.
        fine_tuned: it was trained on those rows, so that its figures on the same people mean nothing.
        base: predictions.parquet of the model before fine-tuning, for the same rows.
        history: how its training went, for the report.
    """

    training: "Training | None" = None
    fine_tuned: bool = False
    base: Path | None = None
    history: "History | None" = None


def evaluate_model(
    model: str,
    rows: pl.DataFrame,
    out: Path,
    options: Evaluate,
    prompt: PromptOptions,
    title: str,
    details: Mapping[str, Any],
    console: Console,
    known: Known,
    more: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Score ``rows`` with a predictor and write its evaluation to ``out``.

    Args:
        model: as for ``load_predictor``, or a file of predictions (``.parquet``), which is evaluated as it is.
        known: what stands beside the figures.
        more: settings of the predictor that no recipe has (adapter, draws).
    """
    from socrates_fast.evaluate.run import evaluate, evaluate_predictions
    from socrates_fast.infer import load_predictor
    from socrates_fast.jobs.follow import Follower

    if Path(model).is_file():
        details = {**details, "model": {"file": Path(model).name, "sha256": sha256_file(Path(model))}}
    setting = _setting(rows, options, title, details, known)
    if Path(model).suffix == ".parquet":
        return list(evaluate_predictions(rows, Path(model), out, Path(model).stem, setting).files)
    settings = options.model_dump(
        include={"context", "batch", "threads", "gpu_layers", "deterministic", "reasonings"}
    )
    settings |= {"probe": True}
    follower = Follower(model)
    with load_predictor(model, **settings, **(more or {}), **follower.settings) as predictor:
        result = evaluate(
            predictor, rows, lambda part: prompts_of(part, prompt), out, setting, console=console, follow=follower.to,
        )  # fmt: skip
        for note in predictor.notes:
            console.say(f"note: {note}")
    return list(result.files)


def _setting(
    rows: pl.DataFrame, options: Evaluate, title: str, details: Mapping[str, Any], known: Known
) -> "Setting":
    from socrates_fast.evaluate.predictions import Stored
    from socrates_fast.evaluate.run import Setting
    from socrates_fast.evaluate.summary import Beside

    training = known.training
    beside = Beside(
        training=training.answers(options.groups) if training else None,
        base=Stored(known.base) if known.base else None,
        min_people=options.min_people,
        facts={"seen_in_training": training.seen(rows)} if training and known.fine_tuned else {},
    )
    return Setting(title, details, options.groups, beside, history=known.history)


def read_metrics(folder: Path) -> dict[str, Any]:
    """``metrics.json`` of an evaluation's folder.

    Raises:
        DataError: it is not there or not JSON.
    """
    path = folder / "metrics.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: no evaluation there ({error})") from error


def evaluate_data(
    model: str,
    data: Path,
    out: Path | None,
    limit: int | None,
    settings: Mapping[str, Any],
    adapter: Path | None = None,
    base: Path | None = None,
    quiet: bool = False,
) -> tuple[Path, dict[str, Any]]:
    """Evaluate a model on a prepared folder or a file; the folder written and its metrics.

    Args:
        model: as for ``load_predictor``.
        data: see ``read_prepared``.
        out: folder to write to; None for one below ``runs``, named after both.
        limit: most rows, chosen by hash.
        settings: of the predictor, those of a recipe's ``evaluate`` among them.
        adapter: for a Hugging Face folder.
        base: the evaluation's folder of the model before fine-tuning, on the same rows.
        quiet: show no progress.

    Raises:
        DataError, ModelError, ScoringError: see ``read_prepared`` and ``load_predictor``.
        RecipeError: an option is out of its range.
    """
    known = {name: value for name, value in settings.items() if name in Evaluate.model_fields}
    more = {name: value for name, value in settings.items() if name not in known}
    _check_base(base)
    console = Console(quiet)
    run = run_of(data) or run_of(adapter or Path(model))
    if run and "min_people" not in known:  # its cells are as small as its recipe says
        known["min_people"] = recipes.load(str(run / "recipe.yaml")).evaluate.min_people
        console.say(f"cells of at least {known['min_people']} people count (evaluate.min_people of {run})")
    options = recipes.section(Evaluate, limit=limit, **known)
    stored = Path(model).suffix == ".parquet"  # predictions: nothing is asked
    prompt = PromptOptions() if stored else trained_prompt(model, adapter)
    prepared = read_prepared(data)
    if not prepared.dropped.is_empty():
        console.say(f"{data}: {prepared.dropped['rows'].sum()} rows cannot be scored:\n{prepared.faults()}")
    rows = sample_rows(prepared.rows, limit, seed=0)
    if stored:  # nothing is asked, so texts can go
        rows = rows.drop("stimuli")
    which = fingerprint(
        [str(Path(model).resolve()), str(data.resolve()), *([str(adapter)] if adapter else [])]
    )[:8]  # file names recur over runs
    folder = out or Path("runs") / f"{Path(model).stem}-on-{data.stem}-{which}"
    details = {
        "data": str(data),
        "prompt": prompt.model_dump(mode="json"),
        "dropped": reasons(prepared.dropped),
    }
    company = known_of(adapter or Path(model), data, base)
    evaluate_model(
        model, rows, folder, options, prompt, f"{Path(model).name} on {data}", details, console, company,
        {**more, **({"adapter": adapter} if adapter else {})},
    )  # fmt: skip
    return folder, read_metrics(folder)


def _check_base(base: Path | None) -> None:
    if base and not (base / "predictions.parquet").is_file():
        raise DataError(
            f"--base {base}: no evaluation there; name the folder that evaluate wrote of the base model (evaluate "
            f"BASE.gguf DATA --out {base.with_suffix('') if base.is_file() else base})"
        )


def reasons(dropped: pl.DataFrame) -> dict[str, int]:
    """Rows that were left out, by reason."""
    counts = dropped.group_by("reason", maintain_order=True).agg(pl.col("rows").sum())
    return {str(reason): int(rows) for reason, rows in counts.iter_rows()}


def run_of(model: Path) -> Path | None:
    """The folder of the run whose file or adapter a model is; None if it is no run's."""
    for folder in list(model.absolute().parents)[:3]:
        if (folder / "data" / "train.parquet").is_file() and (folder / "recipe.yaml").is_file():
            return folder
    return None


def known_of(model: Path, data: Path, base: Path | None) -> Known:
    """What is known of a model: the run whose file or adapter it is, else only the training side of ``data``.

    Args:
        model: its file, or its adapter's folder.
        data: a prepared folder, or a file.
        base: the folder of the evaluation of the model before fine-tuning.

    Raises:
        RecipeError: the run's recipe is not understood.
    """
    from socrates_fast.evaluate.training import Training

    before = base / "predictions.parquet" if base else None
    if run := run_of(model):
        tuned = "base" not in model.absolute().relative_to(run).parts
        by = recipes.load(str(run / "recipe.yaml")).data.split.by
        return Known(Training(run / "data" / "train.parquet", by), tuned, before)
    train = data / "train.parquet"
    return Known(Training(train) if train.is_file() else None, False, before)


def export_run(
    run: Path, out: Path | None, kinds: tuple[str, ...] | None, overrides: list[str], console: Console
) -> list[Path]:
    """Export a trained run's adapter, checked on its own validation prompts; the files written.

    Without ``out`` they are the run's own, as ``run`` would write them.

    Raises:
        ModelError: not a trained run, or its recipe or base has changed since.
        ExportError, ParityError: see ``socrates_export.command.export``.
    """
    from socrates_fast.pipeline import Pipeline

    check_run(run)
    chosen = list(overrides)
    if kinds:  # the recipe must evaluate a file that it writes
        chosen += [f"export.quantisations={list(kinds)}", f"evaluate.quantisation={kinds[0]}"]
    pipeline = Pipeline(recipes.load(str(run / "recipe.yaml"), chosen), run, console)
    recipe = pipeline.recipe
    with pipeline.locked(record=False):
        pipeline.check_trained()
        if out is None:
            return sorted(path for path in pipeline.export().iterdir() if path.is_file())
        return export_files(
            pipeline.base, run / "adapter", out, recipe.name, recipe.export, pipeline.gate_prompts(),
            recipe.prompt, console, pipeline.calibration_prompts(), pipeline.judge(), run_facts(pipeline),
        )  # fmt: skip


def export_folder(
    base: Path,
    adapter: Path | None,
    out: Path,
    kinds: tuple[str, ...] | None,
    overrides: list[str],
    console: Console,
) -> list[Path]:
    """Export a base folder, with or without an adapter, checked on the built-in examples; the files written.

    ``overrides`` may set ``export.*`` only; errors as for ``export_run``.
    """
    from socrates_fast.verify import built_in_prompts

    chosen = [*overrides, *([f"export.quantisations={list(kinds)}"] if kinds else [])]
    options = recipes.load_section(Export, "export", chosen)
    prompts = built_in_prompts(PromptOptions())
    name = (adapter or base).resolve().name
    console.say(
        "no recipe, so the files will be asked with the published prompt; export RUN keeps a run's own"
    )
    return export_files(base, adapter, out, name, options, prompts, None, console)


def check_run(run: Path) -> None:
    """Refuse a folder that is not a trained run's.

    Raises:
        ModelError: recipe or adapter is missing.
    """
    if not (run / "recipe.yaml").is_file() or not (run / "adapter" / "adapter_config.json").is_file():
        raise ModelError(
            f"{run}: not a trained run (needs recipe.yaml and adapter/); "
            f"make one with: socrates-fast train RECIPE --out {run}"
        )
