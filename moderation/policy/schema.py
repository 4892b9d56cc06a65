"""The records of a policy, a label set with what to do about each label, and their JSON Schema."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, PrivateAttr, Strict, model_validator

from moderation.errors import PolicyProblem
from moderation.messages import Action, ModelStamp, PolicyStamp, Unfitted
from moderation.policy.authored import AuthoredRecord, Sha256, Slug, Text
from moderation.policy.fitted import Fitted, misfit_words
from moderation.policy.label import Label, LabelClassifier
from moderation.policy.rules import broken_rules
from moderation.policy.yaml_source import FileKind, Location, Place, YamlSource

KIND = FileKind("a policy", "Start from a copy of policies/weapons.yaml")

#: Keys that came later, by record; left out of the hash where they say nothing, so that a file from
#: before there was such a key keeps its hash.
_LATER_KEYS = {
    "policy": ("tuned_on", "fitted"),
    "label": ("negatives", "classifier", "taxonomy"),
    "example": ("image", "sha256"),
}


class Expectation(AuthoredRecord):
    """What a verdict must say of an example image."""

    action: Action = Field(description="The verdict's action.")
    label: str | None = Field(None, description="The id of a label that fires.")

    @property
    def words(self) -> str:
        """What is expected, in words."""
        return self.action + (f" by {self.label}" if self.label else "")


class Example(AuthoredRecord):
    """An image with the verdict that its author expects: a file, or one of the embedding store."""

    image: Text | None = Field(
        None, description="Path of the image, relative to the policy file; or sha256."
    )
    sha256: Sha256 | None = Field(
        None, description="Hash of an image's file whose features are in the embedding store."
    )
    expect: Expectation


class PolicyFile(NamedTuple):
    """A policy's file; `path` is what problems call it."""

    path: str
    text: str


class Policy(AuthoredRecord):
    """A label set and what to do about each label; equal content has equal `sha256`."""

    schema_version: Literal[1] = Field(description="Version of this file format.")
    id: Slug = Field(description="Stable name of the policy, lower case, digits and hyphens.")
    version: Annotated[
        int,
        Strict(),
        # Up to what the decision log's column holds.
        Field(ge=1, le=2**31 - 1, description="Raised by the author at each edit."),
    ]
    title: Text = Field(description="What it is for, in a few words.")
    model: Text | None = Field(
        None,
        description="starter, a folder, or hub-id[@revision]; by default the worker's model.",
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

    tuned_on: tuple[Text, ...] = Field(
        (),
        max_length=100,
        description="Datasets on which its wording or thresholds were chosen, by name, by adapter "
        "or by hash; an audit on one of them says that its figures flatter.",
    )
    fitted: Fitted | None = Field(
        None, description="What its thresholds were set on; without it, they are unfitted."
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
        text = json.dumps(self.content, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def content(self) -> dict[str, Any]:
        """The policy as plain data, as it is hashed and kept."""
        content = self.model_dump(mode="json")
        _leave_out_unsaid(content, "policy")
        for label in content["labels"]:
            _leave_out_unsaid(label, "label")
        for example in content["examples"]:
            _leave_out_unsaid(example, "example")
        return content

    def unfitted(self, model: ModelStamp) -> Unfitted | None:
        """Returns why its thresholds are not known to fit a model; None where they were set on it.

        None too where it has no threshold. A model that scores no acting label decides nothing, so
        it may be any.
        """
        if not self._has_thresholds:
            return None
        if self.fitted is None:
            return "no-record"
        return self.fitted.misfit(model) if self._acts_by_model else None

    def unfitted_words(self, model: ModelStamp) -> str:
        """Returns the same in words; "" where they fit."""
        reason = self.unfitted(model)
        return misfit_words(reason, self.fitted, model.id) if reason else ""

    def unfitted_by_name(self, reference: str) -> str:
        """Returns the same of a model that is not loaded; "" where that cannot be known."""
        if not self._has_thresholds:
            return ""
        if self.fitted is None:
            return misfit_words("no-record", None, reference)
        if self._acts_by_model and self.fitted.names(reference) is False:
            return misfit_words("other-model", self.fitted, reference)
        return ""

    @property
    def _has_thresholds(self) -> bool:
        return any(label.threshold is not None for label in self.labels)

    @property
    def _acts_by_model(self) -> bool:
        """Whether the model scores a label that acts, and not only classifiers do."""
        return any(label.acts and not label.classifier for label in self.labels)

    @cached_property
    def classified_labels(self) -> dict[int, LabelClassifier]:
        """The classifiers of labels that have one, by the label's place."""
        places = enumerate(self.labels)
        return {place: label.classifier for place, label in places if label.classifier}

    @property
    def notes(self) -> str:
        """What the author says of it: the comment that its file begins with; lines as written."""
        return self._source.opening_comment if self._source else ""

    @property
    def stamp(self) -> PolicyStamp:
        """What a verdict says of its policy."""
        return PolicyStamp(id=self.id, version=self.version, sha256=self.sha256)

    @property
    def file(self) -> PolicyFile:
        """The file that it was read from, as it was then.

        Raises:
            ValueError: it was built in Python.
        """
        if self._source is None:
            raise ValueError(f"the policy {self.id} has no file")
        return PolicyFile(self._source.path, self._source.text)

    def place(self, location: Location) -> Place:
        """Returns a place of this policy's file (line 0 if built in Python)."""
        return self._source.place(location) if self._source else Place()

    def problem(self, location: Location, message: str, remedy: str) -> PolicyProblem:
        """Returns a problem at a place of this policy's file (line 0 if built in Python)."""
        source = self._source or YamlSource(f"<policy {self.id}>", KIND)
        return source.problem(location, message, remedy)


def _leave_out_unsaid(
    content: dict[str, Any], record: Literal["policy", "label", "example"]
) -> None:
    """Removes the later keys of a record that say nothing."""
    for key in _LATER_KEYS[record]:
        said = content[key]
        if not said or (isinstance(said, dict) and not any(said.values())):
            del content[key]


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
