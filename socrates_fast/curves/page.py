"""training.html: the curves of a training on a page of its own, to look at while it trains."""

from html import escape
from pathlib import Path

from socrates_fast.console import duration
from socrates_fast.curves.drawing import COLOURS
from socrates_fast.curves.gallery import curves
from socrates_fast.curves.history import History
from socrates_fast.runs import write_text

PAGE = "training.html"
"""Its name in a run's folder."""
_AGAIN_SECONDS = 30
"""An open page of a training that goes on is read again after so many seconds."""
_DARK = {"ink": "#e8ecf0", "muted": "#a1acb8", "line": "#323b45", "human": "#74a9e0", "predicted": "#f0a05a"}
_STYLE = """
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 0; overflow-wrap: anywhere; }
p, figcaption { color: var(--muted); font-size: .875rem; }
main { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1.25rem; }
figure { margin: 0; min-width: 0; }
svg { display: block; width: 100%; height: auto; max-width: 34rem; }
b { color: var(--ink); }
"""


def write_page(folder: Path, history: History, steps: int, running: bool) -> Path:
    """Write ``PAGE`` into a run's folder, whole or not at all.

    Args:
        folder: of the run; its name is the title.
        history: what was trained so far.
        steps: of the whole training.
        running: it goes on, so that an open page should look again.

    Raises:
        SocratesError: it cannot be written.
    """
    write_text(folder / PAGE, render_page(folder.resolve().name, history, steps, running))
    return folder / PAGE


def render_page(name: str, history: History, steps: int, running: bool) -> str:
    """The page; ``name`` is escaped. Arguments as for ``write_page``."""
    title = escape(f"Training of {name}")
    again = f'<meta http-equiv="refresh" content="{_AGAIN_SECONDS}">\n' if running else ""
    state = f"Step {history.last:,} of {steps:,}, {duration(history.seconds)} of training so far."
    if not running:
        state = f"{history.last:,} of {steps:,} steps in {duration(history.seconds)}."
    figures = "\n".join(
        f"<figure>{curve.inline}<figcaption><b>{curve.heading}</b> · {escape(curve.caption)}</figcaption></figure>"
        for curve in curves(history)
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{again}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{title}</title>\n<style>\n{_colours()}{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{title}</h1>\n<p>{state}</p>\n<main>\n{figures}\n</main>\n</body>\n</html>\n"
    )


def _colours() -> str:
    light, dark = (
        "".join(f" --{name}: {colour};" for name, colour in some.items())
        for some in ({"paper": "#ffffff", **COLOURS}, {"paper": "#11151a", **_DARK})
    )
    return (
        f":root {{ color-scheme: light dark;{light} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{{dark} }} }}"
    )
