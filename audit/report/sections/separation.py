"""How well scores separate what should be flagged, and how far they are a probability."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from audit.report.blocks import Block, Table, folded, paragraph, table
from audit.report.cells import (
    Cell,
    few_tone,
    group_head,
    marked_line,
    number,
    stacked,
    support_mark,
    withheld,
    words,
)
from audit.report.grouping import grouped
from audit.report.names import policy_title
from audit.report.shown_numbers import (
    bare_percent,
    count,
    count_of,
    decimal_line,
    percent,
    points_line,
    rate_line,
)
from audit.results.results import Results
from audit.results.robustness_rows import Calibration, Separation

_AUC = (
    "AUC: how often an image that should be flagged has a higher margin than one that should not. "
    "At 0.5 that is chance, at 1 the two never mix. The margin is how far all thresholds together "
    "would have to move before the flag of the image changes, so this does not depend on where "
    "they are. Against others: the two kinds of images come from the group and from all others. "
    "Where the images of a group that should not be flagged rank high, the last column is low. "
    "Nothing is tested here, so nothing is claimed."
)

_SCORES = (
    "The scores of the labels that flag, as one probability that an image should be flagged, "
    "against the share that should be. Above 0 they say so too often, below 0 too seldom. It is of "
    "the mix of this dataset: where fewer images should be flagged, as among uploads, the same "
    "scores overstate it. Nothing is tested here, so nothing is claimed."
)

_COMPARED = {
    "within": "AUC within the group",
    "positives_to_others": "Its images that should be flagged, against others",
    "negatives_to_others": "Its images that should not, against others",
}


def separation_section(results: Results) -> Iterator[Block]:
    """Yields AUC within and across groups, then the scores against the shares of each group."""
    if results.separations:
        yield paragraph(_AUC)
    for policy, own in grouped(results.separations, lambda row: row.policy).items():
        yield _separation_table(policy_title(results, policy), own)
    if results.calibrations:
        yield paragraph(_SCORES)
    for policy, scored in grouped(results.calibrations, lambda row: row.policy).items():
        name = policy_title(results, policy)
        yield _separation_scores(name, [row for row in scored if row.bin == 0])
        yield folded(_separation_bins(name, [row for row in scored if row.bin]))


def _separation_table(name: str, rows: Sequence[Separation]) -> Table:
    lines = []
    for (by, group), own in grouped(rows, lambda row: (row.by, row.group)).items():
        found: dict[str, Separation] = {row.compared: row for row in own}
        cells = (_separation_cell(found.get(compared)) for compared in _COMPARED)
        lines.append([group_head(by, group), *cells])
    return table(f"How well scores separate, {name}", ("Group", *_COMPARED.values()), lines)


def _separation_cell(row: Separation | None) -> Cell:
    if row is None:
        return words("no others")
    sizes = (count(row.positives), " and ", count(row.negatives))
    if row.support == "suppressed":
        return stacked(sizes, support_mark(row.support), tone="few")
    return stacked(decimal_line(row.auc, row.low, row.high), marked_line(sizes, row.support))


def _separation_scores(name: str, rows: Sequence[Calibration]) -> Table:
    lines = [[group_head(row.by, row.group), *_calibration_cells(row)] for row in rows]
    columns = ("Group", "Should be flagged", "Mean score", "Mean score less share, points")
    return table(f"Scores against the share that should be flagged, {name}", columns, lines)


def _calibration_cells(row: Calibration) -> list[Cell]:
    counted, mark = count_of(row.count, row.n), support_mark(row.support)
    if row.support == "suppressed":
        return [stacked(counted, mark, tone=few_tone(row.support)), withheld(), withheld()]
    return [
        stacked(rate_line(row.share, row.low, row.high), marked_line(counted, row.support)),
        number(percent(row.mean_score)),
        number(*points_line(row.difference, row.difference_low, row.difference_high)),
    ]


def _separation_bins(name: str, rows: Sequence[Calibration]) -> Table:
    lines = []
    for row in rows:
        high = percent(row.highest_score)
        ends = (bare_percent(row.lowest_score, row.highest_score), " to ", high)
        lines.append([group_head(row.by, row.group), number(*ends), *_calibration_cells(row)])
    columns = ("Group", "Scores", "Should be flagged", "Mean score", "Mean less share, points")
    return table(f"The same by score, {name}", columns, lines)
