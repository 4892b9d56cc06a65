"""Who is flagged: overall, and by each feature alone."""

from __future__ import annotations

from collections.abc import Sequence

from audit.report.document import Beside, Block, Figure, Figures, Fold, Heading, paragraph
from audit.report.names import (
    FLAG,
    OVERALL,
    distinct,
    metric_name,
    page_metrics,
    singles,
    title,
)
from audit.report.plots.forest import forest
from audit.report.sections.rate_tables import by_group, by_metric, by_metric_and_group
from audit.results.results import Results
from audit.results.rows import Rate

#: More policies than this no longer fit side by side into one forest plot.
_TOGETHER = 3


def flagged(results: Results) -> tuple[Block, ...]:
    """Returns the rates of the whole dataset, then of each feature with a forest plot."""
    if not results.rates:
        return ()
    metrics = page_metrics(results, (rate.metric for rate in results.rates))
    shown = [rate for rate in results.rates if rate.metric in metrics]
    whole = [rate for rate in shown if rate.by == OVERALL]
    blocks: list[Block] = list(_benign(results))
    if whole:
        blocks.append(by_metric(results, "Rates of all images", "Rate", whole))
    blocks += _resembled(results)
    for i, by in enumerate(singles(rate.by for rate in shown)):
        own = [rate for rate in shown if rate.by == by]
        blocks += _feature(results, by, own, whole, i)
    return tuple(blocks)


def _benign(results: Results) -> tuple[Block, ...]:
    if not results.header.dataset.benign:
        return ()
    return (
        paragraph(
            "Nothing in this dataset should be flagged. Each share flagged below is therefore "
            "also a false positive rate.",
            tone="note",
        ),
    )


def _resembled(results: Results) -> tuple[Block, ...]:
    rows = [r for r in results.rates if r.by == OVERALL and r.metric.startswith("label:")]
    if not rows:
        return ()
    caption = "Label that each image resembles most"
    return (Fold(caption, (by_metric(results, caption, "Label", rows),)),)


def _feature(
    results: Results, by: str, rates: Sequence[Rate], whole: Sequence[Rate], place: int
) -> tuple[Block, ...]:
    flags = [rate for rate in rates if rate.metric == FLAG]
    others = [rate for rate in rates if rate.metric != FLAG]
    blocks: list[Block] = [Heading(f"By {by}")]
    if flags:
        overall = [rate for rate in whole if rate.metric == FLAG]
        figures = Figures(tuple(_forests(results, by, flags, overall, place)))
        rates_table = by_group(results, f"Share flagged by {by}", flags)
        together = len(figures.items) == 1
        blocks += [Beside(figures, rates_table)] if together else [figures, rates_table]
    if others:
        named = ", ".join(distinct(metric_name(rate.metric).lower() for rate in others))
        caption = f"Other rates by {by}: {named}"
        blocks.append(Fold(caption, (by_metric_and_group(results, caption, others),)))
    return tuple(blocks)


def _forests(
    results: Results, by: str, flags: Sequence[Rate], overall: Sequence[Rate], place: int
) -> list[Figure]:
    policies = distinct(rate.policy for rate in flags)
    several = len(policies) > _TOGETHER
    called = {name: title(results, name) for name in policies}
    shown = [rate.high or 0 for rate in flags if rate.support != "suppressed"]
    highest = max((*shown, *(rate.rate or 0 for rate in overall)), default=0)
    figures = []
    for i, chosen in enumerate([[name] for name in policies] if several else [policies]):
        of = f" under {title(results, chosen[0])}" if several else ""
        svg = forest(
            [rate for rate in flags if rate.policy in chosen],
            [rate for rate in overall if rate.policy in chosen],
            called,
            highest=highest,
            key=f"forest-{place}-{i}",
            title=f"Share flagged by {by}{of}",
        )
        caption = (
            f"Share flagged by {by}{of}, with intervals. Dashed line: overall. "
            "Hollow points are indicative."
        )
        figures.append(Figure(svg, caption))
    return figures
