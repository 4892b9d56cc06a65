"""Who is flagged: overall, by each sensitive feature alone, and where several of them meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from audit.datasets.dataset import CROSS, OVERALL
from audit.metrics.rates import FLAG
from audit.report.document import (
    Beside,
    Block,
    Cell,
    Figure,
    Figures,
    Heading,
    Table,
    folded,
    head,
    paragraph,
    side_by_side,
    table,
    words,
)
from audit.report.names import (
    distinct,
    grouped,
    is_crossed,
    metric_name,
    page_metrics,
    policy_names,
    title,
)
from audit.report.plots.forest import forest
from audit.report.plots.heatmap import crossed, heatmap
from audit.report.shown import rate_cell
from audit.results.results import Results
from audit.results.rows import Rate

#: More policies than this do not fit side by side into one forest plot.
_TOGETHER = 3


def flagged(results: Results) -> Iterator[Block]:
    """Yields the rates of the whole dataset, then of each sensitive feature with a forest plot."""
    if not results.rates:
        return
    if results.header.dataset.benign:
        yield paragraph(
            "Nothing in this dataset should be flagged. Each share flagged below is therefore "
            "also a false positive rate.",
            tone="note",
        )
    metrics = page_metrics(results, (rate.metric for rate in results.rates))
    groups = grouped((rate for rate in results.rates if rate.metric in metrics), lambda r: r.by)
    whole = groups.pop(OVERALL, [])
    if whole:
        yield _by_metric(results, "Rates of all images", "Rate", whole)
    labels = [r for r in results.rates if r.by == OVERALL and r.metric.startswith("label:")]
    if labels:
        caption = "Label that each image resembles most"
        yield folded(_by_metric(results, caption, "Label", labels))
    features = {by: rates for by, rates in groups.items() if not is_crossed(by)}
    for place, (by, rates) in enumerate(features.items()):
        yield Heading(f"By {by}")
        yield from _feature(results, by, rates, whole, place)


def _feature(
    results: Results, by: str, rates: Sequence[Rate], whole: Sequence[Rate], place: int
) -> Iterator[Block]:
    flags = [rate for rate in rates if rate.metric == FLAG]
    others = [rate for rate in rates if rate.metric != FLAG]
    if flags:
        overall = [rate for rate in whole if rate.metric == FLAG]
        figures = Figures(tuple(_forests(results, by, flags, overall, place)))
        shares = _by_group(results, f"Share flagged by {by}", flags)
        yield from (Beside(figures, shares),) if len(figures.items) == 1 else (figures, shares)
    if others:
        named = ", ".join(distinct(metric_name(rate.metric).lower() for rate in others))
        yield folded(_by_metric_and_group(results, f"Other rates by {by}: {named}", others))


def _forests(
    results: Results, by: str, flags: Sequence[Rate], overall: Sequence[Rate], place: int
) -> Iterator[Figure]:
    policies = distinct(rate.policy for rate in flags)
    several = len(policies) > _TOGETHER
    shown = [rate.high or 0 for rate in flags if rate.support != "suppressed"]
    highest = max((*shown, *(rate.rate or 0 for rate in overall)), default=0)
    for i, chosen in enumerate([[name] for name in policies] if several else [policies]):
        under = f" under {title(results, chosen[0])}" if several else ""
        svg = forest(
            [rate for rate in flags if rate.policy in chosen],
            [rate for rate in overall if rate.policy in chosen],
            {name: title(results, name) for name in policies},
            highest=highest,
            key=f"forest-{place}-{i}",
            title=f"Share flagged by {by}{under}",
        )
        caption = (
            f"Share flagged by {by}{under}, with intervals. Dashed line: overall. "
            "Hollow points are indicative."
        )
        yield Figure(svg, caption)


def intersections(results: Results) -> Iterator[Block]:
    """Yields heat maps of each pair of sensitive features, and tables of all intersections."""
    flags = [r for r in results.rates if r.metric == FLAG and is_crossed(r.by)]
    if not flags:
        return
    yield paragraph(
        "A group can be treated alike on each sensitive feature and still not where two of them "
        "meet. Cells with too few images are hatched and make no claim."
    )
    # Pairs come first, then intersections of more.
    by_depth = sorted(grouped(flags, lambda r: r.by).items(), key=lambda at: at[0].count(CROSS) > 1)
    for place, (by, rates) in enumerate(by_depth):
        yield Heading(f"By {by}")
        if by.count(CROSS) == 1:
            yield from side_by_side(_maps(results, by, rates, place))
        shares = _by_group(results, f"Share flagged by {by}", rates)
        yield folded(shares, f"Table by {by}")


def _maps(results: Results, by: str, rates: Sequence[Rate], place: int) -> Iterator[Figure]:
    highest = max((r.rate or 0 for r in rates if r.support != "suppressed"), default=0)
    for i, (policy, own) in enumerate(grouped(rates, lambda r: r.policy).items()):
        if crossed(own) is not None:
            name = f"Share flagged by {by}, {title(results, policy)}"
            svg = heatmap(own, highest, key=f"map-{place}-{i}", title=name)
            yield Figure(svg, f"{name}. The maps of this pair share one scale.")


def _by_group(results: Results, caption: str, rates: Sequence[Rate]) -> Table:
    """Returns one metric's rates: each group in its row, each policy in its column."""
    return _table(results, caption, rates, {"Group": lambda rate: head(_group(rate))})


def _by_metric_and_group(results: Results, caption: str, rates: Sequence[Rate]) -> Table:
    """Returns several metrics' rates in one table."""
    ordered = [rate for own in grouped(rates, lambda r: r.metric).values() for rate in own]
    named = {"Rate": _metric, "Group": lambda rate: words(_group(rate))}
    return _table(results, caption, ordered, named)


def _by_metric(results: Results, caption: str, name: str, rates: Sequence[Rate]) -> Table:
    """Returns several metrics' rates in the whole dataset."""
    label = (lambda rate: head(rate.metric.partition(":")[2])) if name == "Label" else _metric
    return _table(results, caption, rates, {name: label})


def _table(
    results: Results, caption: str, rates: Sequence[Rate], named: dict[str, Callable[[Rate], Cell]]
) -> Table:
    """Returns a table with a row for each metric and group, and a column for each policy."""
    present = distinct(rate.policy for rate in rates)
    policies = distinct([*(name for name in policy_names(results) if name in present), *present])
    rows = []
    for own in grouped(rates, lambda r: (r.metric, r.group)).values():
        found = {rate.policy: rate for rate in own}
        cells = [rate_cell(found[p]) if p in found else words("not in it") for p in policies]
        rows.append([*(name(own[0]) for name in named.values()), *cells])
    return table(caption, [*named, *(title(results, policy) for policy in policies)], rows)


def _metric(rate: Rate) -> Cell:
    return head(metric_name(rate.metric))


def _group(rate: Rate) -> str:
    return "All images" if rate.group == OVERALL else rate.group
