"""What changed for whom from one label set to another, on the same images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from audit.datasets.groups import OVERALL
from audit.metrics.rates import FALSE_POSITIVE, FLAG, TRUE_POSITIVE
from audit.plurals import counted
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
    adjusted_p_cell,
    claim_cell,
    few_tone,
    group_head,
    number,
    stacked,
    withheld,
)
from audit.report.grouping import PolicyPair, grouped_by_pair, is_crossed
from audit.report.names import harm_name, metric_name, named_metrics, pair_title, policy_title
from audit.report.plots.dumbbell import dumbbell
from audit.report.shown_numbers import count, count_of, p_value, points_line, rate_line
from audit.results.gap_sentences import done_to
from audit.results.results import Results
from audit.results.rows import Shift

_KNOWN = (FALSE_POSITIVE, TRUE_POSITIVE)

_COLUMNS = (
    *("Group", "Before", "After", "Entered", "Left"),
    *("Net, points", "Adjusted p", "Claim"),
)


def shifts_section(results: Results) -> Iterator[Block]:
    """Yields the paired shifts under the policies' own thresholds."""
    if rows := [row for row in results.shifts if not row.matched]:
        done = done_to(results.header.harm)
        yield paragraph(
            f"Entered: images that are {done} only under the second label set. Left: images that "
            "are only under the first. Net: entered less left, as a share of the group; to the "
            "rest: less the net of all other images. p is McNemar's exact test, adjusted over all "
            "that this report tests; below it is p within its family, the groups of a sensitive "
            "feature. Each interval is of one change by itself, so it can leave out 0 where no "
            "claim is made."
        )
        yield from _shift_blocks(results, rows, "shift")
    yield from _shift_agreements(results)


def matched_shifts_section(results: Results) -> Iterator[Block]:
    """Yields the shifts at one overall flag rate: whom the policies flag, not how many."""
    if rows := [row for row in results.shifts if row.matched]:
        yield paragraph(
            "A threshold does not carry over between label sets of different size. Here all "
            "thresholds of the second are moved together until it flags as many images as the "
            "first. What is left is whom it flags, not how many: as many enter as leave. So p "
            "compares who entered with who left, a group's changed images with all others'."
        )
        yield from _shift_blocks(results, rows, "matched")


def _shift_blocks(results: Results, rows: Sequence[Shift], key: str) -> Iterator[Block]:
    harm = results.header.harm
    for i, (pair, own) in enumerate(grouped_by_pair(results, rows).items()):
        yield Heading(pair_title(results, *pair))
        if of_truth := [r for r in own if r.metric in _KNOWN and not is_crossed(r.by)]:
            caption = "True and false positives, on the images whose truth all policies know"
            yield _shift_table(caption, of_truth)
        flags = [row for row in own if row.metric == harm]
        yield from side_by_side(_shift_dumbbells(results, pair, flags, f"{key}-{i}"))
        if main := [row for row in flags if not is_crossed(row.by)]:
            yield _shift_table(f"{metric_name(harm)}: overall and by sensitive feature", main)
        crossed = [row for row in flags if is_crossed(row.by)]
        if moved := [row for row in crossed if row.entered + row.left or row.claim]:
            caption = (
                f"{metric_name(harm)} by intersection, where images changed (shifts.csv has all)"
            )
            summary = f"By intersection: {len(moved):,} of {len(crossed):,} in which images changed"
            yield folded(_shift_table(caption, moved), summary)
        elif crossed:
            yield paragraph(f"No image changed in any of {counted(len(crossed), 'intersection')}.")
        metrics = named_metrics(results, (row.metric for row in own if row.metric != harm))
        others = [row for row in own if row.metric in metrics and row.metric not in _KNOWN]
        if others := [r for r in others if r.entered + r.left and not is_crossed(r.by)]:
            caption = "Other rates that moved: overall and by sensitive feature"
            yield folded(_shift_table(caption, others))


def _shift_dumbbells(
    results: Results, pair: PolicyPair, flags: Sequence[Shift], key: str
) -> Iterator[Figure]:
    before, after = (policy_title(results, name) for name in pair)
    features = dict.fromkeys(row.by for row in flags if row.by != OVERALL)
    for i, by in enumerate(by for by in features if not is_crossed(by)):
        own = [row for row in flags if row.by in (by, OVERALL)]
        name = f"{harm_name(results)} by {by}, before and after"
        svg = dumbbell(own, before=before, after=after, key=f"{key}-{i}", title=name)
        yield Figure(svg, f"{name}. A star marks a shift that stands.")


def _shift_table(caption: str, rows: Sequence[Shift]) -> Table:
    return table(caption, _COLUMNS, map(_shift_cells, rows))


def _shift_cells(row: Shift) -> list[Cell]:
    rate = () if row.metric == FLAG else (metric_name(row.metric),)
    tone = few_tone(row.support)
    before, after = count_of(row.before_count, row.n), count_of(row.after_count, row.n)
    shares = [number(*before, tone=tone), number(*after, tone=tone)]
    nets = [withheld(), withheld()]
    if not tone:
        to_rest = points_line(row.net_to_rest, row.net_to_rest_low, row.net_to_rest_high)
        shares = [
            stacked(rate_line(row.before, row.before_low, row.before_high), before),
            stacked(rate_line(row.after, row.after_low, row.after_high), after),
        ]
        nets = [
            stacked(
                points_line(row.net, row.net_low, row.net_high),
                () if row.by == OVERALL else ("to the rest ", *to_rest),
            ),
            adjusted_p_cell(row.p_report, row.p_adjusted),
        ]
    return [
        group_head(row.by, row.group, *rate),
        *shares,
        number(count(row.entered), tone=tone),
        number(count(row.left), tone=tone),
        *nets,
        claim_cell(row.claim, row.support),
    ]


def _shift_agreements(results: Results) -> Iterator[Block]:
    shown = [row for row in results.agreements if not is_crossed(row.by)]
    if not shown:
        return
    done = done_to(results.header.harm)
    yield Heading(f"Are the same images {done} under all label sets?")
    yield paragraph(
        "Cochran's Q over all label sets; with two of them it is McNemar's test. It claims "
        "nothing, as it is not corrected over the report."
    )
    cells = [
        [
            group_head(row.by, row.group),
            number(*count_of(row.changing, row.n)),
            *(
                withheld() if few_tone(row.support) else number(p_value(p))
                for p in (row.p, row.p_adjusted)
            ),
        ]
        for row in shown
    ]
    columns = ("Group", f"{done.capitalize()} under some, not all", "p", "p in its family")
    yield table("Cochran's Q", columns, cells)
