"""Policies on one subject -> `Results`: the figures that every kind of audit has, and a run's."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from audit.datasets.dataset import CROSS, Groups
from audit.errors import AuditError, UndefinedRateWarning
from audit.metrics.disparity import differences_between_groups, differences_to_overall
from audit.metrics.gaps import equalized_odds, gaps
from audit.metrics.power import power_table
from audit.metrics.predictions import Predictions
from audit.metrics.rates import FALSE_POSITIVE, FLAG, MISCLASSIFIED, TRUE_POSITIVE, rate_table
from audit.metrics.skew import Desired, skew_table
from audit.metrics.truth import truth_of
from audit.results import summary
from audit.results.results import Header, Results
from audit.results.rows import Difference, EqualizedOdds, Gap, Power, Rate, Skew, records
from audit.studies.subject import Subject
from moderation.policy import Policy
from moderation.scoring.classifier import similarities

#: Metrics by which groups are compared; labels are too many, and are counted only.
_COMPARED = (FLAG, FALSE_POSITIVE, TRUE_POSITIVE, MISCLASSIFIED)


class Named(NamedTuple):
    """The policies of an audit by the names that its report calls them, and their files."""

    policies: Mapping[str, Policy]
    paths: Mapping[str, str]


class Common(NamedTuple):
    """What every kind of audit has."""

    header: Header
    predictions: list[Predictions]
    tables: dict[str, Any]
    rates: tuple[Rate, ...]
    gaps: tuple[Gap, ...]


def common(subject: Subject, named: Named) -> Common:
    """Returns header, predictions, and the figures of each policy by itself.

    Raises:
        PolicyError: a policy does not fit the model.
    """
    predictions = subject.predict(named.policies)
    header = subject.header(named.policies, named.paths)
    table = pd.concat([_rates(subject, each) for each in predictions], ignore_index=True)
    table = table.astype({"policy": object, "by": object})
    compared = table[table["metric"].isin(_COMPARED) | table["metric"].str.startswith("category:")]
    flags = compared[(compared["metric"] == FLAG) & ~compared["by"].str.contains(CROSS)]
    apart = pd.concat([differences_to_overall(compared), differences_between_groups(flags)])
    rates, widest = records(Rate, table), records(Gap, gaps(compared))
    tables: dict[str, Any] = {
        "rates": rates,
        "differences": records(Difference, apart),
        "gaps": widest,
        "equalized_odds": records(EqualizedOdds, equalized_odds(table)),
        "power": records(Power, power_table(flags)),
        "insufficient": (*summary.insufficient(header, rates), *_unmatched(subject, predictions)),
        "limits": tuple(summary.limits(header)),
    }
    return Common(header, predictions, tables, rates, widest)


def _rates(subject: Subject, predictions: Predictions) -> pd.DataFrame:
    with warnings.catch_warnings():
        # The report itself says what is undefined.
        warnings.simplefilter("ignore", UndefinedRateWarning)
        return rate_table(predictions, subject.groups, truth_of(subject.dataset, predictions))


def _unmatched(subject: Subject, predictions: Iterable[Predictions]) -> list[str]:
    """Returns which classes of the dataset no label of a policy means."""
    told = []
    for each in predictions:
        unmatched = truth_of(subject.dataset, each).unmatched
        if unmatched:
            classes = ", ".join(f"{name} (n = {n})" for name, n in unmatched.items())
            told.append(f"{each.name} has no label for {classes}: unknown what it should say.")
    return told


def single_features(groups: Iterable[Groups]) -> list[Groups]:
    """Returns the partitions that are no intersections: the whole and each feature."""
    return [part for part in groups if CROSS not in part.by]


def run_audit(
    subject: Subject,
    named: Named,
    *,
    prompts: Sequence[str] = (),
    k: int = 100,
    desired: Desired = "equal",
) -> Results:
    """Returns the audit of policies, each by itself; with the retrieval skew of prompts, if any.

    Raises:
        PolicyError: a policy does not fit the model.
    """
    found = common(subject, named)
    told = tuple(summary.run_summary(found.header, found.rates, found.gaps))
    skews = [
        row for prompt in prompts for row in prompt_skews(subject, prompt, k=k, desired=desired)
    ]
    return Results(
        kind="run", header=found.header, summary=told, skews=tuple(skews), **found.tables
    )


def prompt_skews(subject: Subject, prompt: str, *, k: int, desired: Desired) -> tuple[Skew, ...]:
    """Returns how the images that resemble a prompt most differ from the desired shares.

    Raises:
        AuditError: there is no feature with two groups.
    """
    features = subject.encoder.text_features([prompt])
    cosines = similarities(subject.embedded.features, features)[:, 0]
    table = skew_table(cosines, single_features(subject.groups), min(k, len(cosines)), desired)
    if table.empty:
        remedy = "Name a dataset with groups to tell apart"
        raise AuditError("no sensitive feature has two groups", subject.dataset.name, remedy)
    return records(Skew, table.assign(prompt=prompt))
