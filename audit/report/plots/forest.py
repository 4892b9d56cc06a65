"""Rates with their intervals, one line for each group, and the overall rate as a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from matplotlib.lines import Line2D

from audit.report.plots import canvas
from audit.report.plots.in_words import ends_in_words, rate_in_words
from audit.results.rows import Rate

_LINE, _FRAME = 17.0, 68.0


def forest(
    rates: Sequence[Rate],
    overall: Sequence[Rate],
    called: Mapping[str, str],
    *,
    highest: float,
    key: str,
    title: str,
) -> str:
    """Returns a forest plot of the rates of one sensitive feature, under one policy or several.

    Args:
        rates: of each policy and group.
        overall: of each policy, the rate of the whole dataset.
        called: by policy, what the legend says.
        highest: the end of the axis, so that several plots share one scale.
        key: the figure's own id.
        title: what it is.
    """
    groups = list(dict.fromkeys(rate.group for rate in rates))
    policies = list(dict.fromkeys(rate.policy for rate in rates))
    styles = dict(zip(policies, cycle(canvas.SERIES), strict=False))
    names = [canvas.wrapped(group, 18) for group in groups]
    high = canvas.LEADING * canvas.most_lines(names) / _LINE + 0.3
    step = max(1.0, 0.62 * len(policies) + 0.5, high)
    legend = [canvas.wrapped(called[policy], 42) for policy in policies]
    legend_lines = "\n".join(legend).count("\n") if len(policies) > 1 else 0
    with canvas.sheet(_FRAME + _LINE * (step * len(groups) + legend_lines)) as figure:
        axes = figure.add_subplot()
        for rate in overall:
            if rate.rate is not None:
                colour, _ = styles[rate.policy]
                axes.axvline(rate.rate, color=colour, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        for place, group in enumerate(groups):
            of_group = [rate for rate in rates if rate.group == group]
            _draw_forest_group(axes, of_group, place * step, styles)
        _finish_forest(axes, names, step, highest)
        if len(policies) > 1:
            handles = [
                Line2D([], [], color=colour, marker=shape, ms=5.5, lw=1.6)
                for colour, shape in styles.values()
            ]
            above = "outside upper left"
            figure.legend(handles, legend, loc=above, handlelength=1.8, labelspacing=0.3)
        return canvas.inline_svg(figure, key, title, _forest_in_words(rates, overall, called))


def _draw_forest_group(
    axes: Any, rates: Sequence[Rate], place: float, styles: Mapping[str, tuple[str, str]]
) -> None:
    """Draws a group's rates around its place, the first policy's on top."""
    shown = list(filter(_has_forest_point, rates))
    for rate in shown:
        shift = 0.62 * (list(styles).index(rate.policy) - (len(styles) - 1) / 2)
        _draw_forest_interval(axes, rate, place + shift, *styles[rate.policy])
    if not shown:
        n = rates[0].n
        canvas.note(axes, f"too few: n = {n:,}" if n else "undefined", place)


def _has_forest_point(rate: Rate) -> bool:
    return rate.rate is not None and rate.support != "suppressed"


def _draw_forest_interval(axes: Any, rate: Rate, place: float, colour: str, shape: str) -> None:
    full = rate.support == "full"
    style = "-" if full else (0, (2, 1.5))
    axes.plot([rate.low, rate.high], [place, place], color=colour, lw=1.6, ls=style, zorder=2)
    fill = colour if full else "white"
    axes.plot(
        [rate.rate],
        [place],
        marker=shape,
        ms=5.5,
        mfc=fill,
        mec=colour,
        ls="",
        zorder=3,
        clip_on=False,
    )


def _finish_forest(axes: Any, names: Sequence[str], step: float, highest: float) -> None:
    axes.set_yticks([i * step for i in range(len(names))], names)
    axes.set_ylim(step * (len(names) - 0.5), -step / 2)
    axes.set_xlim(0, (highest or 1) * 1.04)
    axes.set_xlabel("% of the group's images")
    canvas.lined_axes(axes)


def _forest_in_words(
    rates: Sequence[Rate], overall: Sequence[Rate], called: Mapping[str, str]
) -> str:
    """Returns what the plot shows in words: the overall, the highest and the lowest rate."""
    parts = []
    for rate in overall:
        text = f"{called[rate.policy]}: overall {rate_in_words(rate)}"
        own = [each for each in rates if each.policy == rate.policy and _has_forest_point(each)]
        ends = ends_in_words(own)
        parts.append(f"{text}; {ends}" if ends else text)
    return ". ".join(parts) + ". The table beside it holds every number."
