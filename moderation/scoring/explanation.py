"""Why a policy decided so on one image: which words carried it, what stood against, and how near.

All figures are of the look that decided, and are those of the verdict. What is left out is left out
of the whole image: another look may decide then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from moderation.encoders.encoder import Float32s, TextEncoder
from moderation.messages import Action, LabelScore, Verdict
from moderation.scoring.classified import ModelRows, filled_up, joined_similarities
from moderation.scoring.classifier import expanded_features, similarities
from moderation.scoring.distance import Distance, label_distances
from moderation.scoring.left_out import JoinedLooks, LeaveOut, Without, WithoutEach
from moderation.scoring.served import ServedPolicy
from moderation.scoring.verdict import deciding_label, deciding_look


@dataclass(frozen=True)
class TemplateCosine:
    """How similar the image is to a prompt in one template."""

    template: str
    cosine: float


@dataclass(frozen=True)
class ExplainedText:
    """A prompt or a look-alike.

    Attributes:
        text: as the file has it.
        cosine: with its mean over all templates.
        templates: with each.
        without: what would be decided without it; of a label's only prompt, without the label.
    """

    text: str
    cosine: float
    templates: tuple[TemplateCosine, ...]
    without: Without


@dataclass(frozen=True)
class ExplainedLabel:
    """A label: its numbers in the verdict, its texts, most similar first, and its thresholds."""

    label: str
    action: Action | None
    similarity: float
    score: float
    fired: bool
    outcome: Action | None
    classifier: str | None
    prompts: tuple[ExplainedText, ...]
    negatives: tuple[ExplainedText, ...]
    distances: tuple[Distance, ...]
    without: Without

    @property
    def gap(self) -> float:
        """How far its score is below all it could reach; 0 or less once it asks for anything."""
        missing = [-each.score for each in self.distances if each.score is not None]
        return min(missing, default=-self.score)


@dataclass(frozen=True)
class Explanation:
    """Why a policy decided so on an image.

    Attributes:
        verdict: on it.
        labels: in the order of the file.
        decided_by: the label that asked for the most severe action, the highest score first; None
            where no label asks for review or block.
        nearest_context: the context label that is the most similar; None where there is none.
    """

    verdict: Verdict
    labels: tuple[ExplainedLabel, ...]
    decided_by: str | None
    nearest_context: str | None

    def label(self, name: str) -> ExplainedLabel:
        """Returns the label of this id."""
        return next(each for each in self.labels if each.label == name)

    @property
    def nearest_to_fire(self) -> ExplainedLabel:
        """Of the labels that act and ask for nothing, or else of all that act, the nearest one."""
        acting = [each for each in self.labels if each.action is not None]
        silent = [each for each in acting if not each.fired] or acting
        return min(silent, key=lambda each: each.gap)


class Explainer:
    """Explains a policy's decisions on many images."""

    def __init__(self, policy: ServedPolicy, encoder: TextEncoder) -> None:
        """Embeds each of the policy's texts by itself.

        Args:
            policy: whose decisions are explained.
            encoder: its own.
        """
        self._served = policy
        self._classifier = policy.classifier
        self._parts = expanded_features(policy.basis.policy, encoder)
        self._leave_out = LeaveOut(policy.classifier, self._parts)
        self._templates = policy.basis.policy.templates
        counts = (len(label.negatives) for label in policy.basis.policy.labels)
        self._first_negative = [*accumulate(counts, initial=0)]

    def explain(self, features: Mapping[str, Float32s], verdict: Verdict) -> Explanation:
        """Returns why the policy decided so.

        Args:
            features: the (v, d) rows of each model, by reference, as `ServedPolicy.decide` takes.
            verdict: of the policy on these.
        """
        looks = self._joined(features)
        scores = self._classifier.scores(looks.cosines)
        policy = self._classifier.policy
        place = deciding_look(policy, looks.cosines, scores)
        left_out = self._leave_out.of(looks, verdict.doubts)
        distances = label_distances(self._classifier, looks.cosines[place], scores[place])
        look = looks.features[place : place + 1]
        rows = self._text_cosines(look)
        labels = tuple(
            self._label(j, said, look, rows, left_out, distances[j])
            for j, said in enumerate(verdict.labels)
        )
        context = [each for each in labels if each.action is None and each.classifier is None]
        nearest = max(context, key=lambda each: each.similarity).label if context else None
        deciding = deciding_label(verdict.labels)
        return Explanation(verdict, labels, deciding.label if deciding else None, nearest)

    def _joined(self, features: Mapping[str, Float32s]) -> JoinedLooks:
        """Returns the looks at an image as all models have them together."""
        rows = {name: ModelRows(each, np.array([len(each)])) for name, each in features.items()}
        encoded = rows[self._served.model.reference]
        cosines, looks = joined_similarities(self._classifier, encoded, rows)
        return JoinedLooks(cosines, encoded.rows[filled_up(encoded.looks, looks)])

    def _text_cosines(self, look: Float32s) -> list[Float32s]:
        """Returns for each list of `expand_texts` the cosines of its texts with a (1, d) look."""
        ends = np.cumsum([len(part) for part in self._parts])[:-1]
        return np.split(similarities(look, np.concatenate(self._parts))[0], ends)

    def _label(
        self,
        j: int,
        said: LabelScore,
        look: Float32s,
        rows: Sequence[Float32s],
        left_out: WithoutEach,
        distances: tuple[Distance, ...],
    ) -> ExplainedLabel:
        label = self._classifier.policy.labels[j]
        by_prompt: list[float] = []
        if label.prompts:
            by_prompt = similarities(look, self._classifier.prompts[j])[0].tolist()
        own = rows[j].reshape(len(self._templates), len(label.prompts))
        start = len(self._classifier.policy.labels) + self._first_negative[j]
        alike = np.array(rows[start : start + len(label.negatives)]).T
        return ExplainedLabel(
            said.label,
            said.action,
            said.similarity,
            said.score,
            said.fired,
            said.outcome,
            said.classifier,
            self._texts(label.prompts, by_prompt, own, left_out.prompts[j]),
            self._texts(label.negatives, said.negatives, alike, left_out.negatives[j]),
            distances,
            left_out.labels[j],
        )

    def _texts(
        self,
        texts: Sequence[str],
        cosines: Sequence[float],
        by_template: Float32s,
        without: Sequence[Without],
    ) -> tuple[ExplainedText, ...]:
        """Returns texts, the most similar first; of (t, p) cosines with each template's."""
        columns = by_template.T.tolist()
        found = [
            ExplainedText(text, cosine, tuple(map(TemplateCosine, self._templates, column)), edited)
            for text, cosine, column, edited in zip(texts, cosines, columns, without, strict=True)
        ]
        return tuple(sorted(found, key=lambda each: -each.cosine))
