"""The figures that every kind of audit has: those of each policy by itself, and what is claimed."""

from __future__ import annotations

import warnings
from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple, TypedDict

import pandas as pd

from audit.audits.robustness import Robustness, robustness, robustness_limits
from audit.datasets.groups import CROSS, Groups
from audit.errors import UndefinedRateWarning
from audit.metrics.chance import Counted, GroupChance, Hypotheses
from audit.metrics.claims import report_claims
from audit.metrics.confusion import confusion_table
from audit.metrics.disparity import differences_between_groups, differences_to_overall
from audit.metrics.gaps import claimed_gaps, equalized_odds, widest_gaps
from audit.metrics.near_duplicates import Clusters
from audit.metrics.power import power_table
from audit.metrics.predictions import Predictions
from audit.metrics.rates import (
    FALSE_POSITIVE,
    FLAG,
    MISCLASSIFIED,
    TRUE_POSITIVE,
    rate_marks,
    rate_table,
)
from audit.results import summary
from audit.results.ablation_rows import Ablation
from audit.results.finding import Finding, Headline
from audit.results.headline import headline_of
from audit.results.largest_claim import Claimable, largest_claim
from audit.results.left_out import left_out_finding, left_out_summary
from audit.results.results import Header
from audit.results.robustness_sentences import ClaimsHold
from audit.results.rows import (
    Confusion,
    Correction,
    Difference,
    EqualizedOdds,
    Gap,
    Power,
    Rate,
    Shift,
    records,
)

#: Of a policy with more labels that flag, groups are compared by category alone.
MOST_LABELS = 50

#: Metrics by which groups are compared, besides categories and the labels that flag.
_COMPARED = (FLAG, FALSE_POSITIVE, TRUE_POSITIVE, MISCLASSIFIED)


class Assessment(Robustness):
    """The fields of `Results` that every audit fills: the figures of each policy by itself."""

    header: Header
    correction: Correction
    rates: tuple[Rate, ...]
    differences: tuple[Difference, ...]
    gaps: tuple[Gap, ...]
    equalized_odds: tuple[EqualizedOdds, ...]
    confusions: tuple[Confusion, ...]
    power: tuple[Power, ...]
    insufficient: tuple[str, ...]
    limits: tuple[str, ...]


def disparities(found: Assessment) -> summary.Disparities:
    """Returns how far the groups of each policy lie apart, as a summary reads it."""
    holds = ClaimsHold(found["tipping_points"], found["label_noise"], found["distinct_claims"])
    critical = found["correction"].critical_p
    return summary.Disparities(found["rates"], found["gaps"], found["differences"], holds, critical)


class Words(TypedDict):
    """The fields of `Results` that say in words what an audit found."""

    headline: Headline
    summary: tuple[str, ...]
    not_known: tuple[str, ...]


def words(
    found: Assessment,
    findings: Iterable[Finding],
    shifts: Sequence[Shift] = (),
    ablations: Sequence[Ablation] = (),
) -> Words:
    """Returns what an audit says: the largest claim first, and what is not known by itself.

    Args:
        found: the figures of each policy by itself.
        findings: all sentences, those that are claimed in their order.
        shifts: the changes between policies of which the report can claim something, if any.
        ablations: those of an ablation.
    """
    header, made = found["header"], found["correction"]
    tested = Claimable(found["differences"], shifts, ablations, made.critical_p)
    claim = largest_claim(header, tested)
    headline = headline_of(header, claim, tested, made, found["rates"], found["power"])
    told = [
        each
        for each in findings
        if each.text not in headline.finding and (claim is None or claim.row not in each.rows)
    ]
    return Words(
        headline=headline,
        summary=(headline.finding, *(each.text for each in told if each.claimed)),
        not_known=(
            *(each.text for each in told if not each.claimed),
            *left_out_finding(header.dataset),
        ),
    )


class Assessed(NamedTuple):
    """What policies say of images, and how groups fare under each.

    Attributes:
        header: of the report.
        predictions: of each policy.
        groups: partitions of the images.
        clusters: of near-duplicates, if they were looked for.
        asked: whether they should have been.
    """

    header: Header
    predictions: Sequence[Predictions]
    groups: Sequence[Groups]
    clusters: Clusters | None = None
    asked: bool = False

    def found(self, *changes: Hypotheses) -> tuple[Assessment, list[pd.DataFrame]]:
        """Returns the assessment, and the tables of changes, with what the report claims of all."""
        table = _assessed_rates(self.predictions, self.groups)
        is_compared = table["metric"].isin(_COMPARED) | table["metric"].str.startswith("category:")
        compared = table[is_compared]
        tested = pd.concat([compared, self._rates_by_label(table)])
        harms = _harms_of_groups(compared, self.header.harm)
        # In one table, so that chance draws for both comparisons at once.
        tables = (differences_to_overall(tested), differences_between_groups(harms))
        differing = Hypotheses(
            pd.concat(tables, ignore_index=True), self._chance_of_groups({*tested["metric"]})
        )
        claims = report_claims([differing, *changes])
        differences, *changed = claims.tables
        rates = records(Rate, table)
        robust = robustness(
            self.predictions, self.groups, self.clusters, tested, differences, claims.critical
        )
        assessment = Assessment(
            header=self.header,
            correction=Correction(
                hypotheses=claims.hypotheses, draws=claims.draws, critical_p=claims.critical
            ),
            rates=rates,
            differences=records(Difference, differences),
            gaps=records(Gap, claimed_gaps(widest_gaps(compared), differences)),
            equalized_odds=records(EqualizedOdds, equalized_odds(table)),
            confusions=records(Confusion, *self._confusions()),
            power=records(Power, power_table(harms, claims.critical)),
            insufficient=self._insufficient(rates),
            limits=self._limits(),
            **robust,
        )
        return assessment, changed

    def _insufficient(self, rates: Sequence[Rate]) -> tuple[str, ...]:
        return (
            *left_out_summary(self.header.dataset),
            *summary.insufficient_summary(self.header, rates),
            *summary.unmatched_summary(self.predictions),
        )

    def _limits(self) -> tuple[str, ...]:
        return (
            *summary.limits_summary(self.header),
            *robustness_limits(self.predictions, self.clusters, asked=self.asked),
        )

    def _confusions(self) -> list[pd.DataFrame]:
        """Returns for what each system took images of each class, without intersections."""
        parts = [part for part in self.groups if CROSS not in part.by]
        return [confusion_table(each, parts) for each in self.predictions]

    def _rates_by_label(self, rates: pd.DataFrame) -> pd.DataFrame:
        """Returns the rates by which labels flag, where a category is more than one label.

        By single sensitive features, and where there are few enough labels to be compared.
        """
        parts = []
        for each in self.predictions:
            categories = [each.labels[column].reported_category for column in each.flagging]
            if len(categories) <= MOST_LABELS:
                metrics = {
                    f"fired:{each.label_ids[column]}"
                    for column, category in zip(each.flagging, categories, strict=True)
                    if categories.count(category) > 1
                }
                parts.append(rates[(rates["policy"] == each.name) & rates["metric"].isin(metrics)])
        labels = pd.concat(parts) if parts else rates[:0]
        return labels[~labels["by"].str.contains(CROSS)]

    def _chance_of_groups(self, metrics: Container[str]) -> GroupChance:
        counted: dict[tuple[str, ...], Counted] = {
            (each.name, metric): Counted(hits, possible)
            for each in self.predictions
            for metric, hits, possible in rate_marks(each)
            if metric in metrics
        }
        return GroupChance(counted, self.groups[1:])


def _harms_of_groups(compared: pd.DataFrame, harm: str) -> pd.DataFrame:
    return compared[(compared["metric"] == harm) & ~compared["by"].str.contains(CROSS)]


def _assessed_rates(predictions: Iterable[Predictions], groups: Iterable[Groups]) -> pd.DataFrame:
    with warnings.catch_warnings():
        # The report itself says what is undefined.
        warnings.simplefilter("ignore", UndefinedRateWarning)
        tables = [rate_table(each, groups) for each in predictions]
    return pd.concat(tables, ignore_index=True).astype({"policy": object, "by": object})
