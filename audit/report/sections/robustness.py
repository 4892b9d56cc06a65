"""How far what is claimed of groups holds: wrong annotations, and images that are there twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from audit.report.blocks import Block, Table, folded, paragraph, table
from audit.report.cells import (
    Cell,
    claim_cell,
    group_head,
    head,
    number,
    size_cell,
    stacked,
    words,
)
from audit.report.grouping import grouped, is_crossed
from audit.report.names import metric_name, named_metrics, policy_title
from audit.report.shown_numbers import count, count_of, p_value, percent, plain, points_line
from audit.results.results import Results
from audit.results.robustness_rows import DistinctClaim, LabelNoise, TippingPoint

#: More claims than this are folded.
_UNFOLDED = 12

_NOISE = (
    "Annotators err. For each group that is claimed to differ from all others: how few images "
    "would have to be annotated wrongly before the claim no longer stands, and how often it stands "
    "if a share of all annotations is replaced at random. A wrong group is another group, in "
    "proportion to their sizes; a wrong truth is the opposite. Images are counted as annotated, so "
    "noise that is there already is not taken out. A claim that falls easily may still be true."
)

_IMAGES = {
    "counted_of_group": "of the group that count",
    "counted_of_others": "of other groups that count",
    "uncounted_of_group": "of the group that do not count",
    "uncounted_of_others": "of other groups that do not count",
}

Claimed = TippingPoint | LabelNoise | DistinctClaim


def _key(row: Claimed) -> tuple[str, str, str, str]:
    return row.policy, row.by, row.metric, row.group


def robustness_section(results: Results) -> Iterator[Block]:
    """Yields what each claim would take to fall, and what near-duplicates change."""
    metrics = named_metrics(results, (row.metric for row in results.tipping_points))
    points = [row for row in results.tipping_points if row.metric in metrics]
    if points:
        yield paragraph(_NOISE)
        yield _maybe_folded(_noise_table(results, points))
    if not results.near_duplicates:
        return
    [whole] = [row for row in results.near_duplicates if row.by == "overall"]
    yield paragraph(
        "Near-duplicates, whose features are at a cosine of ",
        plain(whole.cosine),
        " or nearer, make ",
        count(whole.clusters),
        " clusters of ",
        count(whole.images),
        " of ",
        count(whole.n),
        " images. What that cosine means depends on the model. A cluster that counts once is "
        "counted by its first image by id.",
    )
    if whole.clusters:
        yield folded(_near_duplicate_table(results))
        if distinct := [row for row in results.distinct_claims if row.metric in metrics]:
            yield _maybe_folded(_distinct_table(results, distinct))


def _maybe_folded(shown: Table) -> Block:
    return folded(shown) if len(shown.rows) > _UNFOLDED else shown


def _claim_head(results: Results, row: Claimed, *more: str) -> Cell:
    policy = policy_title(results, row.policy)
    return head(row.group, row.by, metric_name(row.metric), policy, *more)


def _noise_table(results: Results, points: Sequence[TippingPoint]) -> Table:
    noise = grouped(results.label_noise, lambda row: (*_key(row), row.noise))
    shares = sorted({row.replaced for row in results.label_noise})
    lines = []
    for row in points:
        redrawn = {each.replaced: each for each in noise[*_key(row), row.noise]}
        lines.append(
            [
                _claim_head(results, row),
                stacked(
                    count_of(row.count, row.n),
                    ("others ", *count_of(row.others_count, row.others_n)),
                ),
                words("the group" if row.noise == "group" else "the truth"),
                stacked(count_of(row.fewest, row.of), (_IMAGES[row.images],)),
                *(_redrawn_cell(redrawn[share]) for share in shares),
            ]
        )
    redrawn_columns = (f"Stands with {100 * share:g} % replaced" for share in shares)
    columns = ("Claim", "Counted", "Wrong is", "Falls if wrong in", *redrawn_columns)
    return table("How many wrong annotations each claim bears", columns, lines)


def _redrawn_cell(row: LabelNoise) -> Cell:
    return stacked((percent(row.share),), count_of(row.stands, row.redraws))


def _near_duplicate_table(results: Results) -> Table:
    lines = [
        [
            group_head(row.by, row.group),
            size_cell(row.n, row.support),
            number(count(row.images)),
            number(count(row.clusters)),
            number(count(row.largest)),
        ]
        for row in results.near_duplicates
        if not is_crossed(row.by)
    ]
    columns = ("Group", "n", "Images in clusters", "Clusters", "Images of the largest")
    return table("Near-duplicates by group", columns, lines)


def _distinct_table(results: Results, rows: Sequence[DistinctClaim]) -> Table:
    lines = [
        [
            _claim_head(results, row),
            number(*count_of(row.count, row.n)),
            number(*count_of(row.others_count, row.others_n)),
            number(*points_line(row.difference, row.difference_low, row.difference_high)),
            number(p_value(row.p)),
            claim_cell(row.stands, row.support),
        ]
        for row in rows
    ]
    columns = ("Claim", "Counted", "Others", "Difference, points", "p", "Stands")
    return table("Each claim where near-duplicates count once", columns, lines)
