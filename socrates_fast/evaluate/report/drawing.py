"""A drawn plot in three forms: SVG that follows the colours of its page, SVG that stands alone, and PNG.

Matplotlib draws with fixed colours; in a page these are replaced by CSS variables. No text from users enters a plot:
names of studies stand in the page around it, where they are escaped.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, LINE = "#101418", "#5c6570", "#d5dae0"
HUMAN, PREDICTED, BASELINE = "#3a6ea5", "#d97b29", "#b4bcc6"
_VARIABLES = {
    INK: "ink", MUTED: "muted", LINE: "line", HUMAN: "human", PREDICTED: "predicted", BASELINE: "baseline",
}  # fmt: skip

DASHED = (0, (3, 2))
"""Lines that are no data: floors, and where two axes are equal."""

PNG_DPI = 150

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, searchable, in the page's font
    "svg.hashsalt": "socrates-fast",  # the same plot gives the same bytes
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Plot:
    """A figure of matplotlib with the words around it.

    Attributes:
        name: of its files, and of its ids in a page.
        description: what is drawn, for readers who cannot see it; a fixed text.
        figure: what is drawn.
        heading: a few words, shown strong before the caption.
        caption: how to read it; may hold text from users.
    """

    name: str
    description: str
    figure: "Figure"
    heading: str = ""
    caption: str = ""

    @cached_property
    def _drawn(self) -> tuple[str, str]:
        """The view box, and the elements in fixed colours."""
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        buffer = StringIO()
        empty = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        # Not savefig, which draws twice: first without output, for the layout that drawing itself finds.
        with style():
            FigureCanvasSVG(self.figure).print_svg(buffer, metadata=empty)
        return _elements(buffer.getvalue(), self.name)

    @property
    def inline(self) -> str:
        """One ``<svg>`` element for a page, without namespaces and fixed size; colours are the page's variables."""
        box, body = self._drawn
        # Without the style, which would be of the whole page
        body = re.sub(r"<defs>\s*<style.*?</defs>", "", body, flags=re.DOTALL)
        body = body.replace("xlink:href", "href")
        # Fonts come from the page; matplotlib would name one that readers may not have
        body = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", body)
        for colour, name in _VARIABLES.items():
            body = body.replace(colour, f"var(--{name})")
        return f'<svg viewBox="{box}" role="img" aria-label="{self.description}">{body}'

    @property
    def svg(self) -> str:
        """A file of its own, on white."""
        box, body = self._drawn
        _, _, width, height = box.split()
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" version="1.1" '
            f'width="{width}pt" height="{height}pt" viewBox="{box}">\n<title>{self.description}</title>\n'
            f'<rect width="100%" height="100%" style="fill: #ffffff"/>{body}'
        )

    @property
    def png(self) -> bytes:
        """The same as pixels, on white."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        _ = self._drawn  # finds the layout, which is the same for pixels
        self.figure.set_layout_engine("none")
        self.figure.patch.set_visible(True)
        self.figure.set_dpi(PNG_DPI)
        buffer = BytesIO()
        with style():
            FigureCanvasAgg(self.figure).print_png(buffer, metadata={"Software": None})
        return buffer.getvalue()


def style() -> Any:
    """The context in which plots are made and drawn."""
    import matplotlib

    return matplotlib.rc_context(_STYLE)


def canvas(width: float, height: float) -> tuple["Figure", "Axes"]:
    """An empty figure of ``width`` by ``height`` inches, drawn without a display."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_visible(False)  # the page shows through
    axes = figure.add_subplot(facecolor="none")
    axes.tick_params(length=0)
    axes.set_axisbelow(True)
    return figure, axes


def percent(share: float, _: float) -> str:
    """Tick labels of shares."""
    return f"{100 * share:.3g}%"


def _elements(text: str, name: str) -> tuple[str, str]:
    """The view box of matplotlib's SVG, and its elements with the closing tag, made small and apart from others'."""
    text = text[text.index("<svg") :]
    box = re.search(r'viewBox="([^"]*)"', text)
    if box is None:
        raise ValueError("the drawn SVG has no viewBox")
    body = text[text.index(">") + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", body)  # "axes_1": the same in every plot of a page
    body = re.sub(r"<g clip-path=\"([^\"]*)\">\s*(<use .*?)\s*</g>", _styled_once, body, flags=re.DOTALL)
    body = re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\d\.\d\d)\d+", r"\1", tag[0]), body)
    body = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{name}-", body)
    return box[1], re.sub(r"\n\s*", "\n", body)


def _styled_once(group: re.Match[str]) -> str:
    """Dots that look alike: their style stands once, with their group."""
    styles = set(re.findall(r'style="([^"]*)"', group[2]))
    if len(styles) != 1:
        return group[0]
    dots = re.sub(r' style="[^"]*"', "", group[2])
    return f'<g clip-path="{group[1]}" style="{styles.pop()}">{dots}</g>'
