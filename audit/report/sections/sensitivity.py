"""How far rates move with wording and with thresholds, and whom prompts rank first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from audit.report.document import (
    Block,
    Cell,
    Figure,
    Figures,
    Fold,
    Heading,
    Name,
    Table,
    head,
    number,
    paragraph,
    table,
    withheld,
    words,
)
from audit.report.names import OVERALL, distinct, singles, title
from audit.report.plots.ribbons import ribbons
from audit.report.shown import (
    bare_percent,
    count,
    decimal,
    few_tone,
    of,
    p_value,
    percent,
    plain,
    rate_cell,
    sized,
    support_tag,
)
from audit.results.ablation_rows import Threshold, Wording
from audit.results.results import Results
from audit.results.rows import Rate, Skew

_KINDS = {
    "template": "Other templates",
    "article": "Other articles",
    "synonym": "Other words for one label",
}


def wordings(results: Results) -> tuple[Block, ...]:
    """Returns the spread of each group's flag rate over wordings."""
    rows = results.wordings
    alone = singles(row.by for row in rows)
    shown = [row for row in rows if row.by == OVERALL or row.by in alone]
    if not shown:
        return ()
    told = paragraph(
        "The share flagged under every wording that was tried, the policy's own among them: lowest "
        "and highest, and the median below them. Kendall's tau says how far the order of the "
        "groups agrees with that under the own wording: 1 is the same order, 0 is none."
    )
    blocks: list[Block] = [told]
    for policy in distinct(row.policy for row in shown):
        own = [row for row in shown if row.policy == policy]
        blocks += [_spreads(title(results, policy), own), _orders(title(results, policy), own)]
    return tuple(blocks)


def _spreads(name: str, rows: Sequence[Wording]) -> Table:
    kinds = distinct(row.kind for row in rows)
    found = {(row.by, row.group, row.kind): row for row in rows}
    lines = []
    for by, group in distinct((row.by, row.group) for row in rows):
        first = next(row for row in rows if (row.by, row.group) == (by, group))
        label = head("All images") if by == OVERALL else head(group, by)
        spreads = (_spread(found.get((by, group, kind))) for kind in kinds)
        lines.append([label, sized(first.n, first.support), *spreads])
    columns = ("Group", "n", *(_KINDS[kind] for kind in kinds))
    return table(f"Share flagged by wording, {name}", columns, lines)


def _spread(row: Wording | None) -> Cell:
    if row is None:
        return words("not tried")
    if row.support == "suppressed":
        return withheld()
    ends = (bare_percent(row.lowest, row.highest), " to ", percent(row.highest))
    return Cell((ends, ("median ", percent(row.median, row.highest))))


def _orders(name: str, rows: Sequence[Wording]) -> Table:
    """Returns how far the order of a feature's groups depends on the wording."""
    found = {(row.kind, row.by): row for row in rows if row.by != OVERALL}
    cells = [
        [
            head(by),
            words(_KINDS[kind]),
            number(count(row.wordings)),
            number(decimal(row.kendall_tau)),
        ]
        for (kind, by), row in found.items()
    ]
    columns = ("By", "Wording", "Wordings", "Kendall's tau")
    return table(f"Whether the order of the groups stays, {name}", columns, cells)


def thresholds(results: Results) -> tuple[Block, ...]:
    """Returns each group's flag rate over one threshold for all labels that flag."""
    if not results.thresholds:
        return ()
    told = paragraph(
        "The share flagged if every label that flags had this one threshold. "
        "Thresholds do not carry over between label sets of different size."
    )
    blocks: list[Block] = [told]
    for i, policy in enumerate(distinct(row.policy for row in results.thresholds)):
        own = [row for row in results.thresholds if row.policy == policy]
        blocks += [Heading(title(results, policy)), *_policy(own, i)]
    return tuple(blocks)


def _policy(rows: Sequence[Threshold], place: int) -> Iterable[Block]:
    overall = [row for row in rows if row.by == OVERALL]
    figures = []
    for i, by in enumerate(singles(row.by for row in rows)):
        own = [row for row in rows if row.by == by]
        name = f"Share flagged by {by} over the threshold"
        svg = ribbons(own, overall, key=f"ribbons-{place}-{i}", title=name)
        figures.append(Figure(svg, f"{name}. Groups with too few images are left out."))
    if figures:
        yield Figures(tuple(figures))
    if overall:
        caption = "Share flagged of all images by threshold"
        yield Fold(caption, (_threshold_table(caption, overall),))
    for by in singles(row.by for row in rows):
        caption = f"Share flagged by {by} and threshold"
        own = [row for row in rows if row.by == by]
        yield Fold(caption, (_threshold_table(caption, own),))


def _threshold_table(caption: str, rows: Sequence[Threshold]) -> Block:
    groups = distinct(row.group for row in rows)
    found = {(row.threshold, row.group): row for row in rows}
    cells = [
        [
            Cell(((plain(threshold),),), role="head"),
            *(_threshold_cell(found.get((threshold, group))) for group in groups),
        ]
        for threshold in distinct(row.threshold for row in rows)
    ]
    names = ["All images" if group == OVERALL else group for group in groups]
    return table(caption, ("Threshold", *names), cells)


def _threshold_cell(row: Threshold | None) -> Cell:
    if row is None:
        return words("not tried")
    fields = row.model_dump(exclude={"threshold"})
    return rate_cell(Rate(**fields, metric="selection_rate"))


def retrieval(results: Results) -> tuple[Block, ...]:
    """Returns how the images that resemble a prompt most differ from all in their groups."""
    if not results.skews:
        return ()
    told = paragraph(
        "The k images that resemble a prompt most, against the groups that they would have. "
        "MaxSkew: the logarithm of the most over-represented group's share over its desired "
        "share; 0 is none. By chance: its mean in random order; p: how often that is as large. "
        "NDKL: the same over the whole ranking, for all groups."
    )
    columns = ("Prompt", "By", "Against", "MaxSkew", "Group", "By chance", "p", "NDKL", "Images")
    rows = [_skew(row) for row in results.skews]
    return (told, table("Skew of retrieval", columns, rows))


def _skew(row: Skew) -> list[Cell]:
    few = row.support == "suppressed"
    desired = "equal shares" if row.desired == "equal" else "shares of the dataset"
    mark = support_tag(row.support)
    return [
        head(row.prompt),
        words(row.by),
        words(desired),
        withheld() if few else number(decimal(row.max_skew)),
        words("none" if row.max_skew_group is None else Name(row.max_skew_group)),
        withheld() if few else number(decimal(row.chance_max_skew)),
        withheld() if few else number(p_value(row.p)),
        withheld() if few else number(decimal(row.ndkl)),
        Cell((of(row.k, row.n), *((mark,) if mark else ())), tone=few_tone(row.support)),
    ]
