"""Changes of one label set on the same images -> `Results` of an ablation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from audit.audits.adjusted import adjusted_figures, equivalence_findings
from audit.audits.assessment import disparities, words
from audit.audits.subject import Named, Subject
from audit.metrics.ablation import (
    Trial,
    ablation_carried_table,
    ablation_split_half,
    ablation_test,
    ablation_wording_table,
    can_hold_out,
    run_ablation,
)
from audit.metrics.predictions import Predictions
from audit.metrics.thresholds import THRESHOLDS, threshold_table
from audit.metrics.variants import (
    TEMPLATES,
    ChangeKind,
    Synonym,
    Variant,
    distinct_variants,
    under_each_template,
    with_each_candidate,
    with_each_synonym,
    with_other_articles,
    without_each_label,
)
from audit.metrics.wording_gaps import wording_gap_table
from audit.results import summary
from audit.results.ablation_rows import (
    Ablation,
    Carried,
    SplitHalf,
    Threshold,
    Wording,
    WordingGap,
)
from audit.results.results import Results
from audit.results.rows import records
from moderation.policy import Label, Policy


class Study(NamedTuple):
    """What is tried on a label set besides leaving each of its labels out."""

    candidates: Sequence[Label] = ()
    synonyms: Sequence[Synonym] = ()
    templates: Sequence[str] = TEMPLATES
    thresholds: Sequence[float] = THRESHOLDS

    def variants(self, policy: Policy) -> list[Variant]:
        """Returns every changed label set that an ablation of a policy tries, or refuses."""
        changed = (
            *without_each_label(policy),
            *with_each_candidate(policy, self.candidates),
            *with_each_synonym(policy, self.synonyms),
            *under_each_template(policy, self.templates),
            *with_other_articles(policy),
        )
        return list(distinct_variants(policy, changed))


#: Kinds of changes of which the best is looked for, and those that are of words alone.
_SEARCHED: tuple[ChangeKind, ...] = ("with", "synonym")
_REWORDED: tuple[ChangeKind, ...] = ("template", "article", "synonym")


class _AblatedPolicy(NamedTuple):
    """A policy, its changed label sets, and what those that are policies say of the images."""

    before: Predictions
    variants: list[Variant]
    trials: list[Trial]

    def trials_of(self, *kinds: ChangeKind) -> list[Trial]:
        return [trial for trial in self.trials if trial.variant.kind in kinds]

    def refused_variants(self) -> Iterator[str]:
        for each in self.variants:
            if each.policy is None:
                yield f"{self.before.name}: `{each.kind} {each.change}` {each.refused}"
        n = len(self.before)
        if self.trials_of(*_SEARCHED) and not can_hold_out(n):
            yield (
                f"{self.before.name}: too few images to hold out: of {n} no change is chosen on "
                "one half and measured on the other"
            )


def ablate_audit(
    subject: Subject, named: Named, study: Study | None = None, *, margin: float | None = None
) -> Results:
    """Returns which change of each policy's label set moves which group how far.

    With a margin, in percentage points, it says which groups are shown to lie within it.

    Raises:
        AuditError: the margin is not between 0 and 100 points.
        PolicyError: a policy or a candidate does not fit the model.
    """
    study = study or Study()
    assessed = subject.assess(named)
    tried: list[_AblatedPolicy] = []
    for before in assessed.predictions:
        variants = study.variants(before.policy)
        embedded = subject.embedded
        trials = run_ablation(variants, subject.encoder, embedded.features, embedded.looks)
        tried.append(_AblatedPolicy(before, variants, trials))
    parts = subject.without_intersections
    strata, seed = subject.groups[-1], subject.seed  # the finest that was asked for
    moved = (ablation_test(each.before, each.trials, parts) for each in tried)
    searched = (
        ablation_split_half(each.before, each.trials_of(*_SEARCHED), strata, seed=seed)
        for each in tried
    )
    reworded = (
        ablation_wording_table(each.before, each.trials_of(*_REWORDED), parts) for each in tried
    )
    apart = (wording_gap_table(each.before, each.trials_of(*_REWORDED), parts) for each in tried)
    swept = (threshold_table(each, parts, study.thresholds) for each in assessed.predictions)
    found, changed = assessed.found(*moved)
    adjusted = adjusted_figures(subject, assessed.predictions, found, margin=margin)
    ablations, halves = records(Ablation, *changed), records(SplitHalf, *searched)
    wording_gaps = records(WordingGap, *apart)
    carried = records(Carried, *map(ablation_carried_table, assessed.predictions))
    findings = summary.ablate_findings(
        found["header"], disparities(found), ablations, carried, halves, wording_gaps
    )
    return Results(
        kind="ablate",
        ablations=ablations,
        carried=carried,
        split_halves=tuple(_halves_of_lowering(halves)),
        wordings=records(Wording, *reworded),
        wording_gaps=wording_gaps,
        thresholds=records(Threshold, *swept),
        not_tried=tuple(sentence for each in tried for sentence in each.refused_variants()),
        **words(
            found,
            [*findings, *equivalence_findings(adjusted)],
            ablations=ablations,
        ),
        **found,
        **adjusted,
    )


def _halves_of_lowering(halves: Sequence[SplitHalf]) -> Iterator[SplitHalf]:
    """Yields the halves of each policy for which the chosen change lowers flags where chosen."""
    lowered = {half.policy for half in halves if half.half == "chosen on" and half.lowers}
    yield from (half for half in halves if half.policy in lowered)
