"""Who is flagged: overall, by each sensitive feature alone, and where several of them meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from audit.datasets.groups import CROSS, OVERALL
from audit.metrics.rates import FLAG
from audit.plurals import agreeing, counted
from audit.report.blocks import (
    Beside,
    Block,
    Figure,
    Figures,
    Heading,
    Table,
    folded,
    paragraph,
    side_by_side,
    table,
)
from audit.report.cells import Cell, head, number, rate_cell, words
from audit.report.grouping import grouped, is_crossed
from audit.report.inline import Code
from audit.report.names import group_name, harm_name, metric_name, named_metrics, policy_title
from audit.report.plots.forest import forest
from audit.report.plots.heatmap import has_heatmap_rate, heatmap, heatmap_cells
from audit.report.sections.many_systems import systems_blocks_by_feature, systems_table
from audit.report.shown_numbers import count
from audit.results.results import Results
from audit.results.rows import CommonImages, Rate
from audit.statistics.support import SUPPRESSED_BELOW

#: More policies than this do not fit side by side into one forest plot.
_TOGETHER = 3

#: Fewer cells with a rate make no map.
_FEWEST_CELLS = 3

#: The first columns of a table, each with the cell that it gives to a rate.
Columns = Mapping[str, Callable[[Rate], Cell]]
_BY_METRIC: Columns = {"Rate": lambda rate: head(metric_name(rate.metric))}
_BY_LABEL: Columns = {"Label": lambda rate: head(rate.metric.partition(":")[2])}
_BY_GROUP: Columns = {"Group": lambda rate: head(group_name(rate.by, rate.group))}
_BY_METRIC_AND_GROUP: Columns = {
    **_BY_METRIC,
    "Group": lambda rate: words(group_name(rate.by, rate.group)),
}


def flagged_section(results: Results) -> Iterator[Block]:
    """Yields the rates of the whole dataset, then of each sensitive feature with a forest plot."""
    if not results.rates:
        return
    if results.header.dataset.benign and results.header.harm == FLAG:
        yield paragraph(
            "Nothing in this dataset should be flagged. Each share flagged below is therefore "
            "also a false positive rate.",
            tone="note",
        )
    yield from _common_images_blocks(results)
    metrics = named_metrics(results, (rate.metric for rate in results.rates))
    groups = grouped((rate for rate in results.rates if rate.metric in metrics), lambda r: r.by)
    whole = groups.pop(OVERALL, [])
    if results.header.is_of_many:
        yield from _flagged_by_many(results, whole, groups)
        return
    if whole:
        yield _flagged_table(results, "Rates of all images", whole, _BY_METRIC)
    labels = [r for r in results.rates if r.by == OVERALL and r.metric.startswith("label:")]
    if labels:
        caption = "Label that each image resembles most"
        if results.header.noun != "policy":
            caption = "Label that is said of each image"
        yield folded(_flagged_table(results, caption, labels, _BY_LABEL))
    features = {by: rates for by, rates in groups.items() if not is_crossed(by)}
    for place, (by, rates) in enumerate(features.items()):
        yield Heading(f"By {by}")
        yield from _flagged_blocks_by_feature(results, by, rates, whole, place)


def _flagged_by_many(
    results: Results, whole: Sequence[Rate], groups: Mapping[str, Sequence[Rate]]
) -> Iterator[Block]:
    """Yields the rates of all images under many systems, then those of each sensitive feature."""
    named = systems_table(
        "Rates of all images", whole, lambda rate: metric_name(rate.metric), results.header.noun
    )
    yield folded(named, in_markdown=True)
    features = {by: rates for by, rates in groups.items() if not is_crossed(by)}
    for place, (by, rates) in enumerate(features.items()):
        yield Heading(f"By {by}")
        yield from systems_blocks_by_feature(results, by, rates, place)


def _common_images_blocks(results: Results) -> Iterator[Block]:
    """Yields on which images the rates that need the truth are compared, where policies differ."""
    several = len(results.header.policies) > 1
    if several and results.kind != "compare" and not results.header.dataset.benign:
        yield paragraph(
            f"Each {results.header.noun} is by itself here: its labels make other truths known "
            "than those of another, so that rates which need the truth can be of other images. ",
            Code("audit compare"),
            " compares them on the same ones.",
            tone="note",
        )
    nouns = results.header.nouns
    rows = [row for row in results.common_images if row.n or row.common]
    if any(row.n != row.common for row in rows):
        yield paragraph(
            f"Rates that need the truth are compared on the images whose truth all {nouns} know, "
            f"and agree on. Images of which two {nouns} say the opposite are left out.",
            tone="note",
        )
        yield _common_images_table(results, rows)


def _common_images_table(results: Results, rows: Sequence[CommonImages]) -> Table:
    cells = [
        [
            head(metric_name(row.metric)),
            words(policy_title(results, row.policy)),
            number(count(row.common)),
            number(count(row.n)),
            number(count(row.contradicted)),
        ]
        for row in rows
    ]
    columns = ("Rate", results.header.noun.capitalize(), "Compared", "By itself", "Contradicted")
    return table("Images of known truth", columns, cells)


def _flagged_blocks_by_feature(
    results: Results, by: str, rates: Sequence[Rate], whole: Sequence[Rate], place: int
) -> Iterator[Block]:
    flags = [rate for rate in rates if rate.metric == results.header.harm]
    others = [rate for rate in rates if rate.metric != results.header.harm]
    if flags:
        overall = [rate for rate in whole if rate.metric == results.header.harm]
        figures = Figures(tuple(_flagged_forests(results, by, flags, overall, place)))
        shares = _flagged_table(results, f"{harm_name(results)} by {by}", flags, _BY_GROUP)
        yield from (Beside(figures, shares),) if len(figures.figures) == 1 else (figures, shares)
    if others:
        named = ", ".join(dict.fromkeys(metric_name(r.metric).lower() for r in others))
        caption = f"Other rates by {by}: {named}"
        yield folded(_flagged_table(results, caption, others, _BY_METRIC_AND_GROUP))


def _flagged_forests(
    results: Results, by: str, flags: Sequence[Rate], overall: Sequence[Rate], place: int
) -> Iterator[Figure]:
    policies = list(dict.fromkeys(rate.policy for rate in flags))
    several = len(policies) > _TOGETHER
    shown = [rate.high or 0 for rate in flags if rate.support != "suppressed"]
    highest = max((*shown, *(rate.rate or 0 for rate in overall)), default=0)
    for i, chosen in enumerate([[name] for name in policies] if several else [policies]):
        under = f" under {policy_title(results, chosen[0])}" if several else ""
        svg = forest(
            [rate for rate in flags if rate.policy in chosen],
            [rate for rate in overall if rate.policy in chosen],
            {name: policy_title(results, name) for name in policies},
            highest=highest,
            key=f"forest-{place}-{i}",
            title=f"{harm_name(results)} by {by}{under}",
        )
        caption = (
            f"{harm_name(results)} by {by}{under}, with intervals. Dashed line: overall. "
            "Hollow points are indicative."
        )
        yield Figure(svg, caption)


def flagged_intersections_section(results: Results) -> Iterator[Block]:
    """Yields heat maps of each pair of sensitive features, and tables of all intersections."""
    flags = [r for r in results.rates if r.metric == results.header.harm and is_crossed(r.by)]
    if not flags:
        return
    yield paragraph(
        "A difference can lie where two sensitive features meet, and in neither of them alone. "
        "A group with too few images shows no rate and makes no claim."
    )
    by_feature = grouped(flags, lambda rate: rate.by)
    if results.header.is_of_many:
        yield paragraph("Of so many they stand in ", Code("rates.csv"), " alone.")
        return
    for place, by in enumerate(sorted(by_feature, key=lambda by: _place(by_feature[by]))):
        yield Heading(f"By {by}")
        yield from _flagged_intersection_blocks(results, by, by_feature[by], place)


def _place(rates: Sequence[Rate]) -> tuple[bool, bool]:
    """Returns a key that sorts pairs of features before more of them, and first those with data."""
    return rates[0].by.count(CROSS) > 1, not any(map(has_heatmap_rate, rates))


def _flagged_intersection_blocks(
    results: Results, by: str, rates: Sequence[Rate], place: int
) -> Iterator[Block]:
    shown = [rate for rate in rates if has_heatmap_rate(rate)]
    groups, with_data = (len({rate.group for rate in each}) for each in (rates, shown))
    caption = f"{harm_name(results)} by {by}"
    if with_data < _FEWEST_CELLS:
        yield paragraph(
            f"{with_data:,} of {counted(groups, 'group')} {agreeing(with_data, 'has', 'have')} "
            f"{SUPPRESSED_BELOW} images or more: too few for a map."
        )
        if shown:
            yield _flagged_table(results, f"{caption}: groups with data", shown, _BY_GROUP)
    elif by.count(CROSS) == 1:
        yield from side_by_side(_flagged_heatmaps(results, by, rates, place))
    data_first = sorted(rates, key=lambda rate: not has_heatmap_rate(rate))
    yield folded(_flagged_table(results, caption, data_first, _BY_GROUP), f"Table by {by}")


def _flagged_heatmaps(
    results: Results, by: str, rates: Sequence[Rate], place: int
) -> Iterator[Figure]:
    highest = max((rate.rate or 0 for rate in rates if has_heatmap_rate(rate)), default=0)
    for i, (policy, own) in enumerate(grouped(rates, lambda r: r.policy).items()):
        if heatmap_cells(own) is not None:
            name = f"{harm_name(results)} by {by}, {policy_title(results, policy)}"
            svg = heatmap(own, highest, key=f"map-{place}-{i}", title=name)
            yield Figure(svg, f"{name}. The maps of this pair share one scale.")


def _flagged_table(results: Results, caption: str, rates: Sequence[Rate], named: Columns) -> Table:
    """Returns a table with a row for each metric and group, and a column for each policy."""
    policies = dict.fromkeys(rate.policy for rate in rates)
    rows = []
    for of_metric in grouped(rates, lambda r: r.metric).values():
        for own in grouped(of_metric, lambda r: r.group).values():
            found = {rate.policy: rate for rate in own}
            cells = [rate_cell(found[p]) if p in found else words("not in it") for p in policies]
            rows.append([*(name(own[0]) for name in named.values()), *cells])
    return table(caption, [*named, *(policy_title(results, policy) for policy in policies)], rows)
