"""What a row of the log says of another policy: cosines by the texts that they are of.

A cosine depends on an image, a model and a text alone. So a row has those of every policy whose
labels have the texts of its own, whatever their ids, thresholds, actions and scoring.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from moderation.encoders.encoder import Float32s
from moderation.messages import Verdict
from moderation.policy import Label, Policy

#: What a column of cosines is of: the texts whose mean it is, or a classifier's output.
_Source = frozenset[str] | str


class KnownColumns(NamedTuple):
    """Where the cosines of a new policy are among those of an old one.

    Attributes:
        columns: of the old policy, in the order of the new one; None where one is missing.
        missing: what the new policy has and the old one has not, in words.
    """

    columns: list[int] | None
    missing: str

    @classmethod
    def of(cls, old: Policy, new: Policy) -> KnownColumns:
        """Returns where the columns of a new policy are among those of an old one."""
        known: dict[_Source, int] = {}
        for column, source in enumerate(_sources(old.labels)):
            known.setdefault(source, column)
        asked = _sources(new.labels)
        has_texts = any(not isinstance(source, str) for source in asked)
        if has_texts and set(old.templates) != set(new.templates):
            return cls(None, "its templates are others")
        missing = [_shown_source(source) for source in asked if source not in known]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            return cls(None, f"it had not {missing[0]}{more}")
        return cls([known[source] for source in asked], "")


def row_cosines(policy: Policy, verdict: Verdict) -> Float32s | None:
    """Returns (c,) what a verdict says of a policy's texts; None where it is of other labels."""
    by_label = {label.label: label for label in verdict.labels}
    said: Mapping[str, int] = {name: len(each.negatives) for name, each in by_label.items()}
    if said != {label.id: len(label.negatives) for label in policy.labels}:
        return None
    scored = [by_label[label.id] for label in policy.labels]
    look_alikes = [cosine for label in scored for cosine in label.negatives]
    return np.array([*(label.similarity for label in scored), *look_alikes], np.float32)


def _sources(labels: Iterable[Label]) -> list[_Source]:
    """Returns what each column of a policy's cosines is of: of its labels, then of look-alikes."""
    labels = tuple(labels)
    own = [_source_of_label(label) for label in labels]
    return [*own, *(frozenset([text]) for label in labels for text in label.negatives)]


def _source_of_label(label: Label) -> _Source:
    if label.classifier is None:
        return frozenset(label.prompts)
    return json.dumps(label.classifier.model_dump(mode="json"), sort_keys=True)


def _shown_source(source: _Source) -> str:
    if isinstance(source, str):
        return f"the classifier {json.loads(source)['file']}"
    return " + ".join(map(repr, sorted(source)))
