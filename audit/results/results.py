"""What `results.json` holds, with a version: every figure of a report, its n and its interval.

All formats of a report are written from these records alone.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from audit.metrics.truth import SaidLabel
from audit.results.ablation_rows import Ablation, Carried, SplitHalf, Threshold, Wording, WordingGap
from audit.results.adjusted_rows import CommonStrata, Equivalent, Pooled, PooledGap, Standardised
from audit.results.finding import Headline
from audit.results.robustness_rows import (
    Calibration,
    DistinctClaim,
    LabelNoise,
    NearDuplicates,
    Separation,
    TippingPoint,
)
from audit.results.rows import (
    Agreement,
    CommonImages,
    Confusion,
    Correction,
    Difference,
    EqualizedOdds,
    Flow,
    Gap,
    Power,
    Price,
    Rate,
    Record,
    Shift,
    Skew,
    Support,
)
from moderation.messages import ModelStamp
from moderation.policy import Fitted, Policy
from moderation.visible_text import json_text

SCHEMA_VERSION = 1

SystemKind = Literal["policy", "decisions", "labels", "scores"]

#: A report on more policies or systems than this tells of them together.
_FEW_SYSTEMS = 6


class LabelRecord(Record):
    """A label as the policy has it."""

    id: str
    category: str | None
    action: str | None
    threshold: float | None
    review_threshold: float | None
    prompts: tuple[str, ...]
    negatives: tuple[str, ...] = ()
    classifier: str = Field("", description="The file of the classifier that scores it.")

    @classmethod
    def of(
        cls,
        label: SaidLabel,
        prompts: tuple[str, ...] = (),
        negatives: tuple[str, ...] = (),
        classifier: str = "",
    ) -> Self:
        """Returns a label as `results.json` has it, with what scores it if that is known."""
        return cls(
            id=label.id,
            category=label.reported_category if label.acts else None,
            action=label.action,
            threshold=label.threshold,
            review_threshold=label.review_threshold,
            prompts=prompts,
            negatives=negatives,
            classifier=classifier,
        )


class PolicyRecord(Record):
    """A policy of the report, or a system whose predictions were read; rows call it by `name`.

    `kind` is policy, or what the predictions are: decisions, labels or scores.
    """

    name: str
    kind: SystemKind = "policy"
    id: str
    version: int | None = None
    title: str
    sha256: str
    path: str
    notes: str = Field("", description="The comment that its file begins with.")
    tuned_on: tuple[str, ...] = ()
    fitted: Fitted | None = Field(None, description="What its thresholds were set on.")
    unfitted: str = Field(
        "", description="Why its thresholds are not known to fit the model; empty where they fit."
    )
    scoring: str | None = None
    decision: str | None = None
    templates: tuple[str, ...] = ()
    labels: tuple[LabelRecord, ...]

    @classmethod
    def of(cls, name: str, policy: Policy, path: str, model: ModelStamp | None = None) -> Self:
        """Returns a policy as `results.json` has it; with what its thresholds are on a model."""
        return cls(
            name=name,
            id=policy.id,
            version=policy.version,
            title=policy.title,
            sha256=policy.sha256,
            path=path,
            notes=policy.notes,
            tuned_on=policy.tuned_on,
            fitted=policy.fitted,
            unfitted=policy.unfitted_words(model) if model else "",
            scoring=policy.scoring,
            decision=policy.decision,
            templates=policy.templates,
            labels=tuple(
                LabelRecord.of(
                    label,
                    label.prompts,
                    label.negatives,
                    label.classifier.file if label.classifier else "",
                )
                for label in policy.labels
            ),
        )


class GroupRecord(Record):
    """How many images a group has; `by` is a sensitive feature, or an intersection of several."""

    by: str
    group: str
    n: int
    support: Support
    left_out: int = Field(0, description="Further images of the group, which were left out.")


class DatasetRecord(Record):
    """The dataset; `sha256` is of ids and annotations, `images_sha256` of all images."""

    name: str
    adapter: str
    n: int
    sha256: str
    images_sha256: str
    benign: bool
    sensitive_features: tuple[str, ...]
    groups: tuple[GroupRecord, ...]
    left_out: int = Field(description="Images that were left out.")
    unplaced: dict[str, int] = Field(
        default_factory=dict,
        description="Images left out whose group is not known, where there are any, by feature.",
    )
    rounded: int = Field(0, description="Images whose features are stored as float16.")
    seen_repeatedly: int = Field(0, description="Images that got more than one look.")
    notes: tuple[str, ...]


class SourceFile(Record):
    """A file that features were imported from."""

    name: str
    sha256: str


class RecordingRecord(Record):
    """What was claimed of recorded features when they were imported, and what was found then."""

    model_id: str
    logit_scale: float
    logit_bias: float | None
    template: str | None
    source: str
    licence: str
    created: str = Field(description="When they were imported: time in UTC, ISO 8601.")
    imported_by: str
    imported_from: tuple[SourceFile, ...]
    d: int = Field(description="How wide a feature is.")
    dtype: str = Field(description="Of its entries, as they are kept.")
    unit_length: bool = Field(description="Whether they came at unit length.")
    texts: int = Field(description="How many texts were recorded.")


class Header(Record):
    """What is needed to make the report again."""

    tool: str
    version: str
    created: str = Field(description="Time in UTC, ISO 8601.")
    command: str
    versions: dict[str, str] = Field(description="Versions of the packages that compute, by name.")
    model: ModelStamp | None = Field(None, description="None where predictions were read.")
    looking: str = Field("", description="How much of each file was looked at, at most.")
    logit_scale: float | None = None
    logit_bias: float | None = None
    recording: RecordingRecord | None = Field(
        None, description="Of recorded features: what is claimed of them; the model is a claim too."
    )
    policies: tuple[PolicyRecord, ...]
    dataset: DatasetRecord
    confidence: float
    seed: int
    by: tuple[str, ...] = Field(description="Sensitive features and intersections, in order.")
    harm: str = Field(
        "selection_rate",
        description="The rate that is the harm: to be flagged, or misclassified where none can be.",
    )

    @property
    def noun(self) -> str:
        """What its rows call `policy`: a policy, or another system."""
        return "policy" if all(each.kind == "policy" for each in self.policies) else "system"

    @property
    def nouns(self) -> str:
        """The same of several."""
        return "policies" if self.noun == "policy" else "systems"

    @property
    def is_of_many(self) -> bool:
        """Whether it is of so many that each by itself would fill pages."""
        return len(self.policies) > _FEW_SYSTEMS

    @property
    def is_of_starter(self) -> bool:
        """Whether the model is the stand-in for trying out."""
        return self.model is not None and self.model.id == "starter"


class Results(Record):
    """A whole audit."""

    schema_version: Literal[1] = 1
    kind: Literal["run", "compare", "ablate"]
    header: Header
    headline: Headline = Field(description="What matters most, in words.")
    summary: tuple[str, ...] = Field(
        description="What is claimed and counted, in words; the headline's finding first."
    )
    not_known: tuple[str, ...] = Field((), description="What is not shown, and why, in words.")
    correction: Correction | None = None
    rates: tuple[Rate, ...] = ()
    differences: tuple[Difference, ...] = ()
    gaps: tuple[Gap, ...] = ()
    equalized_odds: tuple[EqualizedOdds, ...] = ()
    common_images: tuple[CommonImages, ...] = ()
    shifts: tuple[Shift, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    confusions: tuple[Confusion, ...] = ()
    flows: tuple[Flow, ...] = ()
    prices: tuple[Price, ...] = ()
    ablations: tuple[Ablation, ...] = ()
    carried: tuple[Carried, ...] = ()
    split_halves: tuple[SplitHalf, ...] = ()
    wordings: tuple[Wording, ...] = ()
    wording_gaps: tuple[WordingGap, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    skews: tuple[Skew, ...] = ()
    power: tuple[Power, ...] = ()
    standardised: tuple[Standardised, ...] = ()
    common_strata: tuple[CommonStrata, ...] = ()
    pooled: tuple[Pooled, ...] = ()
    pooled_gaps: tuple[PooledGap, ...] = ()
    equivalences: tuple[Equivalent, ...] = ()
    separations: tuple[Separation, ...] = ()
    calibrations: tuple[Calibration, ...] = ()
    tipping_points: tuple[TippingPoint, ...] = ()
    label_noise: tuple[LabelNoise, ...] = ()
    near_duplicates: tuple[NearDuplicates, ...] = ()
    distinct_claims: tuple[DistinctClaim, ...] = ()
    insufficient: tuple[str, ...] = Field((), description="What had too little data, in words.")
    not_tried: tuple[str, ...] = Field((), description="Changes that were not tried, and why.")
    limits: tuple[str, ...] = Field((), description="What the audit cannot say, in words.")

    def to_json(self) -> str:
        """Returns the text of results.json; equal results give equal text."""
        return json_text(self.model_dump(mode="json"), compact=True) + "\n"
