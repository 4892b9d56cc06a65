"""Who is flagged, by two features at once and by more."""

from __future__ import annotations

from collections.abc import Sequence

from audit.report.document import Block, Figure, Figures, Fold, Heading, paragraph
from audit.report.names import FLAG, distinct, features, title
from audit.report.plots.heatmap import crossed, heatmap
from audit.report.sections.rate_tables import by_group
from audit.results.results import Results
from audit.results.rows import Rate


def intersections(results: Results) -> tuple[Block, ...]:
    """Returns heat maps of each pair of features, and tables of all intersections."""
    rates = [rate for rate in results.rates if rate.metric == FLAG]
    pairs = features((rate.by for rate in rates), 1)
    deeper = features((rate.by for rate in rates), 2)
    if not pairs and not deeper:
        return ()
    told = paragraph(
        "A group can be treated alike on each feature and still not where two of them meet. "
        "Cells with too few images are hatched and make no claim."
    )
    blocks: list[Block] = [told]
    for i, by in enumerate(pairs):
        own = [rate for rate in rates if rate.by == by]
        blocks += [Heading(f"By {by}"), *_maps(results, by, own, i), _fold(results, by, own)]
    for by in deeper:
        own = [rate for rate in rates if rate.by == by]
        blocks += [Heading(f"By {by}"), _fold(results, by, own)]
    return tuple(blocks)


def _fold(results: Results, by: str, rates: Sequence[Rate]) -> Fold:
    return Fold(f"Table by {by}", (by_group(results, f"Share flagged by {by}", rates),))


def _maps(results: Results, by: str, rates: Sequence[Rate], place: int) -> tuple[Figures, ...]:
    highest = max((r.rate or 0 for r in rates if r.support != "suppressed"), default=0)
    figures = []
    for i, policy in enumerate(distinct(rate.policy for rate in rates)):
        own = [rate for rate in rates if rate.policy == policy]
        if crossed(own) is None:
            continue
        name = f"Share flagged by {by}, {title(results, policy)}"
        svg = heatmap(own, highest, key=f"map-{place}-{i}", title=name)
        figures.append(Figure(svg, f"{name}. The maps of this pair share one scale."))
    return (Figures(tuple(figures)),) if figures else ()
