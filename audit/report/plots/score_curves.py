"""How well scores find a target: precision against recall, and what each threshold would do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from audit.evaluation.figures import CurvePoint, TargetFigures
from audit.report.plots import canvas

_HEIGHT = 280.0

#: What is drawn over the threshold: its name, its colour and its dashes.
_OVER_THRESHOLD: tuple[tuple[str, str, Any, Callable[[CurvePoint], float | None]], ...] = (
    ("precision", canvas.BLUE, "-", lambda point: point.precision),
    ("recall", canvas.ORANGE, (0, (5, 1.5)), lambda point: point.recall),
    ("false flags", canvas.GREEN, (0, (1.5, 1.5)), lambda point: point.false_flag_rate),
)

#: Logits that are drawn to either side of a threshold.
_LOGITS = 10.0

_LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)), (0, (5, 1.5, 1, 1.5)))


def precision_recall_plot(rows: Sequence[TargetFigures], *, key: str, title: str) -> str:
    """Returns precision against recall of each system; a mark is where it decides.

    Args:
        rows: one target of several systems.
        key: the figure's own id.
        title: what it is.
    """
    with canvas.sheet(_HEIGHT) as figure:
        axes = figure.add_subplot()
        for place, of in enumerate(rows):
            colour, marker = canvas.SERIES[place % len(canvas.SERIES)]
            line = {"color": colour, "lw": 1.6, "ls": _LINES[place % len(_LINES)]}
            recalls = [_drawn(point.recall) for point in of.curve]
            precisions = [_drawn(point.precision) for point in of.curve]
            axes.step(recalls, precisions, where="pre", label=canvas.wrapped(of.system, 40), **line)
            own = of.decisions[0]
            at = (_drawn(own.recall.value), _drawn(own.precision.value))
            axes.plot(*at, marker, ms=7, color=colour)
        _unit_axes(axes, "recall, %", "precision, %")
        figure.legend(loc="outside upper left")
        said = "; ".join(_ranked_words(of) for of in rows)
        return canvas.inline_svg(figure, key, title, f"Precision against recall. {said}.")


def roc_plot(rows: Sequence[TargetFigures], *, key: str, title: str) -> str:
    """Returns recall against false flags of each system; a mark is where it decides."""
    with canvas.sheet(_HEIGHT) as figure:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=canvas.PALE, lw=1)
        for place, of in enumerate(rows):
            colour, marker = canvas.SERIES[place % len(canvas.SERIES)]
            line = {"color": colour, "lw": 1.6, "ls": _LINES[place % len(_LINES)]}
            false = [0.0, *(point.false_flag_rate or 0 for point in of.curve)]
            found = [0.0, *(point.recall or 0 for point in of.curve)]
            axes.plot(false, found, label=canvas.wrapped(of.system, 40), **line)
            own = of.decisions[0]
            at = (_drawn(own.false_flag_rate.value), _drawn(own.recall.value))
            axes.plot(*at, marker, ms=7, color=colour)
        _unit_axes(axes, "false flags, %", "recall, %")
        figure.legend(loc="outside upper left")
        said = "; ".join(f"{of.system}: area {_shown(of.roc_area.value)}" for of in rows)
        return canvas.inline_svg(figure, key, title, f"Recall against false flags. {said}.")


def threshold_plot(of: TargetFigures, *, key: str, title: str) -> str:
    """Returns precision, recall and false flags of one system over its threshold."""
    with canvas.sheet(_HEIGHT) as figure:
        axes = figure.add_subplot()
        curve = of.curve[::-1]
        at = [point.score for point in curve]
        for name, colour, dashes, value in _OVER_THRESHOLD:
            drawn = [_drawn(value(point)) for point in curve]
            axes.step(at, drawn, where="pre", color=colour, lw=1.6, ls=dashes, label=name)
        for decision in of.decisions:
            threshold = 0.0 if of.kind == "action" else decision.threshold
            if threshold is not None:
                axes.axvline(threshold, color=canvas.GREY, lw=1, ls=(0, (4, 2)))
        if of.kind == "action":
            axes.set_xlim(-_LOGITS, _LOGITS)
        axes.set_ylim(-0.02, 1.02)
        canvas.percent_axis(axes.yaxis)
        axes.grid(color=canvas.PALE, linewidth=0.7)
        axes.set_xlabel("logits above the threshold" if of.kind == "action" else "threshold")
        axes.set_ylabel("%")
        figure.legend(loc="outside upper left", ncols=3)
        words = f"Precision, recall and false flags of {of.system} over the threshold."
        return canvas.inline_svg(figure, key, title, words)


def _unit_axes(axes: Any, across: str, up: str) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    canvas.percent_axis(axes.xaxis)
    canvas.percent_axis(axes.yaxis)
    axes.grid(color=canvas.PALE, linewidth=0.7)
    axes.set_xlabel(across)
    axes.set_ylabel(up)


def _drawn(value: float | None) -> float:
    """Returns what a plot takes: it leaves NaN out."""
    return float("nan") if value is None else value


def _ranked_words(of: TargetFigures) -> str:
    return f"{of.system}: average precision {_shown(of.average_precision.value)}"


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{100 * value:.1f} percent"
