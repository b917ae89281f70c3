"""Options that the verbs of ``bench`` share."""

from pathlib import Path
from typing import Annotated

import typer

LinesOption = Annotated[
    bool, typer.Option("--json", help="Print JSON lines on stdout, one a measurement, nothing else.")
]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Add each line to this file as it is measured.")
]
ShapeOption = Annotated[
    str, typer.Option("--shape", help="tiny, 0.5b, 1.5b or 3b: Qwen2.5's shapes, random weights.")
]
ThreadsOption = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads; all by default.")]
KeepOption = Annotated[
    Path | None,
    typer.Option("--keep", metavar="FOLDER", help="Keep what is made up here, and use it again."),
]
RepeatsOption = Annotated[int, typer.Option("--repeats", min=1, help="How often each; medians count.")]
