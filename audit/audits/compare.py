"""Two label sets or more on the same images -> `Results`."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from audit.audits.subject import Named, Subject
from audit.metrics.flow import flow_table, price_table
from audit.metrics.predictions import Predictions
from audit.metrics.rates import FLAG
from audit.metrics.shift import shift_agreement_table, shift_marks, shift_table
from audit.metrics.thresholds import matched_threshold_flags
from audit.results import summary
from audit.results.results import Results
from audit.results.rows import Agreement, Flow, Price, Shift, records


def compare_audit(subject: Subject, named: Named) -> Results:
    """Returns the comparison of the first policy with each other on the same images.

    Raises:
        PolicyError: a policy does not fit the model.
    """
    assessed = subject.assess(named)
    before, *others = assessed.predictions
    groups, parts = subject.groups, subject.without_intersections
    tables = (table for after in others for table in _compared_shifts(before, after, subject))
    found, changed = assessed.found(*tables)
    shifts = records(Shift, *changed)
    several = [shift_agreement_table([before, *others], groups)] if len(others) > 1 else []
    return Results(
        kind="compare",
        summary=tuple(summary.compare_summary(found["header"], found["rates"], shifts)),
        shifts=shifts,
        agreements=records(Agreement, *several),
        flows=records(Flow, *(flow_table(before, after, parts) for after in others)),
        prices=records(Price, *(price_table(before, after, groups) for after in others)),
        **found,
    )


def _compared_shifts(
    before: Predictions, after: Predictions, subject: Subject
) -> Iterator[pd.DataFrame]:
    """Yields the shifts of flags and categories for all groups, of labels without intersections."""
    metrics = shift_marks(before, after)
    labels = {name: marks for name, marks in metrics.items() if name.startswith("label:")}
    others = {name: marks for name, marks in metrics.items() if name not in labels}
    matched = {FLAG: (before.flagged, matched_threshold_flags(after, int(before.flagged.sum())))}
    for table in (
        shift_table(others, subject.groups).assign(matched=False),
        shift_table(labels, subject.without_intersections).assign(matched=False),
        shift_table(matched, subject.groups).assign(matched=True),
    ):
        yield table.assign(before_policy=before.name, after_policy=after.name)
