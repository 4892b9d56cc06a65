"""What a report begins with: the headline, the plot that shows it, what it means, what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from audit.datasets.groups import CROSS, OVERALL
from audit.report.blocks import Figure
from audit.report.inline import Line, quoted_line
from audit.report.names import metric_name, policy_title
from audit.report.plots.dumbbell import dumbbell
from audit.report.plots.forest import forest
from audit.results.ablation_rows import Ablation
from audit.results.finding import Headline
from audit.results.opening_sentences import opening_sentences
from audit.results.results import Results
from audit.results.rows import Rate, Shift

#: More policies than this do not fit into one plot.
_TOGETHER = 3

#: More groups than this, as where features meet, are drawn only if their rates are highest.
_DRAWN = 16


@dataclass(frozen=True)
class OpeningPart:
    """A few sentences of the opening under a title."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Opening:
    """What stands before the first section of a report."""

    finding: Line
    figures: tuple[Figure, ...]
    parts: tuple[OpeningPart, ...]


def make_opening(results: Results) -> Opening:
    """Returns the opening of a report."""
    parts = (
        OpeningPart(title, tuple(map(quoted_line, sentences)))
        for title, sentences in opening_sentences(results)
    )
    return Opening(quoted_line(results.headline.finding), tuple(_figures(results)), tuple(parts))


def _figures(results: Results) -> Iterator[Figure]:
    headline = results.headline
    if headline.kind in ("none", "difference"):
        yield from _rates_figure(results, headline)
    else:
        yield from _change_figure(results, headline)


def _rates_figure(results: Results, headline: Headline) -> Iterator[Figure]:
    """Yields the rates of the groups of which the headline speaks, under up to three policies."""
    metric = headline.metric or results.header.harm
    names = [policy.name for policy in results.header.policies]
    names = [name for name in names if name in headline.policies or len(names) <= _TOGETHER]
    own = [r for r in results.rates if r.metric == metric and r.policy in names[:_TOGETHER]]
    by = headline.by or next((rate.by for rate in own if rate.by != OVERALL), None)
    overall = [rate for rate in own if rate.by == OVERALL]
    rates = _drawn_rates([rate for rate in own if rate.by == by], headline.group)
    if not rates:
        return
    name = f"{metric_name(metric)} by {by}"
    ends = [r.high or 0 for r in rates if r.support != "suppressed"]
    svg = forest(
        rates,
        overall,
        {each: policy_title(results, each) for each in names},
        highest=max((*ends, *(rate.rate or 0 for rate in overall)), default=0),
        key="headline",
        title=name,
    )
    yield Figure(svg, f"{name}, with intervals. Dashed line: overall. Hollow points: few images.")


def _drawn_rates(rates: Sequence[Rate], group: str | None) -> list[Rate]:
    """Returns the rates of the groups that are drawn: all, or the highest of very many."""
    if len({rate.group for rate in rates}) <= _DRAWN:
        return list(rates)
    shown = [rate for rate in rates if rate.support != "suppressed"]
    shown.sort(key=lambda rate: (rate.group != group, -(rate.rate or 0.0)))
    kept = list(dict.fromkeys(rate.group for rate in shown))[:_DRAWN]
    return [rate for rate in shown if rate.group in kept]


def _change_figure(results: Results, headline: Headline) -> Iterator[Figure]:
    """Yields the rates before and after the change of which the headline speaks, by group."""
    changes: tuple[Shift | Ablation, ...] = (*results.shifts, *results.ablations)
    rows = [
        row
        for row in changes
        if (row.metric, *row.label_sets) == (headline.metric, headline.before, headline.after)
        if isinstance(row, Ablation) or row.matched == (headline.kind == "matched shift")
    ]
    by = headline.by
    if by == OVERALL:
        features = [row.by for row in rows if row.by != OVERALL and CROSS not in row.by]
        by = next(iter(features), OVERALL)
    own = [row for row in rows if row.by in (by, OVERALL)]
    if CROSS in (by or ""):
        own = [row for row in own if row.support != "suppressed"][:_DRAWN]
    if own:
        name = f"{metric_name(headline.metric or results.header.harm)} by {by}, before and after"
        before, after = headline.before or "", headline.after or ""
        svg = dumbbell(own, before=before, after=after, key="headline", title=name)
        yield Figure(svg, f"{name}. A star marks a change that stands.")
