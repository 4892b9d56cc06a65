"""Policies on one subject -> `Results`: the figures that every kind of audit has, and a run's."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import TypedDict

import pandas as pd

from audit.audits.subject import Named, Subject, without_intersections
from audit.datasets.dataset import CROSS, Groups
from audit.errors import AuditError, UndefinedRateWarning
from audit.metrics.disparity import differences_between_groups, differences_to_overall
from audit.metrics.gaps import equalized_odds, gaps
from audit.metrics.power import power_table
from audit.metrics.predictions import Predictions
from audit.metrics.rates import FALSE_POSITIVE, FLAG, MISCLASSIFIED, TRUE_POSITIVE, rate_table
from audit.metrics.skew import DesiredShare, skew_table
from audit.results import summary
from audit.results.results import Header, Results
from audit.results.rows import Difference, EqualizedOdds, Gap, Power, Rate, Skew, records
from moderation.scoring.classifier import similarities

#: Metrics by which groups are compared; labels are too many, and are only counted.
_COMPARED = (FLAG, FALSE_POSITIVE, TRUE_POSITIVE, MISCLASSIFIED)


class Assessment(TypedDict):
    """The fields of `Results` that every audit fills: the figures of each policy by itself."""

    header: Header
    rates: tuple[Rate, ...]
    differences: tuple[Difference, ...]
    gaps: tuple[Gap, ...]
    equalized_odds: tuple[EqualizedOdds, ...]
    power: tuple[Power, ...]
    insufficient: tuple[str, ...]
    limits: tuple[str, ...]


def assess(subject: Subject, named: Named) -> tuple[list[Predictions], Assessment]:
    """Returns what each policy says of the images, and the figures of each by itself.

    Raises:
        PolicyError: a policy does not fit the model.
    """
    header, predictions = subject.header(named), subject.predict(named.policies)
    table = _rates(predictions, subject.groups)
    compared = table[table["metric"].isin(_COMPARED) | table["metric"].str.startswith("category:")]
    flags = compared[(compared["metric"] == FLAG) & ~compared["by"].str.contains(CROSS)]
    rates = records(Rate, table)
    found = Assessment(
        header=header,
        rates=rates,
        differences=records(
            Difference, differences_to_overall(compared), differences_between_groups(flags)
        ),
        gaps=records(Gap, gaps(compared)),
        equalized_odds=records(EqualizedOdds, equalized_odds(table)),
        power=records(Power, power_table(flags)),
        insufficient=(*summary.insufficient(header, rates), *_unmatched(predictions)),
        limits=tuple(summary.limits(header)),
    )
    return predictions, found


def _rates(predictions: Iterable[Predictions], groups: Sequence[Groups]) -> pd.DataFrame:
    with warnings.catch_warnings():
        # The report itself says what is undefined.
        warnings.simplefilter("ignore", UndefinedRateWarning)
        tables = [rate_table(each, groups) for each in predictions]
    return pd.concat(tables, ignore_index=True).astype({"policy": object, "by": object})


def _unmatched(predictions: Iterable[Predictions]) -> list[str]:
    """Returns which classes of the dataset no label of a policy means."""
    sentences = []
    for each in predictions:
        if each.truth and each.truth.unmatched:
            classes = ", ".join(f"{name} (n = {n})" for name, n in each.truth.unmatched.items())
            sentence = f"{each.name} has no label for {classes}: unknown what it should say."
            sentences.append(sentence)
    return sentences


def run_audit(
    subject: Subject,
    named: Named,
    *,
    prompts: Sequence[str] = (),
    k: int = 100,
    desired: DesiredShare = "equal",
) -> Results:
    """Returns the audit of policies, each by itself; with the retrieval skew of prompts, if any.

    Raises:
        PolicyError: a policy does not fit the model.
    """
    _, found = assess(subject, named)
    sentences = summary.run_summary(found["header"], found["rates"], found["gaps"])
    skews = [
        row for prompt in prompts for row in prompt_skews(subject, prompt, k=k, desired=desired)
    ]
    return Results(kind="run", summary=tuple(sentences), skews=tuple(skews), **found)


def prompt_skews(
    subject: Subject, prompt: str, *, k: int, desired: DesiredShare
) -> tuple[Skew, ...]:
    """Returns how the images that resemble a prompt most differ from the desired shares.

    Raises:
        AuditError: no sensitive feature has two groups.
    """
    features = subject.encoder.text_features([prompt])
    cosines = similarities(subject.embedded.features, features)[:, 0]
    table = skew_table(
        cosines, without_intersections(subject.groups), min(k, len(cosines)), desired
    )
    if table.empty:
        remedy = "Name a dataset with groups to tell apart"
        raise AuditError("no sensitive feature has two groups", subject.dataset.name, remedy)
    return records(Skew, table.assign(prompt=prompt))
