"""Two label sets and more on the same images -> `Results`."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from audit.metrics.flow import flow_table, price_table
from audit.metrics.matched import flagged_at
from audit.metrics.predictions import Predictions
from audit.metrics.rates import FLAG
from audit.metrics.shift import agreement_table, shared_metrics, shift_table
from audit.metrics.truth import truth_of
from audit.results import summary
from audit.results.results import Results
from audit.results.rows import Agreement, Flow, Price, Shift, records
from audit.studies.run import Named, common, single_features
from audit.studies.subject import Subject


def compare_audit(subject: Subject, named: Named) -> Results:
    """Returns the comparison of the first policy with each other on the same images.

    Raises:
        PolicyError: a policy does not fit the model.
    """
    found = common(subject, named)
    first, *others = found.predictions
    shifts = pd.concat([_shifts(subject, first, other) for other in others], ignore_index=True)
    rows = records(Shift, shifts)
    told = tuple(summary.compare_summary(found.header, found.rates, rows))
    several = len(found.predictions) > 2
    return Results(
        kind="compare",
        header=found.header,
        summary=told,
        shifts=rows,
        agreements=_agreements(subject, found.predictions) if several else (),
        flows=records(Flow, _flows(subject, first, others)),
        prices=_prices(subject, first, others),
        **found.tables,
    )


def _shifts(subject: Subject, before: Predictions, after: Predictions) -> pd.DataFrame:
    """Returns the shifts of flags and categories for all groups, of labels for single features."""
    metrics = shared_metrics(before, after)
    labels = {name: marks for name, marks in metrics.items() if name.startswith("label:")}
    others = {name: marks for name, marks in metrics.items() if name not in labels}
    matched = {FLAG: (before.flagged, flagged_at(after, int(before.flagged.sum())))}
    table = pd.concat(
        [
            shift_table(others, subject.groups).assign(matched=False),
            shift_table(labels, single_features(subject.groups)).assign(matched=False),
            shift_table(matched, subject.groups).assign(matched=True),
        ]
    )
    return table.assign(before_policy=before.name, after_policy=after.name)


def _agreements(subject: Subject, predictions: Sequence[Predictions]) -> tuple[Agreement, ...]:
    return records(Agreement, agreement_table(predictions, subject.groups))


def _flows(subject: Subject, before: Predictions, others: Sequence[Predictions]) -> pd.DataFrame:
    tables = [
        flow_table(before, after, single_features(subject.groups)).assign(after_policy=after.name)
        for after in others
    ]
    return pd.concat(tables, ignore_index=True).assign(before_policy=before.name)


def _prices(
    subject: Subject, before: Predictions, others: Sequence[Predictions]
) -> tuple[Price, ...]:
    truth = truth_of(subject.dataset, before)
    found: list[Price] = []
    for after in others:
        table = price_table(before, after, subject.groups, truth)
        names = {"before_policy": before.name, "after_policy": after.name}
        found += records(Price, [row | names for row in table.to_dict("records")])
    return tuple(found)
