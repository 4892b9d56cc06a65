"""Policy files: YAML -> frozen `Policy`, or all problems at once, each with its place.

A policy is a label set with what to do about each label. Imports no torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    Strict,
    ValidationError,
    model_validator,
)

from moderation.errors import PolicyError, PolicyProblem
from moderation.messages import Action, PolicyStamp, Severity
from moderation.policy_problems import field_problems, shape_problems
from moderation.policy_rules import broken_rules
from moderation.yaml_source import FileKind, Location, YamlSource, parse_yaml

Threshold = Annotated[float, Strict(), Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
Text = Annotated[str, Field(min_length=1, max_length=2000)]

_KIND = FileKind("a policy", "Start from a copy of policies/weapons.yaml")
#: How files of a folder are called that are policies, in any case.
SUFFIXES = (".yaml", ".yml")
_SAME_ID = "Give each its own; versions of one go one at a time, or into `audit compare OLD NEW`"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Returns a copy; a changed one is checked anew, and keeps nothing that was computed."""
        if not update:
            return super().model_copy(deep=deep)
        kept = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_validate({**kept, **update})


class Label(_Record):
    """One thing to tell apart; with an `action` it acts, without one it only competes."""

    id: Slug = Field(description="Stable name, lower case, digits and hyphens.")
    category: str | None = Field(
        None,
        pattern=r"^[a-z0-9-]+(/[a-z0-9-]+)*$",
        description="Group in the verdict, such as weapons/firearms; else the label's own id.",
    )
    prompts: tuple[Text, ...] = Field(
        min_length=1, max_length=500, description="Wordings of the label, averaged."
    )
    action: Action | None = Field(
        None, description="What to do where the label fires; none makes a context label."
    )
    threshold: Threshold | None = Field(
        None, description="Score in [0, 1] from which the label fires (inclusive)."
    )
    review_threshold: Threshold | None = Field(
        None, description="Score from which a block label asks for review; below threshold."
    )
    severity: Severity | None = Field(None, description="How bad it is, for whoever reviews.")

    @property
    def acts(self) -> bool:
        """Whether the label has an action."""
        return self.action is not None

    @property
    def reported_category(self) -> str:
        """The category in the verdict: the author's, else the label's own id."""
        return self.category or self.id


class Expectation(_Record):
    """What a verdict must say of an example image."""

    action: Action = Field(description="The verdict's action.")
    label: str | None = Field(None, description="The id of a label that fires.")


class Example(_Record):
    """An image with the verdict that its author expects."""

    image: Text = Field(description="Path of the image, relative to the policy file.")
    expect: Expectation


class Policy(_Record):
    """A label set and what to do about each label; equal content has the equal `sha256`."""

    schema_version: Literal[1] = Field(description="Version of this file format.")
    id: Slug = Field(description="Stable name of the policy, lower case, digits and hyphens.")
    version: Annotated[
        int,
        Strict(),
        # As far as the decision log's column goes.
        Field(ge=1, le=2**31 - 1, description="Raised by the author at each edit."),
    ]
    title: Text = Field(description="What it is for, in a few words.")
    model: Text | None = Field(
        None,
        description="starter, a folder, or hub-id[@revision]; else the worker's own model.",
    )
    templates: tuple[Text, ...] = Field(
        ("a photo of {}.",),
        min_length=1,
        max_length=500,
        description="Sentences that each prompt is set into, at {}; averaged.",
    )
    scoring: Literal["softmax", "contrast", "sigmoid"] = Field(
        "softmax",
        description="softmax: all labels share 1. contrast: each acting label against the "
        "context labels alone. sigmoid: each label by itself (SigLIP models).",
    )
    decision: Literal["threshold", "top_label"] = Field(
        "threshold",
        description="threshold: every label whose score reaches its threshold. "
        "top_label: only the label with the highest score.",
    )
    labels: tuple[Label, ...] = Field(min_length=1, max_length=5000)
    examples: tuple[Example, ...] = Field(
        (), description="Images with the verdict that the author expects."
    )

    _source: YamlSource | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _keeps_the_rules(self) -> Self:
        """Refuses a policy built in Python that a file could not hold."""
        for rule in broken_rules(self.model_dump(mode="json", exclude_none=True)):
            raise ValueError(f"{rule.message}. {rule.remedy}")
        return self

    @cached_property
    def sha256(self) -> str:
        """Hash of the content, whatever the layout of the file."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def stamp(self) -> PolicyStamp:
        """What a verdict says of its policy."""
        return PolicyStamp(id=self.id, version=self.version, sha256=self.sha256)

    def problem(self, location: Location, message: str, remedy: str) -> PolicyProblem:
        """Returns a problem at a place of this policy's file (of line 0 if built in Python)."""
        source = self._source or YamlSource(f"<policy {self.id}>", _KIND)
        return source.problem(location, message, remedy)


def parse_policy(content: bytes, path: str, *, model: str | None = None) -> Policy:
    """Returns the policy in `content`.

    Args:
        content: the YAML text.
        path: what to call it in problems.
        model: reference of the model that will be used where the policy names none; it sets how
            long a prompt may be. None leaves prompts of such a policy unchecked.

    Raises:
        PolicyError: with every problem of the file, in the order of the file.
    """
    source = parse_yaml(content, path, _KIND)
    problems = [*source.problems, *shape_problems(source)]
    if isinstance(source.data, dict):
        problems += _content_problems(source, model)
    if problems:
        in_file_order = sorted(set(problems), key=lambda p: (p.line, p.column, p.message))
        raise PolicyError(in_file_order)
    policy = Policy.model_validate(source.data)
    policy._source = source
    return policy


def _content_problems(source: YamlSource, model: str | None) -> list[PolicyProblem]:
    found: list[PolicyProblem] = []
    try:
        Policy.model_validate(source.data)
    except ValidationError as error:
        found += field_problems(error, source, Policy)
    found += [
        source.problem(rule.location, rule.message, rule.remedy)
        for rule in broken_rules(source.data, default_model=model)
    ]
    return found


def load_policy(path: Path | str, *, model: str | None = None) -> Policy:
    """Returns the policy of one file; `model` as in `parse_policy`.

    Raises:
        PolicyError: the file is missing, or with everything that is wrong in it.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        remedy = (
            "Give the path of a policy file, or the name of a shipped one; for a worker "
            "MODERATION_POLICIES does"
        )
        raise PolicyError([(str(path), 0, 0, message, remedy)]) from error
    return parse_policy(content, str(path), model=model)


def load_policies(paths: Iterable[Path | str], *, model: str | None = None) -> dict[str, Policy]:
    """Returns the policies of files and folders (their *.yaml and *.yml, in any case) by id.

    Raises:
        PolicyError: with everything that is wrong in any of them, or two with one id.
    """
    policies: dict[str, Policy] = {}
    places: dict[str, Path] = {}
    problems: list[PolicyProblem] = []
    for path in policy_files(paths):
        try:
            policy = load_policy(path, model=model)
        except PolicyError as error:
            problems += error.problems
            continue
        if policy.id in policies:
            message = f"the id '{policy.id}' is that of {places[policy.id]} too"
            problems.append(policy.problem(("id",), message, _SAME_ID))
        policies[policy.id], places[policy.id] = policy, path
    if problems:
        raise PolicyError(problems)
    return policies


def policy_files(paths: Iterable[Path | str]) -> list[Path]:
    """Returns the files of `paths`; of a folder its *.yaml and *.yml, none further down.

    Raises:
        PolicyError: a folder holds none.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        if not inside:
            message = "there is no *.yaml or *.yml file in this folder"
            raise PolicyError([(str(path), 0, 0, message, "Name a folder that holds policies")])
        files += inside
    return files


def shipped_policies() -> Path:
    """Returns the folder of the policies that come with the package."""
    inside = Path(__file__).parent / "policies"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "policies"


def find_policy(name: str) -> Path:
    """Returns the path that `name` stands for: a shipped policy's if there is no such file."""
    path, shipped = Path(name), shipped_policies() / f"{name}.yaml"
    if path.exists():
        return path
    return shipped if shipped.is_file() else path


def policy_json_schema() -> dict[str, Any]:
    """Returns the JSON Schema of a policy file, in the draft that editors read (07)."""
    text = json.dumps(Policy.model_json_schema()).replace("#/$defs/", "#/definitions/")
    schema: dict[str, Any] = json.loads(text)
    definitions = schema.pop("$defs")
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **schema,
        "title": "Evenhand policy",
        "definitions": definitions,
    }
