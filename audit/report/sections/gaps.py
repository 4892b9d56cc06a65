"""How far the groups of a feature lie apart: the widest gaps, and the equalized odds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from audit.report.document import (
    Block,
    Cell,
    Fold,
    Name,
    Table,
    Tag,
    head,
    number,
    paragraph,
    table,
)
from audit.report.names import FLAG, distinct, metric_name, page_metrics, title
from audit.report.shown import count, interval, of, p_value, points_line, ratio
from audit.results.results import Results
from audit.results.rows import Gap

_WARNING = (
    "The widest gap is read off the same images that show it, so it is biased upward: groups that "
    "are treated alike also differ a little. Its intervals are simultaneous over all pairs of "
    "groups, which allows for that. Groups with too few images are left out."
)

_RATIOS = (
    "Ratio: highest rate over lowest. Pass ratio: the share not flagged in the group flagged most, "
    "over that in the group flagged least. A pass ratio near 1 can hide a large ratio of flags. "
    "p: of all compared groups having one rate."
)

_COLUMNS = ("Highest", "Lowest", "Gap, points", "Ratio", "Pass ratio", "p", "Groups")


def gaps(results: Results) -> tuple[Block, ...]:
    """Returns the widest gap of each policy, feature and rate, and the equalized odds."""
    metrics = page_metrics(results, (gap.metric for gap in results.gaps))
    shown = [gap for gap in results.gaps if gap.metric in metrics]
    blocks: list[Block] = []
    if shown:
        blocks += [paragraph(_WARNING, tone="note"), paragraph(_RATIOS)]
    for policy in distinct(gap.policy for gap in shown):
        own = [gap for gap in shown if gap.policy == policy]
        blocks += _policy(title(results, policy), own)
    return (*blocks, *_equalized_odds(results))


def _policy(name: str, rows: Sequence[Gap]) -> Iterable[Block]:
    flags = [gap for gap in rows if gap.metric == FLAG]
    others = [gap for gap in rows if gap.metric != FLAG]
    if flags:
        yield _table(f"Widest gaps in the share flagged, {name}", flags)
    if others:
        caption = f"Widest gaps in the other rates, {name}"
        yield Fold(caption, (_table(caption, others),))


def _table(caption: str, rows: Sequence[Gap]) -> Table:
    return table(caption, ("By", *_COLUMNS), [_row(gap) for gap in rows])


def _row(gap: Gap) -> list[Cell]:
    name = head(gap.by) if gap.metric == FLAG else head(gap.by, metric_name(gap.metric))
    left = ((Tag("others too few", "few"),),) if gap.left_out else ()
    compared = Cell(((count(gap.compared),), *left))
    if gap.worst is None or gap.best is None:
        lost = Cell((("too little data",),), tone="few")
        return [name, lost, lost, lost, lost, lost, number(p_value(gap.p)), compared]
    return [
        name,
        Cell(((Name(gap.worst),), of(gap.worst_count, gap.worst_n))),
        Cell(((Name(gap.best),), of(gap.best_count, gap.best_n))),
        number(*points_line(gap.difference, gap.difference_low, gap.difference_high)),
        number(ratio(gap.ratio), *interval(gap.ratio_low, gap.ratio_high, ratio)),
        number(ratio(gap.pass_ratio), *interval(gap.pass_ratio_low, gap.pass_ratio_high, ratio)),
        number(p_value(gap.p)),
        compared,
    ]


def _equalized_odds(results: Results) -> Iterable[Block]:
    if not results.equalized_odds:
        return
    yield paragraph(
        "Equalized odds: the larger of two gaps, in the true positive rate and in the false "
        "positive rate. The interval is simultaneous."
    )
    rows = [
        [
            head(row.by, title(results, row.policy)),
            number(*points_line(row.difference, row.low, row.high)),
            number(count(row.n)),
            number(count(row.compared)),
        ]
        for row in results.equalized_odds
    ]
    columns = ("By", "Difference, points", "n", "Groups")
    yield table("Equalized odds difference", columns, rows)
