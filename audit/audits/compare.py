"""Two label sets or more on the same images -> `Results`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from audit.audits.run import assess
from audit.audits.subject import Named, Subject, without_intersections
from audit.datasets.dataset import Groups
from audit.metrics.flow import flow_table, price_table
from audit.metrics.matched import flagged_at
from audit.metrics.predictions import Predictions
from audit.metrics.rates import FLAG
from audit.metrics.shift import agreement_table, shared_metrics, shift_table
from audit.results import summary
from audit.results.results import Results
from audit.results.rows import Agreement, Flow, Price, Shift, records


def compare_audit(subject: Subject, named: Named) -> Results:
    """Returns the comparison of the first policy with each other on the same images.

    Raises:
        PolicyError: a policy does not fit the model.
    """
    [before, *others], found = assess(subject, named)
    groups, parts = subject.groups, without_intersections(subject.groups)
    tables = (table for after in others for table in _shifts(before, after, groups))
    shifts = records(Shift, *tables)
    several = [agreement_table([before, *others], groups)] if len(others) > 1 else []
    return Results(
        kind="compare",
        summary=tuple(summary.compare_summary(found["header"], found["rates"], shifts)),
        shifts=shifts,
        agreements=records(Agreement, *several),
        flows=records(Flow, *(flow_table(before, after, parts) for after in others)),
        prices=records(Price, *(price_table(before, after, groups) for after in others)),
        **found,
    )


def _shifts(
    before: Predictions, after: Predictions, groups: Sequence[Groups]
) -> Iterator[pd.DataFrame]:
    """Yields the shifts of flags and categories for all groups, of labels without intersections."""
    metrics = shared_metrics(before, after)
    labels = {name: marks for name, marks in metrics.items() if name.startswith("label:")}
    others = {name: marks for name, marks in metrics.items() if name not in labels}
    matched = {FLAG: (before.flagged, flagged_at(after, int(before.flagged.sum())))}
    for table in (
        shift_table(others, groups).assign(matched=False),
        shift_table(labels, without_intersections(groups)).assign(matched=False),
        shift_table(matched, groups).assign(matched=True),
    ):
        yield table.assign(before_policy=before.name, after_policy=after.name)
