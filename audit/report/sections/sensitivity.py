"""How far rates move with wording and with thresholds, and whom prompts rank first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from audit.datasets.dataset import OVERALL
from audit.report.document import (
    Block,
    Cell,
    Figure,
    Heading,
    Name,
    Table,
    folded,
    head,
    number,
    paragraph,
    side_by_side,
    stacked,
    table,
    withheld,
    words,
)
from audit.report.names import distinct, grouped, is_crossed, title
from audit.report.plots.ribbons import ribbons
from audit.report.shown import (
    bare_percent,
    count,
    decimal,
    few_tone,
    group_head,
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


def wordings(results: Results) -> Iterator[Block]:
    """Yields the spread of each group's flag rate over wordings."""
    shown = [row for row in results.wordings if not is_crossed(row.by)]
    if shown:
        yield paragraph(
            "The share flagged under every wording that was tried, the policy's own among them: "
            "lowest and highest, and the median below them. Kendall's tau says how far the order "
            "of the groups agrees with that under its own wording: at 1 it is the same, at 0 "
            "there is no agreement."
        )
    for policy, own in grouped(shown, lambda row: row.policy).items():
        yield _spreads(title(results, policy), own)
        yield _orders(title(results, policy), own)


def _spreads(name: str, rows: Sequence[Wording]) -> Table:
    kinds = distinct(row.kind for row in rows)
    lines = []
    for (by, group), own in grouped(rows, lambda row: (row.by, row.group)).items():
        found = {row.kind: row for row in own}
        spreads = (_spread(found.get(kind)) for kind in kinds)
        lines.append([group_head(by, group), sized(own[0].n, own[0].support), *spreads])
    columns = ("Group", "n", *(_KINDS[kind] for kind in kinds))
    return table(f"Share flagged by wording, {name}", columns, lines)


def _spread(row: Wording | None) -> Cell:
    if row is None:
        return words("not tried")
    if row.support == "suppressed":
        return withheld()
    ends = (bare_percent(row.lowest, row.highest), " to ", percent(row.highest))
    return stacked(ends, ("median ", percent(row.median, row.highest)))


def _orders(name: str, rows: Sequence[Wording]) -> Table:
    """Returns how far the order of a sensitive feature's groups depends on the wording."""
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


def thresholds(results: Results) -> Iterator[Block]:
    """Yields each group's flag rate over one threshold for all labels that flag."""
    if results.thresholds:
        yield paragraph(
            "The share flagged if every label that flags had this one threshold. "
            "Thresholds do not carry over between label sets of different size."
        )
    policies = grouped(results.thresholds, lambda row: row.policy)
    for place, (policy, rows) in enumerate(policies.items()):
        yield Heading(title(results, policy))
        features = grouped(rows, lambda row: row.by)
        overall = features.pop(OVERALL, [])
        single = {by: own for by, own in features.items() if not is_crossed(by)}
        yield from side_by_side(_ribbons(single, overall, place))
        if overall:
            yield folded(_thresholds("Share flagged of all images by threshold", overall))
        for by, own in single.items():
            yield folded(_thresholds(f"Share flagged by {by} and threshold", own))


def _ribbons(
    features: Mapping[str, Sequence[Threshold]], overall: Sequence[Threshold], place: int
) -> Iterator[Figure]:
    for i, (by, own) in enumerate(features.items()):
        name = f"Share flagged by {by} over the threshold"
        svg = ribbons(own, overall, key=f"ribbons-{place}-{i}", title=name)
        yield Figure(svg, f"{name}. Groups with too few images are left out.")


def _thresholds(caption: str, rows: Sequence[Threshold]) -> Table:
    groups = distinct(row.group for row in rows)
    lines = []
    for threshold, own in grouped(rows, lambda row: row.threshold).items():
        found = {row.group: row for row in own}
        cells = (_threshold_cell(found.get(group)) for group in groups)
        lines.append([head(plain(threshold)), *cells])
    names = ["All images" if group == OVERALL else group for group in groups]
    return table(caption, ("Threshold", *names), lines)


def _threshold_cell(row: Threshold | None) -> Cell:
    if row is None:
        return words("not tried")
    fields = row.model_dump(exclude={"threshold"})
    return rate_cell(Rate(**fields, metric="selection_rate"))


def retrieval(results: Results) -> Iterator[Block]:
    """Yields how the images that resemble a prompt most differ from all in their groups."""
    if not results.skews:
        return
    yield paragraph(
        "The k images that resemble a prompt most, against the groups that they would have. "
        "MaxSkew: the logarithm of the most over-represented group's share over its desired "
        "share; at 0 there is no skew. By chance: its mean in random order; p: how often that is "
        "as large. NDKL: the same over the whole ranking, for all groups."
    )
    columns = ("Prompt", "By", "Against", "MaxSkew", "Group", "By chance", "p", "NDKL", "Images")
    yield table("Skew of retrieval", columns, map(_skew, results.skews))


def _skew(row: Skew) -> list[Cell]:
    tone = few_tone(row.support)
    desired = "equal shares" if row.desired == "equal" else "shares of the dataset"
    return [
        head(row.prompt),
        words(row.by),
        words(desired),
        withheld() if tone else number(decimal(row.max_skew)),
        words("none" if row.max_skew_group is None else Name(row.max_skew_group)),
        withheld() if tone else number(decimal(row.chance_max_skew)),
        withheld() if tone else number(p_value(row.p)),
        withheld() if tone else number(decimal(row.ndkl)),
        stacked(of(row.k, row.n), support_tag(row.support), tone=tone),
    ]
