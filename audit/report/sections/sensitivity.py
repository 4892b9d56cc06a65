"""How far rates move with wording and with thresholds, and whom prompts rank first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from audit.datasets.groups import OVERALL
from audit.report.blocks import (
    Block,
    Figure,
    Heading,
    Table,
    folded,
    paragraph,
    side_by_side,
    table,
)
from audit.report.cells import (
    Cell,
    few_tone,
    group_head,
    head,
    number,
    rate_cell,
    size_cell,
    stacked,
    support_mark,
    withheld,
    words,
)
from audit.report.grouping import grouped, is_crossed
from audit.report.inline import Name
from audit.report.names import group_name, policy_title
from audit.report.plots.threshold_curves import threshold_curves
from audit.report.sections.wording_gaps import wording_gaps_section
from audit.report.shown_numbers import (
    bare_percent,
    count,
    count_of,
    decimal,
    p_value,
    percent,
    plain,
)
from audit.results.ablation_rows import Threshold, Wording
from audit.results.results import Results
from audit.results.rows import Rate, Skew

_KINDS = {
    "template": "Other templates",
    "article": "Other articles",
    "synonym": "Other words for one label",
}


def wording_sensitivity_section(results: Results) -> Iterator[Block]:
    """Yields the spread of each group's flag rate over wordings, then that of the gaps."""
    shown = [row for row in results.wordings if not is_crossed(row.by)]
    if shown:
        yield paragraph(
            "The share flagged under every wording that was tried, the policy's own among them: "
            "lowest and highest, and the median below them. Kendall's tau says how far the order "
            "of the groups agrees with that under its own wording: at 1 it is the same, at 0 "
            "there is no agreement."
        )
    for policy, own in grouped(shown, lambda row: row.policy).items():
        yield _wording_sensitivity_table(policy_title(results, policy), own)
        yield _wording_sensitivity_orders(policy_title(results, policy), own)
    yield from wording_gaps_section(results)


def _wording_sensitivity_table(name: str, rows: Sequence[Wording]) -> Table:
    kinds = list(dict.fromkeys(row.kind for row in rows))
    lines = []
    for (by, group), own in grouped(rows, lambda row: (row.by, row.group)).items():
        found = {row.kind: row for row in own}
        spreads = (_wording_sensitivity_cell(found.get(kind)) for kind in kinds)
        lines.append([group_head(by, group), size_cell(own[0].n, own[0].support), *spreads])
    columns = ("Group", "n", *(_KINDS[kind] for kind in kinds))
    return table(f"Share flagged by wording, {name}", columns, lines)


def _wording_sensitivity_cell(row: Wording | None) -> Cell:
    if row is None:
        return words("not tried")
    if row.support == "suppressed":
        return withheld()
    ends = (bare_percent(row.lowest, row.highest), " to ", percent(row.highest))
    return stacked(ends, ("median ", percent(row.median, row.highest)))


def _wording_sensitivity_orders(name: str, rows: Sequence[Wording]) -> Table:
    """Returns how far the order of a sensitive feature's groups depends on the wording."""
    found = {(row.kind, row.by): row for row in rows if row.by != OVERALL and row.wordings > 1}
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


def threshold_sensitivity_section(results: Results) -> Iterator[Block]:
    """Yields each group's flag rate over one threshold for all labels that flag."""
    if results.thresholds:
        yield paragraph(
            "The share flagged if every label that flags had this one threshold. "
            "Thresholds do not carry over between label sets of different size."
        )
    policies = grouped(results.thresholds, lambda row: row.policy)
    for place, (policy, rows) in enumerate(policies.items()):
        yield Heading(policy_title(results, policy))
        features = grouped(rows, lambda row: row.by)
        overall = features.pop(OVERALL, [])
        single = {by: own for by, own in features.items() if not is_crossed(by)}
        yield from side_by_side(_threshold_sensitivity_curves(single, overall, place))
        if overall:
            yield folded(
                _threshold_sensitivity_table("Share flagged of all images by threshold", overall)
            )
        for by, own in single.items():
            yield folded(_threshold_sensitivity_table(f"Share flagged by {by} and threshold", own))


def _threshold_sensitivity_curves(
    features: Mapping[str, Sequence[Threshold]], overall: Sequence[Threshold], place: int
) -> Iterator[Figure]:
    for i, (by, own) in enumerate(features.items()):
        name = f"Share flagged by {by} over the threshold"
        svg = threshold_curves(own, overall, key=f"ribbons-{place}-{i}", title=name)
        yield Figure(svg, f"{name}. Groups with too few images are left out.")


def _threshold_sensitivity_table(caption: str, rows: Sequence[Threshold]) -> Table:
    groups = list(dict.fromkeys(row.group for row in rows))
    lines = []
    for threshold, own in grouped(rows, lambda row: row.threshold).items():
        found = {row.group: row for row in own}
        cells = (_threshold_sensitivity_cell(found.get(group)) for group in groups)
        lines.append([head(plain(threshold)), *cells])
    names = [group_name(rows[0].by, group) for group in groups]
    return table(caption, ("Threshold", *names), lines)


def _threshold_sensitivity_cell(row: Threshold | None) -> Cell:
    if row is None:
        return words("not tried")
    fields = row.model_dump(exclude={"threshold"})
    return rate_cell(Rate(**fields, metric="selection_rate"))


def retrieval_sensitivity_section(results: Results) -> Iterator[Block]:
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
    yield table("Skew of retrieval", columns, map(_retrieval_sensitivity_cells, results.skews))


def _retrieval_sensitivity_cells(row: Skew) -> list[Cell]:
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
        stacked(count_of(row.k, row.n), support_mark(row.support), tone=tone),
    ]
