"""The verb ``compare``. It imports its work when it is called."""

import json
from pathlib import Path
from typing import Annotated

import typer

from socrates_fast.cli_bench import JsonOption
from socrates_fast.cli_predict import OutOption


def compare(
    evaluations: Annotated[
        list[Path],
        typer.Argument(
            metavar="EVALUATION EVALUATION ...",
            help="Folders that evaluate wrote, of the same rows; the first is the reference.",
        ),
    ],
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Paired differences of evaluations of the same rows: better, worse, or cannot tell."""
    from socrates_fast.evaluate.compare import compare as compared
    from socrates_fast.evaluate.compare.files import HTML, document, write_comparison
    from socrates_fast.evaluate.compare.table import print_comparison

    comparison = compared(evaluations)
    if out is not None:
        write_comparison(out, comparison)
    if as_json:
        print(json.dumps(document(comparison), allow_nan=False))
        return
    print_comparison(comparison)
    if out is not None:
        print(f"\nreport: {out / HTML}")
