"""Limits files: what a policy must keep to before it may be merged."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from audit.datasets.groups import CROSS, Groups
from audit.datasets.spelling import composed
from audit.errors import LimitsError
from audit.metrics.rates import FALSE_POSITIVE, TRUE_POSITIVE
from audit.statistics.support import SUPPRESSED_BELOW
from moderation.errors import PolicyError
from moderation.policy.problems import record_or_problems
from moderation.policy.yaml_source import FileKind, parse_yaml
from moderation.visible_text import brief

_KIND = FileKind("a file of limits", "Start from the one in docs/audit.md")

#: A highest rate or difference; with 1 the limit could not be broken.
Highest = Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)]


class Limits(BaseModel):
    """What is checked against which limit; a limit that is not given is not checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = Field(description="Version of this file format.")
    metric: str = Field(
        "selection_rate",
        min_length=1,
        description="Rate that is checked: selection_rate, false_positive_rate, category:NAME.",
    )
    sensitive_features: tuple[str, ...] = Field(
        min_length=1,
        description="Sensitive features to check; an intersection is race × gender or race,gender.",
    )
    ignored_groups: tuple[Annotated[str, AfterValidator(composed)], ...] = Field(
        (), description="Groups that no limit applies to, such as those with few images."
    )
    min_group_size: int = Field(
        SUPPRESSED_BELOW,
        ge=SUPPRESSED_BELOW,
        description="Groups with fewer images have too little data.",
    )
    worst_group_rate: Highest | None = Field(None, description="Highest rate of any group.")
    gap: Highest | None = Field(None, description="Largest difference between two groups.")
    ratio: Annotated[float, Field(ge=1.0, allow_inf_nan=False)] | None = Field(
        None, description="Largest ratio of two groups' rates, such as 1.25."
    )
    pass_ratio: Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)] | None = Field(
        None, description="Smallest ratio of two groups' shares that pass, such as 0.8."
    )
    regression: Highest | None = Field(
        None, description="Largest rise of any group's rate over the baseline."
    )
    recall_floor: Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)] | None = Field(
        None, description="Smallest true_positive_rate of any group, such as 0.8."
    )
    recall_gap: Highest | None = Field(
        None, description="Largest difference of true_positive_rate between two groups."
    )

    @property
    def by(self) -> list[tuple[str, ...]]:
        """The sensitive features and intersections, each as a tuple of sensitive features."""
        spelled = (text.replace(CROSS.strip(), ",") for text in self.sensitive_features)
        return [tuple(part.strip() for part in text.split(",")) for text in spelled]

    @property
    def need_truth(self) -> bool:
        """Whether what should be flagged matters to a limit."""
        recall = any(getattr(self, name) is not None for name in RECALL_LIMITS)
        return recall or self.metric in TRUTH_METRICS


def load_limits(path: Path) -> Limits:
    """Returns the limits of a file.

    Raises:
        LimitsError: it cannot be read, or with everything that is wrong in it.
    """
    try:
        limits = record_or_problems(parse_yaml(path.read_bytes(), str(path), _KIND), Limits)
    except OSError as error:
        raise LimitsError(
            f"cannot be read: {error.strerror}", str(path), "Name a file of limits"
        ) from error
    except PolicyError as error:
        raise LimitsError("\n".join(map(str, error.problems))) from error
    _refuse_senseless_limits(limits, str(path))
    return limits


def _refuse_senseless_limits(limits: Limits, where: str) -> None:
    """Raises where the limits could not fail, or would fail an improvement."""
    if not any(getattr(limits, name) is not None for name in LIMITS):
        raise LimitsError("there is no limit in it", where, f"Give any of {', '.join(LIMITS)}")
    if len({frozenset(by) for by in limits.by}) != len(limits.by):
        raise LimitsError("a sensitive feature is named twice", where, "Name each once")
    given = [name for name in _MORE_IS_WORSE if getattr(limits, name) is not None]
    if limits.metric in ("true_positive_rate", "action:allow") and given:
        what = f"{', '.join(given)} would fail an improvement: more {limits.metric} is not a harm"
        remedy = "Use gap or ratio with this metric, or recall_floor, or another metric"
        raise LimitsError(what, where, remedy)
    if limits.metric.startswith("label:"):
        what = f"{limits.metric} is not a harm by itself: that label need not act"
        raise LimitsError(what, where, "Use fired:LABEL, which counts where it does")


def refuse_unknown_groups(limits: Limits, parts: Iterable[Groups]) -> None:
    """Raises LimitsError where a group to ignore does not exist: a typo would ignore nothing."""
    known = {name for part in parts for name in part.names}
    unknown = [name for name in limits.ignored_groups if name not in known]
    if unknown:
        what = brief(f"there is no group {', '.join(unknown)} to ignore")
        raise LimitsError(what, "ignored_groups", brief(f"Known: {', '.join(sorted(known))}"))


#: The keys that are limits, in the order in which they are checked.
LIMITS = (
    "worst_group_rate",
    "gap",
    "ratio",
    "pass_ratio",
    "regression",
    "recall_floor",
    "recall_gap",
)

#: Those on true_positive_rate, whatever the metric.
RECALL_LIMITS = ("recall_floor", "recall_gap")

#: Metrics that count only images of which it is known whether they should be flagged.
TRUTH_METRICS = (TRUE_POSITIVE, FALSE_POSITIVE)

#: Those for which a higher rate is worse.
_MORE_IS_WORSE = ("worst_group_rate", "pass_ratio", "regression")
