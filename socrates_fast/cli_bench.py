"""The verbs of ``bench``: measure, and print comparable records. Each imports its work when it is called."""

from pathlib import Path
from typing import Annotated

import typer

from socrates_fast.cli_options import (
    KeepOption,
    LinesOption,
    OutOption,
    RepeatsOption,
    ShapeOption,
    ThreadsOption,
)

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, nothing else.")]

bench_app = typer.Typer(
    help="Measure, and print comparable records.", no_args_is_help=True, rich_markup_mode=None
)


@bench_app.command("demo")
def bench_demo(as_json: LinesOption = False, out: OutOption = None) -> None:
    """Seconds of every stage of the demo, from an empty cache, and what the model learned."""
    from socrates_bench.deliver import deliver
    from socrates_bench.demo import measure

    deliver(measure(), as_json, out)


@bench_app.command("export")
def bench_export(
    shape: ShapeOption = "0.5b",
    sets: Annotated[
        list[str] | None,
        typer.Option("--quant", help="Types of one export, comma-separated; may be repeated."),
    ] = None,
    repeats: RepeatsOption = 3,
    apart: Annotated[
        bool, typer.Option("--apart/--no-apart", help="Also run PEFT's merge and llama.cpp's own tools.")
    ] = True,
    as_json: LinesOption = False,
    out: OutOption = None,
) -> None:
    """Seconds, memory and bytes of exports, beside the same steps done apart and the bare arithmetic."""
    from socrates_bench.deliver import deliver
    from socrates_bench.export import SETS, measure

    chosen = [tuple(one.split(",")) for one in sets] if sets else SETS
    deliver(measure(shape, chosen, repeats, apart), as_json, out)


@bench_app.command("score")
def bench_score(
    shape: ShapeOption = "0.5b",
    types: Annotated[str, typer.Option("--types", help="GGUF types, comma-separated.")] = "f16,q8_0,q4_k_m",
    people: Annotated[int | None, typer.Option("--people", min=1, help="People, ten rows each.")] = None,
    peer_people: Annotated[
        int | None,
        typer.Option("--peer-people", min=1, help="The first of them, whose rows Llama answers too."),
    ] = None,
    orders: Annotated[
        str, typer.Option("--orders", help="Orders of the prompt, comma-separated.")
    ] = "persona_first,stimulus_first",
    repeats: RepeatsOption = 1,
    threads: ThreadsOption = None,
    gpu_layers: Annotated[
        int, typer.Option("--gpu-layers", min=-1, help="Layers on the GPU; -1 for all.")
    ] = -1,
    as_json: LinesOption = False,
    out: OutOption = None,
) -> None:
    """Rows per second of answer distributions, beside Llama row by row and llama.cpp's own prompt speed."""
    from socrates_bench.deliver import deliver
    from socrates_bench.score import measure, plan_of

    plan = plan_of(shape, people, peer_people, orders.split(","), repeats, threads, gpu_layers)
    deliver(measure(shape, types.split(","), plan), as_json, out)


@bench_app.command("decode")
def bench_decode(
    models: Annotated[
        list[Path] | None, typer.Argument(metavar="[MODEL.gguf ...]", help="Files to measure.")
    ] = None,
    shapes: Annotated[
        list[str] | None,
        typer.Option(
            "--shape",
            help="Random weights in Qwen2.5's shapes: tiny, 0.5b, 1.5b or 3b; may be repeated; without MODEL 0.5b.",
        ),
    ] = None,
    types: Annotated[
        str, typer.Option("--types", help="GGUF types of the shapes, comma-separated.")
    ] = "q8_0",
    prompt: Annotated[int, typer.Option("--prompt", min=0, help="Tokens of the prompt test; 0: none.")] = 512,
    generate: Annotated[
        int, typer.Option("--generate", min=0, help="Tokens of the generation test; 0: none.")
    ] = 128,
    repeats: RepeatsOption = 5,
    people: Annotated[
        int, typer.Option("--people", min=0, help="People of the real workload, ten rows each; 0: none.")
    ] = 3,
    threads: ThreadsOption = None,
    gpu_layers: Annotated[
        int, typer.Option("--gpu-layers", min=-1, help="Layers on the GPU; -1 for all.")
    ] = -1,
    peers: Annotated[
        str,
        typer.Option(
            "--vs", help="Peers in the same run, comma-separated: llama, transformers, transformers-bf16."
        ),
    ] = "",
    as_json: LinesOption = False,
    out: OutOption = None,
) -> None:
    """Prompt and generation speed as llama-bench has them, first token, memory, rows, ceilings, and peers."""
    from socrates_bench.decode.bench import measure, plan_of
    from socrates_bench.deliver import deliver

    asked = [name for one in shapes or ([] if models else ["0.5b"]) for name in one.split(",")]
    others = [name for name in peers.split(",") if name]
    plan = plan_of(
        models or [], asked, types.split(","), prompt, generate, repeats, people, threads, gpu_layers, others
    )
    deliver(measure(plan), as_json, out)


@bench_app.command("data")
def bench_data(
    rows: Annotated[
        int, typer.Option("--rows", help="Rows to make; SocSci210 has as many as the default.")
    ] = 2_901_390,
    shares: Annotated[
        str, typer.Option("--shares", help="Shares of the training people, comma-separated.")
    ] = "1,0.01",
    split: Annotated[str, typer.Option("--split", help="What stays whole: data.split.by.")] = "participant",
    keep: KeepOption = None,
    prepared: Annotated[
        Path | None, typer.Option("--prepared", metavar="FOLDER", help="Keep the prepared folders here.")
    ] = None,
    as_json: LinesOption = False,
    out: OutOption = None,
) -> None:
    """Seconds and memory of preparing SocSci210's size, and whether every row that ought to be left out was."""
    from socrates_bench.data import measure, plan_of
    from socrates_bench.deliver import deliver

    deliver(measure(plan_of(rows, shares, split, keep, prepared)), as_json, out)


@bench_app.command("evaluate")
def bench_evaluate(
    rows: Annotated[
        int,
        typer.Option("--rows", help="Predictions to evaluate; SocSci210 has as many rows as the default."),
    ] = 2_901_390,
    keep: KeepOption = None,
    as_json: LinesOption = False,
    out: OutOption = None,
) -> None:
    """Seconds and memory of evaluating predictions of SocSci210's size, and whether it finds what is there."""
    from socrates_bench.deliver import deliver
    from socrates_bench.evaluate import measure, plan_of

    deliver(measure(plan_of(rows, keep)), as_json, out)


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
    as_json: LinesOption = False,
    out: OutOption = None,
) -> None:
    """Speed and memory of training with Unsloth and with plain Transformers, on the same batches."""
    from socrates_bench.deliver import deliver
    from socrates_bench.train import Plan, measure

    plan = Plan(
        shape, backends.split(","), steps, batch_size, accumulation, packing, checkpointing, precision, four_bit,
        memory_cap,
    )  # fmt: skip
    deliver(measure(plan, keep), as_json, out)


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
    repeats: RepeatsOption = 5,
    as_json: LinesOption = False,
    out: OutOption = None,
) -> None:
    """Prompt speed of other builds of llama.cpp, beside the installed one's."""
    from socrates_bench.builds import measure
    from socrates_bench.deliver import deliver

    named = [entry.partition("=") for entry in libraries or []]
    deliver(measure(models, {name: Path(folder) for name, _, folder in named}, tokens, repeats), as_json, out)


@bench_app.command("parity")
def bench_parity(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="An export of several types.")],
    repeats: RepeatsOption = 5,
    threads: ThreadsOption = None,
    as_json: LinesOption = False,
    out: OutOption = None,
) -> None:
    """What each type of an export changes in the answers, and how fast each file reads prompts."""
    from socrates_bench.deliver import deliver
    from socrates_bench.parity import measure

    deliver(measure(folder, repeats, threads), as_json, out)


@bench_app.command("all")
def bench_all(
    quick: Annotated[
        bool, typer.Option("--quick", help="Small sizes: less than three minutes on two cores.")
    ] = False,
    as_json: LinesOption = False,
    out: OutOption = None,
) -> None:
    """All benches in turn; what one has measured is kept if another fails."""
    from socrates_bench.deliver import deliver
    from socrates_bench.every import measure

    deliver(measure(quick), as_json, out)


@bench_app.command("report")
def bench_report(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE|FOLDER ...]", help="Records; the checkout's bench/results by default."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Draw plots here, as PNG and SVG.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All runs, not only the newest of each bench and shape.")
    ] = False,
    as_json: LinesOption = False,
) -> None:
    """Tables of records as Markdown, and plots of them."""
    from socrates_bench.report.verb import report

    report(files or [], out, everything, as_json)
