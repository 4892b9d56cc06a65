"""Two label sets or more on the same images -> `Results`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from audit.audits.adjusted import adjusted_figures, adjusted_findings
from audit.audits.assessment import disparities, words
from audit.audits.audited import Audited, Named, S
from audit.datasets.groups import Groups, Marks
from audit.metrics.chance import Counted, GroupChance, Hypotheses, SwapChance
from audit.metrics.flow import flow_table, price_table
from audit.metrics.predictions import PolicyPredictions, Predictions
from audit.metrics.rates import common_images_table, on_common_images
from audit.metrics.shift import (
    matched_shift_table,
    shift_agreement_table,
    shift_marks,
    shift_possible,
    shift_table,
)
from audit.metrics.thresholds import matched_threshold_flags
from audit.results import summary
from audit.results.results import Results
from audit.results.rows import Agreement, CommonImages, Flow, Price, Shift, records


def compare_audit(subject: Audited[S], named: Named[S], *, margin: float | None = None) -> Results:
    """Returns the comparison of the first policy with each other on the same images.

    With a margin, in percentage points, it says which groups, and which of their changes, are shown
    to lie within it.

    Raises:
        AuditError: the margin is not between 0 and 100 points.
        PolicyError: a policy does not fit the model.
    """
    by_itself = subject.assess(named)
    common = on_common_images(by_itself.predictions)
    before, *others = by_itself.predictions
    groups, parts = subject.groups, subject.without_intersections
    tests = _compared_tests(common[0], common[1:], subject)
    found, changed = by_itself._replace(predictions=common).found(*tests)
    shifts = records(Shift, *changed)
    adjusted = adjusted_figures(subject, common, found, shifts, margin=margin)
    counted = records(CommonImages, common_images_table(by_itself.predictions, common, groups[0]))
    several = [shift_agreement_table(common, groups)] if len(others) > 1 else []
    findings = summary.compare_findings(found["header"], disparities(found), shifts, counted)
    return Results(
        kind="compare",
        common_images=counted,
        shifts=shifts,
        agreements=records(Agreement, *several),
        flows=records(Flow, *(flow_table(before, after, parts) for after in others)),
        prices=records(Price, *_prices(before, others, groups)),
        **words(found, [*findings, *adjusted_findings(found, adjusted)], shifts),
        **found,
        **adjusted,
    )


def _prices(
    before: Predictions, others: Iterable[Predictions], groups: Sequence[Groups]
) -> list[pd.DataFrame]:
    """Returns what new labels cost; a label that relieves nobody of a flag has no price."""
    return [price_table(before, after, groups) for after in others if before.can_flag]


def _compared_tests(
    before: Predictions, others: Sequence[Predictions], subject: Audited[S]
) -> list[Hypotheses]:
    """Returns the shifts at the policies' own thresholds, and those at one overall flag rate."""
    groups, keys = subject.groups, ("before_policy", "after_policy")
    shifts: list[pd.DataFrame] = []
    matches: list[pd.DataFrame] = []
    changes: dict[tuple[str, ...], tuple[Marks, Marks]] = {}
    changed: dict[tuple[str, ...], Counted] = {}
    for after in others:
        names = dict(zip(keys, (before.name, after.name), strict=True))
        metrics = shift_marks(before, after)
        changes |= {(*names.values(), metric): marks for metric, marks in metrics.items()}
        own = _own_shifts(metrics, shift_possible(before, after), subject)
        shifts.append(own.assign(matched=False, **names))
        if not isinstance(after, PolicyPredictions):
            continue  # without scores no other threshold can be taken
        flags = matched_threshold_flags(after, groups[0].images(before.flagged), groups[0].weights)
        matched = matched_shift_table(before.flagged, flags, groups)
        matches.append(matched.assign(matched=True, **names))
        changed[tuple(names.values())] = Counted(flags & ~before.flagged, flags ^ before.flagged)
    return [
        Hypotheses(_in_one(shifts), SwapChance(changes, groups, (*keys, "metric"))),
        *(
            [Hypotheses(_in_one(matches), GroupChance(changed, groups[1:], keys))]
            if matches
            else []
        ),
    ]


def _own_shifts(
    metrics: Mapping[str, tuple[Marks, Marks]], possible: Mapping[str, Marks], subject: Audited[S]
) -> pd.DataFrame:
    """Returns shifts of flags and categories for all groups, of labels without intersections."""
    labels = {name: marks for name, marks in metrics.items() if name.startswith("label:")}
    others = {name: marks for name, marks in metrics.items() if name not in labels}
    tables = [
        shift_table(metrics, groups, possible)
        for metrics, groups in (
            (others, subject.groups),
            (labels, subject.without_intersections),  # a system of decisions says none
        )
        if metrics
    ]
    return _in_one(tables)


def _in_one(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
