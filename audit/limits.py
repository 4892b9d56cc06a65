"""Limits files: what a policy must keep to before it may be merged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from audit.dataset import CROSS
from audit.errors import LimitsError
from audit.support import SUPPRESSED_BELOW
from moderation.errors import PolicyError
from moderation.policy_problems import field_problems
from moderation.yaml_source import parse_yaml

Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


class Limits(BaseModel):
    """What is held against which limit; a limit that is not given is not checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = Field(description="Version of this file format.")
    metric: str = Field(
        "selection_rate",
        min_length=1,
        description="Rate that is held: selection_rate, false_positive_rate, category:NAME.",
    )
    sensitive_features: tuple[str, ...] = Field(
        min_length=1,
        description="Features that are looked at; an intersection as race × gender or race,gender.",
    )
    ignored_groups: tuple[str, ...] = Field(
        (), description="Groups that no limit is held against, such as those with few images."
    )
    min_group_size: int = Field(
        SUPPRESSED_BELOW,
        ge=SUPPRESSED_BELOW,
        description="Groups with fewer images have too little data.",
    )
    worst_group_rate: Share | None = Field(None, description="Highest rate of any group.")
    gap: Share | None = Field(None, description="Largest difference between two groups.")
    ratio: Annotated[float, Field(ge=1.0, allow_inf_nan=False)] | None = Field(
        None, description="Largest ratio of two groups' rates, such as 1.25."
    )
    pass_ratio: Share | None = Field(
        None, description="Smallest ratio of two groups' shares that pass, such as 0.8."
    )
    regression: Share | None = Field(
        None, description="Largest rise of any group's rate over the baseline."
    )

    @property
    def by(self) -> list[tuple[str, ...]]:
        """The features and intersections, each as its features."""
        spelled = (text.replace(CROSS.strip(), ",") for text in self.sensitive_features)
        return [tuple(part.strip() for part in text.split(",")) for text in spelled]


def load_limits(path: Path) -> Limits:
    """Returns the limits of a file.

    Raises:
        LimitsError: it cannot be read, or with everything that is wrong in it.
    """
    try:
        source = parse_yaml(path.read_bytes(), str(path))
    except OSError as error:
        raise LimitsError(
            f"cannot be read: {error.strerror}", str(path), "Name a file of limits"
        ) from error
    except PolicyError as error:  # it is no YAML at all
        raise LimitsError("\n".join(map(str, error.problems))) from error
    problems = list(source.problems)
    try:
        limits = Limits.model_validate(source.data)
    except ValidationError as error:
        problems += field_problems(error, source, Limits)
    if problems:
        raise LimitsError("\n".join(map(str, problems)))
    if not any(getattr(limits, name) is not None for name in LIMITS):
        raise LimitsError(
            "it holds no limit", str(path), f"Give one or more of {', '.join(LIMITS)}"
        )
    return limits


#: The keys that are limits, in the order in which they are checked.
LIMITS = ("worst_group_rate", "gap", "ratio", "pass_ratio", "regression")
