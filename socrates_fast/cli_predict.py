"""The verbs that ask a model: ``predict`` and ``evaluate``. Each imports its work when it is called."""

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from socrates_fast.cli_bench import JsonOption

if TYPE_CHECKING:
    from socrates_fast.ask import Question, Sampling

ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A .gguf file, a Hugging Face model's folder, an endpoint's http(s)://URL#MODEL, uniform or midpoint.",
    ),
]
OutOption = Annotated[Path | None, typer.Option("--out", help="Folder to write to.")]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads; what is fastest by default.")
]
GpuLayersOption = Annotated[
    int | None,
    typer.Option("--gpu-layers", min=-1, help="Layers on the GPU; -1 for all, as many as fit by default."),
]
ContextOption = Annotated[
    int | None,
    typer.Option("--context", min=256, help="Tokens of context: the longest prompt; 4096 by default."),
]
BatchOption = Annotated[
    int | None,
    typer.Option("--batch", min=64, help="Most tokens in one llama.cpp call; 512, or what is fastest."),
]
AdapterOption = Annotated[
    Path | None, typer.Option("--adapter", help="PEFT adapter's folder, with a Hugging Face MODEL.")
]
DeterministicOption = Annotated[
    bool,
    typer.Option(
        "--deterministic",
        help="Of a .gguf: no result depends, to the last bit, on what else is asked; slower.",
    ),
]


DrawsOption = Annotated[
    int | None,
    typer.Option(
        "--draws",
        min=1,
        help="Of an endpoint: answers drawn where no probabilities are read; 20. Of a model that reasons: reasonings; 1.",
    ),
]
ReadOption = Annotated[
    bool,
    typer.Option(
        "--read/--draw", help="Of an endpoint: read probabilities where it shows them, or draw everywhere."
    ),
]
ConcurrencyOption = Annotated[
    int | None, typer.Option("--concurrency", min=1, help="Of an endpoint: calls at a time; 8.")
]


class OnFault(StrEnum):
    """What to do with a row that cannot be scored."""

    refuse = "refuse"
    record = "record"


ScenarioOption = Annotated[
    str | None, typer.Option("--scenario", help="What the person reads, with the answer instruction.")
]
DemographicsOption = Annotated[
    str,
    typer.Option("--demographics", help='"Age: 30; Gender: Female; ..."; fields left out are not shown.'),
]
PersonaOption = Annotated[
    str,
    typer.Option(
        "--persona", help="Free text about the person; stands after the demographics, in their place."
    ),
]
PersonasOption = Annotated[
    Path | None,
    typer.Option(
        "--personas", help="CSV of people to ask: columns are persona fields, or 'persona' for free text."
    ),
]
ScaleOption = Annotated[
    str | None,
    typer.Option(
        "--scale", help="Allowed answers, where the scenario states none: 1-7, 1,2,4, 1=Yes,2=No or open."
    ),
]
ExampleOption = Annotated[
    int | None, typer.Option("--example", min=1, max=5, help="A built-in example, 1 to 5.")
]
SampleOption = Annotated[
    int | None,
    typer.Option("--sample", min=1, help="Also draw so many answers of each person as free text."),
]
TemperatureOption = Annotated[float, typer.Option("--temperature", help="Of the draws.")]
TopPOption = Annotated[float, typer.Option("--top-p", help="Of the draws.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of the draws.")]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data", help="A whole file instead: parquet or JSONL in SocSci210's columns, or a prepared folder."
    ),
]
AnswersOption = Annotated[
    Path | None,
    typer.Option(
        "--out", help="With --data the job's folder, which resumes; else a .csv, .parquet or .jsonl."
    ),
]
WindowOption = Annotated[
    int | None,
    typer.Option("--window", min=1, help="With --data: rows sorted and shared together; 8192 by default."),
]
OnFaultOption = Annotated[
    OnFault | None,
    typer.Option(
        "--on-fault", help="With --data: stop at a row that cannot be scored (default), or record why."
    ),
]
TruncateOption = Annotated[
    bool,
    typer.Option("--truncate", help="With --data: cut the beginning of stimuli that are too long."),
]


def predict(
    model: ModelArgument,
    scenario: ScenarioOption = None,
    demographics: DemographicsOption = "",
    persona: PersonaOption = "",
    personas: PersonasOption = None,
    scale: ScaleOption = None,
    example: ExampleOption = None,
    sample: SampleOption = None,
    temperature: TemperatureOption = 0.6,
    top_p: TopPOption = 0.9,
    seed: SeedOption = 0,
    data: DataOption = None,
    out: AnswersOption = None,
    window: WindowOption = None,
    on_fault: OnFaultOption = None,
    truncate: TruncateOption = False,
    deterministic: DeterministicOption = False,
    adapter: AdapterOption = None,
    as_json: JsonOption = False,
    context: ContextOption = None,
    batch: BatchOption = None,
    threads: ThreadsOption = None,
    gpu_layers: GpuLayersOption = None,
    draws: DrawsOption = None,
    read: ReadOption = True,
    concurrency: ConcurrencyOption = None,
) -> None:
    """Predict how people would answer, as distributions: one question by hand, or a whole file."""
    if [scenario, example, data].count(None) != 2:
        raise typer.BadParameter("give one of --scenario TEXT, --example N and --data FILE")
    settings = _given(deterministic=deterministic or None, context=context) | _endpoint(model, draws, read)
    machine = _given(threads=threads, gpu_layers=gpu_layers, batch=batch) | _calls(model, concurrency)
    if data is not None:
        by_hand = {"--demographics": demographics, "--persona": persona, "--personas": personas, "--scale": scale,
                   "--sample": sample}  # fmt: skip
        _refuse_flags(by_hand, "--data has its people and scales in the file")
        if out is None:
            raise typer.BadParameter("--data needs --out DIR")
        options: dict[str, Any] = {
            "window": window,
            "on_fault": on_fault and on_fault.value,
            "adapter": adapter,
        }
        chosen = {name: value for name, value in options.items() if value is not None}
        _run_job(model, data, out, as_json, truncate=truncate, settings=settings, machine=machine, **chosen)
        return
    _refuse_flags({"--window": window, "--on-fault": on_fault, "--truncate": truncate}, "only --data has it")
    from socrates_fast.ask import ask

    ask(
        model, _question(scenario, example, demographics, persona, personas, scale), as_json, out,
        _sampling(sample, temperature, top_p, seed), adapter, **settings, **machine,
    )  # fmt: skip


def _given(**settings: Any) -> dict[str, Any]:
    """Those that were given."""
    return {name: value for name, value in settings.items() if value is not None}


def _endpoint(model: str, draws: int | None, read: bool) -> dict[str, Any]:
    """What an endpoint or a model that reasons is asked for; of others these flags mean nothing and are refused."""
    settings = _given(draws=draws, logprobs=None if read else "never")
    if draws and read and model.endswith(".gguf"):
        from socrates_fast.infer import trained_prompt

        if trained_prompt(model).reasoning:
            return {"reasonings": draws}
    if settings and not model.startswith(("http://", "https://")):
        raise typer.BadParameter(
            "--draws and --draw are for endpoints, --draws for models that reason too; of another .gguf, see --sample"
        )
    return settings


def _calls(model: str, concurrency: int | None) -> dict[str, Any]:
    if concurrency and not model.startswith(("http://", "https://")):
        raise typer.BadParameter("--concurrency is for endpoints")
    return _given(concurrency=concurrency)


def _refuse_flags(flags: Mapping[str, object], why: str) -> None:
    given = [name for name, value in flags.items() if value]
    if given:
        raise typer.BadParameter(f"{', '.join(given)}: {why}")


def _run_job(model: str, data: Path, out: Path, as_json: bool, **options: Any) -> None:
    from socrates_fast.console import Console
    from socrates_fast.jobs.job import JobOptions, run_job
    from socrates_fast.jobs.store import PREDICTIONS

    document = run_job(model, data, out, JobOptions(**options), Console())
    print(json.dumps(document) if as_json else out / PREDICTIONS)


def _question(
    scenario: str | None,
    example: int | None,
    demographics: str,
    persona: str,
    personas: Path | None,
    scale: str | None,
) -> "Question":
    from socrates_fast.ask import Question
    from socrates_fast.people import Person, parse_demographics, read_people

    if example is not None:
        given = {
            "--demographics": demographics,
            "--persona": persona,
            "--personas": personas,
            "--scale": scale,
        }
        _refuse_flags(given, "an --example has its own")
        return Question.built_in(example)
    if personas is not None:
        _refuse_flags({"--demographics": demographics, "--persona": persona}, "--personas has them")
        people = read_people(personas)
    else:
        people = [Person(parse_demographics(demographics), persona.strip())]
    return Question.of(scenario or "", people, scale)


def _sampling(draws: int | None, temperature: float, top_p: float, seed: int) -> "Sampling | None":
    from socrates_fast.ask import Sampling

    return Sampling(draws, temperature, top_p, seed) if draws else None


def evaluate(
    model: ModelArgument,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Prepared folder, or parquet/JSONL/CSV file.")],
    out: OutOption = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most rows, chosen by hash.")] = None,
    deterministic: DeterministicOption = False,
    adapter: AdapterOption = None,
    base: Annotated[
        Path | None,
        typer.Option(
            "--base",
            metavar="EVALUATION",
            help="Show the base model beside it: its evaluation of the same rows.",
        ),
    ] = None,
    min_people: Annotated[
        int | None,
        typer.Option(
            "--min-people",
            min=2,
            help="Cells with fewer people stay out of the headline; what the run of DATA or MODEL says, else 50.",
        ),
    ] = None,
    as_json: JsonOption = False,
    context: ContextOption = None,
    batch: BatchOption = None,
    threads: ThreadsOption = None,
    gpu_layers: GpuLayersOption = None,
    draws: DrawsOption = None,
    read: ReadOption = True,
    concurrency: ConcurrencyOption = None,
) -> None:
    """Score MODEL (or a predictions.parquet) on DATA's people: metrics beside baselines and floors, and a report."""
    from socrates_fast.actions import evaluate_data
    from socrates_fast.demo import print_metrics

    settings = _given(deterministic=deterministic or None, context=context, threads=threads,
                      gpu_layers=gpu_layers, batch=batch, min_people=min_people)  # fmt: skip
    settings |= _endpoint(model, draws, read) | _calls(model, concurrency)
    folder, metrics = evaluate_data(model, data, out, limit, settings, adapter, base, quiet=as_json)
    if as_json:
        print(json.dumps(metrics))
    else:
        print_metrics(model, metrics, folder)
