"""Changes of one label set on the same images -> `Results` of an ablation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypedDict

from audit.audits.adjusted import adjusted_figures, equivalence_findings
from audit.audits.assessment import disparities, words
from audit.audits.audited import Named
from audit.audits.recorded_prompts import with_recorded_alone
from audit.audits.subject import Subject
from audit.datasets.groups import Groups
from audit.metrics.ablation import (
    Trial,
    ablation_carried_table,
    ablation_split_half,
    ablation_test,
    ablation_wording_table,
    can_hold_out,
    run_ablation,
)
from audit.metrics.predictions import PolicyPredictions
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
    without_each_negative,
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
            *without_each_negative(policy),
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

    before: PolicyPredictions
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
    subject: Subject,
    named: Named[Policy],
    study: Study | None = None,
    *,
    margin: float | None = None,
) -> Results:
    """Returns which change of each policy's label set moves which group how far.

    With a margin, in percentage points, it says which groups are shown to lie within it.

    Raises:
        AuditError: the margin is not between 0 and 100 points.
        PolicyError: a policy or a candidate does not fit the model.
    """
    study = study or Study()
    assessed = subject.assess(named)
    tried = [
        _ablated_policy(before, subject, study)
        for before in assessed.predictions
        if isinstance(before, PolicyPredictions)
    ]
    parts = subject.without_intersections
    found, changed = assessed.found(
        *(ablation_test(each.before, each.trials, parts) for each in tried)
    )
    adjusted = adjusted_figures(subject, assessed.predictions, found, margin=margin)
    ablations, halves = records(Ablation, *changed), _halves(tried, subject)
    described = _described_changes(tried, study, parts)
    margins = equivalence_findings(adjusted, found["header"].harm)
    findings = summary.ablate_findings(
        found["header"],
        disparities(found),
        ablations,
        described["carried"],
        halves,
        described["wording_gaps"],
    )
    return Results(
        kind="ablate",
        ablations=ablations,
        split_halves=tuple(_halves_of_lowering(halves)),
        **described,
        **words(
            found,
            [*findings, *margins],
            ablations=ablations,
        ),
        **found,
        **adjusted,
    )


def _ablated_policy(before: PolicyPredictions, subject: Subject, study: Study) -> _AblatedPolicy:
    embedded = subject.embedded
    variants = with_recorded_alone(study.variants(before.policy), subject.encoder)
    trials = run_ablation(
        variants, subject.encoder, embedded.features, embedded.looks, embedded.outputs
    )
    return _AblatedPolicy(before, variants, trials)


def _halves(tried: Iterable[_AblatedPolicy], subject: Subject) -> tuple[SplitHalf, ...]:
    """Returns the change chosen on one half of the images of each policy, measured on the other."""
    strata = subject.groups[-1]  # the finest that was asked for
    searched = (
        ablation_split_half(each.before, each.trials_of(*_SEARCHED), strata, seed=subject.seed)
        for each in tried
    )
    return records(SplitHalf, *searched)


class _DescribedChanges(TypedDict):
    """The fields of `Results` on what was tried of which nothing is claimed."""

    carried: tuple[Carried, ...]
    wordings: tuple[Wording, ...]
    wording_gaps: tuple[WordingGap, ...]
    thresholds: tuple[Threshold, ...]
    not_tried: tuple[str, ...]


def _described_changes(
    tried: Sequence[_AblatedPolicy], study: Study, parts: Sequence[Groups]
) -> _DescribedChanges:
    reworded = [(each.before, each.trials_of(*_REWORDED)) for each in tried]
    swept = (threshold_table(each.before, parts, study.thresholds) for each in tried)
    return _DescribedChanges(
        carried=records(
            Carried, *(ablation_carried_table(each.before, parts[0].weights) for each in tried)
        ),
        wordings=records(Wording, *(ablation_wording_table(*each, parts) for each in reworded)),
        wording_gaps=records(WordingGap, *(wording_gap_table(*each, parts) for each in reworded)),
        thresholds=records(Threshold, *swept),
        not_tried=tuple(sentence for each in tried for sentence in each.refused_variants()),
    )


def _halves_of_lowering(halves: Sequence[SplitHalf]) -> Iterator[SplitHalf]:
    """Yields the halves of each policy for which the chosen change lowers flags where chosen."""
    lowered = {half.policy for half in halves if half.half == "chosen on" and half.lowers}
    yield from (half for half in halves if half.policy in lowered)
