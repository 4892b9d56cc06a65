"""The figures that every kind of audit has: those of each policy by itself, and what is claimed."""

from __future__ import annotations

import warnings
from collections.abc import Container, Iterable, Sequence
from typing import NamedTuple

import pandas as pd

from audit.audits.robustness import Robustness, robustness, robustness_limits
from audit.datasets.dataset import CROSS, Groups
from audit.errors import UndefinedRateWarning
from audit.metrics.chance import Counted, GroupChance, Hypotheses
from audit.metrics.claims import report_claims
from audit.metrics.disparity import (
    claimed_gaps,
    differences_between_groups,
    differences_to_overall,
    equalized_odds,
    widest_gaps,
)
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
from audit.results.left_out import left_out_summary
from audit.results.results import Header
from audit.results.robustness_sentences import ClaimsHold
from audit.results.rows import Correction, Difference, EqualizedOdds, Gap, Power, Rate, records

#: Metrics by which groups are compared; labels are too many, and are only counted.
_COMPARED = (FLAG, FALSE_POSITIVE, TRUE_POSITIVE, MISCLASSIFIED)


class Assessment(Robustness):
    """The fields of `Results` that every audit fills: the figures of each policy by itself."""

    header: Header
    correction: Correction
    rates: tuple[Rate, ...]
    differences: tuple[Difference, ...]
    gaps: tuple[Gap, ...]
    equalized_odds: tuple[EqualizedOdds, ...]
    power: tuple[Power, ...]
    insufficient: tuple[str, ...]
    limits: tuple[str, ...]


def disparities(found: Assessment) -> summary.Disparities:
    """Returns how far the groups of each policy lie apart, as a summary reads it."""
    holds = ClaimsHold(found["tipping_points"], found["label_noise"], found["distinct_claims"])
    return summary.Disparities(found["rates"], found["gaps"], found["differences"], holds)


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
    predictions: list[Predictions]
    groups: Sequence[Groups]
    clusters: Clusters | None = None
    asked: bool = False

    def found(self, *changes: Hypotheses) -> tuple[Assessment, list[pd.DataFrame]]:
        """Returns the assessment, and the tables of changes, with what the report claims of all."""
        table = _assessed_rates(self.predictions, self.groups)
        is_compared = table["metric"].isin(_COMPARED) | table["metric"].str.startswith("category:")
        compared = table[is_compared]
        flags = compared[(compared["metric"] == FLAG) & ~compared["by"].str.contains(CROSS)]
        # In one table, so that chance draws for both comparisons at once.
        tables = (differences_to_overall(compared), differences_between_groups(flags))
        chance = self._chance_of_groups(set(compared["metric"]))
        differing = Hypotheses(pd.concat(tables, ignore_index=True), chance)
        claims = report_claims([differing, *changes], self.header.dataset.n)
        differences, *changed = claims.tables
        rates = records(Rate, table)
        robust = robustness(
            self.predictions, self.groups, self.clusters, compared, differences, claims.critical
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
            power=records(Power, power_table(flags, claims.critical)),
            insufficient=(
                *left_out_summary(self.header.dataset),
                *summary.insufficient_summary(self.header, rates),
                *summary.unmatched_summary(self.predictions),
            ),
            limits=(
                *summary.limits_summary(self.header),
                *robustness_limits(self.predictions, self.clusters, asked=self.asked),
            ),
            **robust,
        )
        return assessment, changed

    def _chance_of_groups(self, metrics: Container[str]) -> GroupChance:
        counted: dict[tuple[str, ...], Counted] = {
            (each.name, metric): Counted(hits, possible)
            for each in self.predictions
            for metric, hits, possible in rate_marks(each)
            if metric in metrics
        }
        return GroupChance(counted, self.groups[1:])


def _assessed_rates(predictions: Iterable[Predictions], groups: Iterable[Groups]) -> pd.DataFrame:
    with warnings.catch_warnings():
        # The report itself says what is undefined.
        warnings.simplefilter("ignore", UndefinedRateWarning)
        tables = [rate_table(each, groups) for each in predictions]
    return pd.concat(tables, ignore_index=True).astype({"policy": object, "by": object})
