"""How far each group lies from the overall rate, and which pairs of groups differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from audit.report.document import (
    Block,
    Cell,
    Fold,
    Name,
    Table,
    head,
    number,
    paragraph,
    table,
    withheld,
)
from audit.report.names import FLAG, distinct, metric_name, page_metrics, singles, title
from audit.report.shown import claim_cell, interval, of, p_value, points_line, ratio
from audit.results.results import Results
from audit.results.rows import Difference


def differences(results: Results) -> tuple[Block, ...]:
    """Returns each group against all images, for each policy, and the pairs that differ."""
    metrics = page_metrics(results, (row.metric for row in results.differences))
    shown = [row for row in results.differences if row.metric in metrics]
    if not shown:
        return ()
    told = paragraph(
        "Each group against all images. p is corrected by Holm over the groups of a feature; "
        "a difference stands where that p is below 0.05. Without that no claim is made."
    )
    blocks: list[Block] = [told]
    for policy in distinct(row.policy for row in shown):
        own = [row for row in shown if row.policy == policy]
        blocks += _policy(title(results, policy), own)
    return tuple(blocks)


def _policy(name: str, rows: Sequence[Difference]) -> Iterable[Block]:
    alone = singles(row.by for row in rows)
    whole = [row for row in rows if row.comparison == "to_overall"]
    main = [row for row in whole if row.by in alone and row.metric == FLAG]
    if main:
        yield _table(f"Share flagged: each group against all images, {name}", main)
    if others := [row for row in whole if row.claim and row not in main]:
        caption = f"Other rates and intersections whose difference stands, {name}"
        yield Fold(caption, (_table(caption, others),))
    pairs = [row for row in rows if row.comparison == "between_groups" and row.claim]
    if pairs := [row for row in pairs if row.metric == FLAG and row.by in alone]:
        caption = f"Pairs of groups whose difference stands, {name}"
        yield Fold(caption, (_table(caption, pairs),))


def _table(caption: str, rows: Sequence[Difference]) -> Table:
    columns = ("Group", "Flagged", "Against", "Difference, points", "Ratio", "Adjusted p", "Claim")
    return table(caption, columns, [_row(row) for row in rows])


def _row(row: Difference) -> list[Cell]:
    rate = () if row.metric == FLAG else (metric_name(row.metric),)
    against = "all images" if row.comparison == "to_overall" else Name(row.reference)
    cells = [
        head(row.group, row.by, *rate),
        number(*of(row.count, row.n)),
        Cell(((against,), of(row.reference_count, row.reference_n))),
    ]
    claim = claim_cell(row.claim, row.support)
    if row.support == "suppressed":
        return [*cells, withheld(), withheld(), withheld(), claim]
    return [
        *cells,
        number(*points_line(row.difference, row.difference_low, row.difference_high)),
        number(ratio(row.ratio), *interval(row.ratio_low, row.ratio_high, ratio)),
        number(p_value(row.p_adjusted)),
        claim,
    ]
