"""A sheet to draw on, and how it becomes an inline SVG that shares a page with others."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from markupsafe import escape
from matplotlib.figure import Figure

from audit.report.plots.svg import slim_svg
from moderation.visible_text import lines

#: Pixels at the natural size, which fits a telephone without being scaled down.
WIDTH = 352

#: Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, PURPLE, SKY = "#0072B2", "#D55E00", "#00795A", "#A6517E", "#3B8DBD"
INK, GREY, PALE = "#1d2429", "#66707a", "#d9dee2"

#: The colour and the shape of points of each policy, in their order.
SERIES = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "D"), (PURPLE, "^"), (SKY, "v"), (GREY, "P"))

#: No text is smaller than 11 pixels, on a telephone either, where a drawing is a little narrower.
TEXT, SMALL = 12.0, 11.5

#: From one line of small text to the next.
LEADING = 14.0

_FONTS = ["DejaVu Sans", "Verdana", "Arial", "sans-serif"]

#: A pixel is a point here, so sizes of text are pixels of the page.
_SETTINGS = {
    "figure.dpi": 72.0,
    "svg.fonttype": "none",
    "svg.hashsalt": "evenhand",
    "font.family": "sans-serif",
    "font.sans-serif": _FONTS,
    "font.size": TEXT,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.labelsize": TEXT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "hatch.linewidth": 0.7,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "path.simplify": False,
}


@contextmanager
def sheet(height: float) -> Iterator[Figure]:
    """Yields a canvas of the natural width and a height in pixels, to be drawn on in a block.

    Inside the block matplotlib has the settings of a report's figures.
    """
    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        # The page's text is set by the browser, whose fonts have what matplotlib's lack.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        warnings.filterwarnings("ignore", ".*layout not applied.*", UserWarning)
        yield Figure(figsize=(WIDTH / 72, height / 72), dpi=72, layout="constrained")


def inline_svg(figure: Figure, key: str, title: str, description: str) -> str:
    """Returns a canvas as an `<svg>` element whose ids all begin with its key.

    Args:
        figure: what is drawn.
        key: letters, digits and hyphens that no other figure of the page has.
        title: what it is, for a reader who cannot see it.
        description: what it shows, in words.
    """
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    width, height = (f"{72 * side:g}" for side in figure.get_size_inches())
    opening = (
        f'<svg role="img" aria-labelledby="{key}-title {key}-desc" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" font-family="{",".join(_FONTS)}">'
        f'<title id="{key}-title">{escape(lines(title))}</title>'
        f'<desc id="{key}-desc">{escape(lines(description))}</desc>'
    )
    return f"{opening}{slim_svg(stream.getvalue(), key)}</svg>"


def wrapped(text: str, width: int, most: int = 4) -> str:
    """Returns a text on lines of a width in characters, cut after the most; tables hold all."""
    text = " ".join(lines(text).split())
    return "\n".join(textwrap.wrap(text, width, max_lines=most, placeholder="…"))


def most_lines(texts: Iterable[str]) -> int:
    """Returns how many lines the longest of wrapped texts has."""
    return max((text.count("\n") + 1 for text in texts), default=1)


def note(axes: Any, text: str, place: float) -> None:
    """Writes at a place of a canvas why nothing is drawn there."""
    axes.annotate(
        text,
        (0, place),
        (3, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        va="center",
        color=GREY,
        fontsize=SMALL,
        fontstyle="italic",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    )


def percent_axis(axis: Any) -> None:
    """Labels an axis of a canvas in percent, with no more digits than tell its ticks apart."""
    axis.set_major_locator(mpl.ticker.MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(lambda value, _: f"{100 * value:.4g}".replace("-", "−"))


def lined_axes(axes: Any, grid: str = "x") -> None:
    """Gives axes of a canvas a line for each name, and percent along the other side."""
    percent_axis(axes.xaxis)
    axes.tick_params(axis="y", length=0, pad=8)
    axes.spines["left"].set_visible(False)
    axes.grid(axis=grid, color=PALE, linewidth=0.7)
    axes.set_axisbelow(True)
