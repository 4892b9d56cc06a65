"""Changes of one label set on the same images -> `Results` of an ablation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pandas as pd

from audit.metrics.ablation import Trial, ablation_table, carried_table, run_variants, split_half
from audit.metrics.predictions import Predictions
from audit.metrics.thresholds import THRESHOLDS, threshold_table
from audit.metrics.variants import (
    TEMPLATES,
    Synonym,
    Variant,
    under_each_template,
    with_each_candidate,
    with_each_synonym,
    with_other_articles,
    without_each_label,
)
from audit.metrics.wording import wording_table
from audit.results import summary
from audit.results.ablation_rows import Ablation, Carried, SplitHalf, Threshold, Wording
from audit.results.results import Results
from audit.results.rows import records
from audit.studies.run import Named, common, single_features
from audit.studies.subject import Subject
from moderation.policy import Label, Policy


class Study(NamedTuple):
    """What is tried on a label set beside leaving each of its labels out."""

    candidates: Sequence[Label] = ()
    synonyms: Sequence[Synonym] = ()
    templates: Sequence[str] = TEMPLATES
    thresholds: Sequence[float] = THRESHOLDS


def variants_of(policy: Policy, study: Study) -> list[Variant]:
    """Returns every changed label set of a study."""
    return [
        *without_each_label(policy),
        *with_each_candidate(policy, study.candidates),
        *with_each_synonym(policy, study.synonyms),
        *under_each_template(policy, study.templates),
        *with_other_articles(policy),
    ]


def ablate_audit(subject: Subject, named: Named, study: Study | None = None) -> Results:
    """Returns which change of each policy's label set moves which group how far.

    Raises:
        PolicyError: a policy or a candidate does not fit the model.
    """
    study = study or Study()
    found = common(subject, named)
    tables: dict[str, list[pd.DataFrame]] = {}
    refused: list[str] = []
    for before in found.predictions:
        variants = variants_of(before.policy, study)
        trials = run_variants(variants, subject.encoder, subject.embedded.features)
        refused += _refused(before, variants)
        for name, table in _tables(subject, before, trials, study).items():
            tables.setdefault(name, []).append(table.assign(policy=before.name))
    joined = {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()}
    ablations, carried = records(Ablation, joined["ablation"]), records(Carried, joined["carried"])
    halves = records(SplitHalf, joined["halves"])
    return Results(
        kind="ablate",
        header=found.header,
        summary=tuple(
            summary.ablate_summary(found.header, found.rates, ablations, carried, halves)
        ),
        ablations=ablations,
        carried=carried,
        split_halves=halves,
        wordings=records(Wording, joined["wording"]),
        thresholds=records(Threshold, joined["thresholds"]),
        not_tried=tuple(refused),
        **found.tables,
    )


def _tables(
    subject: Subject, before: Predictions, trials: Sequence[Trial], study: Study
) -> dict[str, pd.DataFrame]:
    parts = single_features(subject.groups)
    strata = subject.groups[-1]  # the finest that was asked for
    searched = [trial for trial in trials if trial.variant.kind in ("with", "synonym")]
    reworded = [
        trial for trial in trials if trial.variant.kind in ("template", "article", "synonym")
    ]
    return {
        "ablation": ablation_table(before, trials, parts),
        "carried": carried_table(before),
        "halves": split_half(before, searched, strata, seed=subject.seed),
        "wording": wording_table(before, reworded, parts),
        "thresholds": threshold_table(before, parts, study.thresholds),
    }


def _refused(before: Predictions, variants: Iterable[Variant]) -> list[str]:
    return [
        f"{before.name} {each.kind} {each.change} is no policy: {each.refused}"
        for each in variants
        if each.policy is None
    ]
