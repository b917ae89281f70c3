"""The verbs of ``bench``: measure, and print comparable records. Each imports its work when it is called."""

import json
from pathlib import Path
from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, nothing else.")]

bench_app = typer.Typer(
    help="Measure, and print comparable records.", no_args_is_help=True, rich_markup_mode=None
)


@bench_app.command("demo")
def bench_demo(as_json: JsonOption = False) -> None:
    """Seconds of every stage of the demo, from an empty cache, and what the model learned."""
    from socrates_bench.demo import measure, print_record

    record = measure()
    if as_json:
        print(json.dumps(record))
    else:
        print_record(record)


@bench_app.command("export")
def bench_export(
    shape: Annotated[
        str, typer.Option("--shape", help="tiny, 0.5b or 3b: Qwen2.5's shapes, random weights.")
    ] = "0.5b",
    sets: Annotated[
        list[str] | None,
        typer.Option("--quant", help="Types of one export, comma-separated; may be repeated."),
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Exports of each set; medians count.")] = 3,
    apart: Annotated[
        bool, typer.Option("--apart/--no-apart", help="Also run PEFT's merge and llama.cpp's own tools.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Seconds, memory and bytes of exports, beside the same steps done apart and the bare arithmetic."""
    from socrates_bench.export import SETS, measure, print_record

    chosen = [tuple(one.split(",")) for one in sets] if sets else SETS
    record = measure(shape, chosen, repeats, apart)
    if as_json:
        print(json.dumps(record))
    else:
        print_record(record)


@bench_app.command("score")
def bench_score(
    shape: Annotated[
        str, typer.Option("--shape", help="tiny, 0.5b or 3b: Qwen2.5's shapes, random weights.")
    ] = "0.5b",
    types: Annotated[str, typer.Option("--types", help="GGUF types, comma-separated.")] = "f16,q8_0,q4_k_m",
    people: Annotated[int | None, typer.Option("--people", min=1, help="People, ten rows each.")] = None,
    peer_people: Annotated[
        int | None,
        typer.Option("--peer-people", min=1, help="The first of them, whose rows Llama answers too."),
    ] = None,
    orders: Annotated[
        str, typer.Option("--orders", help="Orders of the prompt, comma-separated.")
    ] = "persona_first,stimulus_first",
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Runs in each order; medians count.")] = 1,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="CPU threads; all by default.")
    ] = None,
    gpu_layers: Annotated[
        int, typer.Option("--gpu-layers", min=-1, help="Layers on the GPU; -1 for all.")
    ] = -1,
    as_json: JsonOption = False,
) -> None:
    """Rows per second of answer distributions, beside Llama row by row and llama.cpp's own prompt speed."""
    from socrates_bench.score import measure, plan_of
    from socrates_bench.score_figures import print_record

    plan = plan_of(shape, people, peer_people, orders.split(","), repeats, threads, gpu_layers)
    record = measure(shape, types.split(","), plan)
    if as_json:
        print(json.dumps(record))
    else:
        print_record(record)


@bench_app.command("data")
def bench_data(
    rows: Annotated[
        int, typer.Option("--rows", help="Rows to make; SocSci210 has as many as the default.")
    ] = 2_901_390,
    shares: Annotated[
        str, typer.Option("--shares", help="Shares of the training people, comma-separated.")
    ] = "1,0.01",
    split: Annotated[str, typer.Option("--split", help="What stays whole: data.split.by.")] = "participant",
    keep: Annotated[
        Path | None,
        typer.Option("--keep", metavar="FOLDER", help="Keep the made-up rows here, and use them again."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Keep the prepared folders here.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Seconds and memory of preparing SocSci210's size, and whether every row that ought to be left out was."""
    from socrates_bench.data import measure, plan_of, print_record

    record = measure(plan_of(rows, shares, split, keep, out))
    if as_json:
        print(json.dumps(record))
    else:
        print_record(record)


@bench_app.command("evaluate")
def bench_evaluate(
    rows: Annotated[
        int,
        typer.Option("--rows", help="Predictions to evaluate; SocSci210 has as many rows as the default."),
    ] = 2_901_390,
    keep: Annotated[
        Path | None,
        typer.Option("--keep", metavar="FOLDER", help="Keep the made-up files here, and use them again."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Seconds and memory of evaluating predictions of SocSci210's size, and whether it finds what is there."""
    from socrates_bench.evaluate import measure, plan_of, print_record

    record = measure(plan_of(rows, keep))
    if as_json:
        print(json.dumps(record))
    else:
        print_record(record)


@bench_app.command("train")
def bench_train(
    shape: Annotated[
        str, typer.Option("--shape", help="tiny, 0.5b, 1.5b, 7b or 14b: Qwen2.5's shapes, random weights.")
    ] = "tiny",
    backends: Annotated[
        str, typer.Option("--backends", help="Who trains, comma-separated.")
    ] = "unsloth,transformers",
    steps: Annotated[int, typer.Option("--steps", help="Optimiser steps; the first two do not count.")] = 20,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Rows of a forward pass.")] = 8,
    accumulation: Annotated[int, typer.Option("--accumulation", min=1, help="Forward passes of a step.")] = 1,
    packing: Annotated[
        bool, typer.Option("--packing", help="Several rows in a sequence (GPU with FlashAttention).")
    ] = False,
    checkpointing: Annotated[
        bool | None,
        typer.Option(
            "--checkpointing/--no-checkpointing",
            help="Recompute activations; by default only if they do not fit.",
        ),
    ] = None,
    precision: Annotated[
        str, typer.Option("--precision", help="auto, float32, bfloat16 or float16.")
    ] = "auto",
    four_bit: Annotated[
        bool, typer.Option("--four-bit/--no-four-bit", help="Quantise the base to NF4.")
    ] = True,
    memory_cap: Annotated[
        float | None,
        typer.Option("--memory-cap", metavar="GIB", help="Memory of the GPU to use at most; 14.6 is a T4's."),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep", metavar="FOLDER", help="Keep the base here (2 bytes a parameter), use it again."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Speed and memory of training with Unsloth and with plain Transformers, on the same batches."""
    from socrates_bench.train import Plan, measure
    from socrates_bench.train_figures import print_record

    plan = Plan(
        shape, backends.split(","), steps, batch_size, accumulation, packing, checkpointing, precision, four_bit,
        memory_cap,
    )  # fmt: skip
    record = measure(plan, keep)
    if as_json:
        print(json.dumps(record))
    else:
        print_record(record)


@bench_app.command("builds")
def bench_builds(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL.gguf ...", help="Files to try the builds on.")
    ],
    libraries: Annotated[
        list[str] | None,
        typer.Option("--lib", metavar="NAME=FOLDER", help="A build's libraries; may be repeated."),
    ] = None,
    tokens: Annotated[int, typer.Option("--tokens", min=1, max=512, help="Tokens of the prompt.")] = 512,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Prompts for each; medians count.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Prompt speed of other builds of llama.cpp, beside the installed one's."""
    from socrates_bench.builds import measure, print_record

    named = [entry.partition("=") for entry in libraries or []]
    record = measure(models, {name: Path(folder) for name, _, folder in named}, tokens, repeats)
    if as_json:
        print(json.dumps(record))
    else:
        print_record(record)
