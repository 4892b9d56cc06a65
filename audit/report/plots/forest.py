"""Rates with their intervals, one line for each group, and the overall rate as a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.lines import Line2D

from audit.report.names import distinct, short
from audit.report.plots.canvas import (
    GREY,
    SERIES,
    SMALL,
    inline_svg,
    lined_axes,
    sheet,
)
from audit.results.rows import Rate

_LINE, _FRAME = 15.0, 62.0


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
    groups, policies = distinct(r.group for r in rates), distinct(r.policy for r in rates)
    step = max(1.0, 0.62 * len(policies) + 0.5)
    with sheet(_FRAME + _LINE * (step * len(groups) + len(policies) - 1)) as figure:
        axes = figure.add_subplot()
        for rate in overall:
            series = policies.index(rate.policy)
            _reference(axes, rate, SERIES[series % len(SERIES)][0])
        for place, group in enumerate(groups):
            _group(axes, [rate for rate in rates if rate.group == group], place * step, policies)
        _finish(axes, groups, step, highest)
        if len(policies) > 1:
            _legend(figure, [called[policy] for policy in policies])
        return inline_svg(figure, key, title, _in_words(rates, overall, called))


def _reference(axes: Any, rate: Rate, colour: str) -> None:
    if rate.rate is not None:
        axes.axvline(rate.rate, color=colour, linewidth=1, linestyle=(0, (4, 3)), zorder=1)


def _group(axes: Any, rates: Sequence[Rate], place: float, policies: Sequence[str]) -> None:
    """Draws a group's rates around its place, the first policy's on top."""
    for rate in filter(_drawn, rates):
        series = policies.index(rate.policy)
        shift = 0.62 * (series - (len(policies) - 1) / 2)
        _interval(axes, rate, place + shift, *SERIES[series % len(SERIES)])
    if not any(map(_drawn, rates)):
        _absence(axes, rates[0], place)


def _drawn(rate: Rate) -> bool:
    return rate.rate is not None and rate.support != "suppressed"


def _absence(axes: Any, rate: Rate, place: float) -> None:
    """Says once for a group why it has no point under any policy."""
    axes.annotate(
        "undefined" if rate.n == 0 else f"too few: n = {rate.n:,}",
        (0, place),
        xytext=(3, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        va="center",
        color=GREY,
        fontsize=SMALL,
        fontstyle="italic",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
    )


def _interval(axes: Any, rate: Rate, place: float, colour: str, shape: str) -> None:
    full = rate.support == "full"
    style = "-" if full else (0, (2, 1.5))
    axes.plot([rate.low, rate.high], [place, place], color=colour, lw=1.6, ls=style, zorder=2)
    fill = colour if full else "white"
    axes.plot([rate.rate], [place], marker=shape, ms=5.5, mfc=fill, mec=colour, ls="", zorder=3)


def _finish(axes: Any, groups: Sequence[str], step: float, highest: float) -> None:
    axes.set_yticks([i * step for i in range(len(groups))], [short(g, 20) for g in groups])
    axes.set_ylim(step * (len(groups) - 0.5), -step / 2)
    axes.set_xlim(0, (highest or 1) * 1.04)
    axes.set_xlabel("% of the group's images")
    lined_axes(axes)


def _legend(figure: Any, names: Sequence[str]) -> None:
    handles = [
        Line2D([], [], color=colour, marker=shape, ms=5.5, lw=1.6, label=short(name, 44))
        for name, (colour, shape) in zip(names, SERIES * len(names), strict=False)
    ]
    figure.legend(handles=handles, loc="outside upper left", handlelength=1.8, labelspacing=0.3)


def _in_words(rates: Sequence[Rate], overall: Sequence[Rate], called: Mapping[str, str]) -> str:
    """Returns what the plot shows in words: the overall, the highest and the lowest rate."""
    parts = []
    for rate in overall:
        own = [each for each in rates if each.policy == rate.policy and _drawn(each)]
        text = f"{called[rate.policy]}: overall {_shown(rate)}"
        if own:
            high, low = max(own, key=_value), min(own, key=_value)
            text += f", highest {high.group} {_shown(high)}, lowest {low.group} {_shown(low)}"
        parts.append(text)
    return "; ".join(parts) + ". The table beside it holds every number."


def _value(rate: Rate) -> float:
    return rate.rate or 0.0


def _shown(rate: Rate) -> str:
    return "undefined" if rate.rate is None else f"{100 * rate.rate:.2f} percent of {rate.n:,}"
