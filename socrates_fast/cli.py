"""The command: verbs, flags, exit codes. Each verb imports its work when it is called.

Exit codes: 0; 2 for a user's fault (a message, no traceback); 130 for Ctrl-C; 1 with a traceback for ours.
"""

import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from socrates_fast import __version__
from socrates_fast.cli_bench import JsonOption, bench_app
from socrates_fast.cli_compare import compare
from socrates_fast.cli_data import RecipeArgument, SetOption, data_app
from socrates_fast.cli_plan import PriceOption, plan
from socrates_fast.cli_predict import OutOption, evaluate, predict
from socrates_fast.errors import SocratesError

if TYPE_CHECKING:
    from socrates_fast.pipeline import Pipeline

HELP = "Fine-tune a language model on survey answers, ship it as one GGUF, predict answers with it."

INTERRUPTED = 130
THEIRS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR,
          errno.EISDIR, errno.ENAMETOOLONG)  # fmt: skip
"""Errors of the file system that a person can mend, wherever they come up."""

app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False, rich_markup_mode=None,
                  pretty_exceptions_enable=False)  # fmt: skip
recipes_app = typer.Typer(
    help="List, show, copy and check recipes.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(data_app, name="data")
app.add_typer(recipes_app, name="recipes")
app.add_typer(bench_app, name="bench")

MergeBaseOption = Annotated[
    str | None, typer.Option("--merge-base", metavar="original|nf4", help="What the adapter is added to.")
]


def _version(asked: bool) -> None:
    if asked:
        print(f"socrates-fast {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Fine-tune a language model on survey answers, ship it as one GGUF, predict answers with it."""


def _pipeline(
    name: str, out: Path | None, overrides: list[str] | None, usd_per_hour: float | None = None
) -> "Pipeline":
    from socrates_fast import recipes
    from socrates_fast.console import Console
    from socrates_fast.pipeline import Pipeline
    from socrates_fast.plan.gpus import checked_price
    from socrates_fast.train.distributed import join

    world = join()
    with world.together():
        recipe, price = recipes.load(name, overrides or ()), checked_price(usd_per_hour)
    folder = out or Path("runs") / recipe.name
    return Pipeline(recipe, folder, Console(quiet=not world.first), price, world)


@app.command()
def demo(out: OutOption = None, overrides: SetOption = None) -> None:
    """Run recipes/tiny.yaml from nothing to the report: no download, no GPU, about four minutes."""
    from socrates_fast.demo import show

    pipeline = _pipeline("tiny", out, overrides)
    with pipeline.locked():
        if pipeline.goes_on():
            show(pipeline)


@app.command()
def run(
    recipe: RecipeArgument,
    out: OutOption = None,
    usd_per_hour: PriceOption = None,
    overrides: SetOption = None,
) -> None:
    """Data, training, export, evaluation; the same command resumes where it stopped.

    Of several processes (torchrun) all train, and the first exports and evaluates.
    """
    from socrates_fast.demo import print_table

    pipeline = _pipeline(recipe, out, overrides, usd_per_hour)
    with pipeline.locked():
        if not pipeline.goes_on():
            return
        evaluated = pipeline.evaluate()
    print_table(pipeline.recipe.name, evaluated)


@app.command()
def train(
    recipe: RecipeArgument,
    out: OutOption = None,
    usd_per_hour: PriceOption = None,
    overrides: SetOption = None,
) -> None:
    """Prepare the data and train the adapter; resumes where it stopped.

    On several GPUs: torchrun --nproc-per-node GPUS -m socrates_fast train ...
    """
    pipeline = _pipeline(recipe, out, overrides, usd_per_hour)
    with pipeline.locked():
        if pipeline.goes_on():
            print(pipeline.train())


def _kinds(quant: str | None) -> tuple[str, ...] | None:
    """The types of ``--quant``, each once."""
    from socrates_export.write.types import check_kinds

    return None if quant is None else tuple(check_kinds([kind.strip() for kind in quant.split(",")]))


@app.command()
def export(
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="Folder that train or run made.")
    ] = None,
    base: Annotated[Path | None, typer.Option("--base", help="Base model's folder, instead of RUN.")] = None,
    adapter: Annotated[
        Path | None, typer.Option("--adapter", help="PEFT adapter's folder, with --base.")
    ] = None,
    quant: Annotated[
        str | None, typer.Option("--quant", help="Comma-separated, one pass for all: f16,q8_0,q4_k_m, ...")
    ] = None,
    out: OutOption = None,
    imatrix: Annotated[
        str | None,
        typer.Option("--imatrix", metavar="auto|FILE", help="Weigh columns by an importance matrix."),
    ] = None,
    lora: Annotated[bool, typer.Option("--lora", help="Also write the adapter itself as a GGUF.")] = False,
    merge_base: MergeBaseOption = None,
    push: Annotated[
        str | None, typer.Option("--push", metavar="USER/REPO", help="Upload what was written to the Hub.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="With --push: let everybody see it.")] = False,
    overrides: SetOption = None,
) -> None:
    """Merge the adapter, write GGUF files, and check that they are the model that was trained."""
    from socrates_fast.actions import export_folder, export_run
    from socrates_fast.console import Console

    if (run is None) == (base is None) or (run is not None and adapter is not None):
        raise typer.BadParameter("give either RUN or --base DIR [--adapter DIR]")
    if push is not None:  # before the work, not after
        from socrates_export.release.hub import check_push

        check_push(push)
    kinds = _kinds(quant)
    given = {"imatrix": imatrix, "merge_base": merge_base, "lora": "true" if lora else None}
    chosen = [*(overrides or []), *(f"export.{key}={value}" for key, value in given.items() if value)]
    if run is not None:
        files = export_run(run, out, kinds, chosen, Console())
    else:
        assert base is not None
        if out is None:
            raise typer.BadParameter("--base needs --out DIR")
        files = export_folder(base, adapter, out, kinds, chosen, Console())
    for file in files:
        print(file)
    if push is not None:
        from socrates_export.release import hub

        print(hub.push(files[0].parent, push, public, Console().say))


@app.command()
def verify(
    model: Annotated[Path, typer.Argument(metavar="MODEL.gguf", help="The file, whoever made it.")],
    base: Annotated[Path | None, typer.Option("--base", help="Base model's folder.")] = None,
    adapter: Annotated[Path | None, typer.Option("--adapter", help="PEFT adapter's folder.")] = None,
    run: Annotated[
        Path | None, typer.Option("--run", help="A run: its base, adapter, validation rows and bounds.")
    ] = None,
    merge_base: MergeBaseOption = None,
    as_json: JsonOption = False,
    overrides: SetOption = None,
) -> None:
    """Compare tensors, tokens, logits and answers of a GGUF with base + adapter; exit 0 if it is them, 2 if not."""
    from socrates_fast.verify import Origin
    from socrates_fast.verify import verify as compare

    chosen = [*(overrides or []), *([f"export.merge_base={merge_base}"] if merge_base else [])]
    if not compare(model, Origin(base, adapter, run), chosen, as_json):
        raise typer.Exit(2)


app.command()(plan)
app.command()(predict)
app.command()(evaluate)
app.command()(compare)


@recipes_app.command("ls")
def recipes_ls() -> None:
    """Names of the shipped recipes."""
    from socrates_fast import recipes

    print("\n".join(recipes.shipped()))


@recipes_app.command("show")
def recipes_show(name: RecipeArgument) -> None:
    """Print a recipe's file."""
    from socrates_fast import recipes

    print(recipes.find(name).read_text(encoding="utf-8"), end="")


@recipes_app.command("copy")
def recipes_copy(
    name: RecipeArgument,
    path: Annotated[Path, typer.Argument(metavar="[PATH]", help="File or folder to copy to.")] = Path(),
) -> None:
    """Copy a shipped recipe for editing."""
    from socrates_fast import recipes

    print(recipes.copy(name, path))


@recipes_app.command("check")
def recipes_check(path: RecipeArgument, overrides: SetOption = None) -> None:
    """Check a recipe against its schema and its model's limits, without weights; every fault at once."""
    from socrates_fast import recipes
    from socrates_fast.plan.limits import check_limits

    checked = check_limits(recipes.load(path, overrides or ()), path)
    print(f"{path}: fine{f' ({checked.model})' if checked.model else ''}")
    for note in checked.notes:
        print(f"note: {note}")


@app.command()
def doctor(
    recipe: Annotated[
        str | None,
        typer.Argument(metavar="[RECIPE|MODEL.gguf]", help="Check what it needs as well."),
    ] = None,
) -> None:
    """What is installed, what it can do, what is missing, and what that costs."""
    from socrates_fast.doctor import report

    if not report(recipe):
        raise typer.Exit(2)


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit with its code."""
    # Before any library reads them: no telemetry; and OpenMP threads that wait asleep, because threads that
    # spin make training several times slower as soon as another process wants a core.
    for name in ("UNSLOTH_DISABLE_STATISTICS", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ[name] = "1"
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        code: Any = app(arguments, standalone_mode=False)
    except SocratesError as error:
        if str(error):  # else another process of the same training says it
            print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in THEIRS:
            raise
        print(f"error: {error.filename or 'a file'}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    except typer.TyperException as error:
        print(f"error: {error.format_message()} (see --help)", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    # Typer turns Ctrl-C inside a verb into this code by itself; of processes that train together one says so.
    if code == INTERRUPTED and os.environ.get("RANK", "0") == "0":
        print("interrupted; the same command resumes", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)
