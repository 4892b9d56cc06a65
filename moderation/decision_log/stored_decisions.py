"""Decisions of one policy on images whose features are in the embedding store."""

from __future__ import annotations

from moderation.features.stored_models import StoredModels
from moderation.messages import ModelStamp, Verdict
from moderation.policy import Policy
from moderation.scoring.classifier import Classifier
from moderation.scoring.conditions import Conditions
from moderation.scoring.served import decided_looks
from moderation.scoring.verdict import Decision

_NOT_STORED = "its features are not in the embedding store"


class StoredDecisions:
    """Decides by a policy on images that the store has; opens the model when the first one does."""

    def __init__(self, policy: Policy, models: StoredModels, reference: str | None) -> None:
        """Opens nothing yet.

        Args:
            policy: that decides.
            models: over the embedding store; closed by the caller.
            reference: of the policy's model; None takes that of each verdict.
        """
        self._policy, self._models, self._reference = policy, models, reference
        self._stored: dict[ModelStamp, bool] = {}
        self._bound: dict[str, tuple[Classifier, ModelStamp]] = {}

    def decide(self, verdict: Verdict, conditions: Conditions) -> Decision | str:
        """Returns the decision on the image of a verdict, or in words why there is none.

        Args:
            verdict: of the log.
            conditions: it was made under.

        Raises:
            ModelError: the policy's texts are new, and its model cannot be loaded.
            PolicyError: the policy does not fit its model. StoreError: the store is damaged.
        """
        looking = self._models.looking
        if conditions.looking != looking:
            return f"it was looked at with {conditions.looking.text}, and here with {looking.text}"
        if not self._has_features_of(verdict.model):
            return _NOT_STORED
        reference = self._reference or verdict.model.id
        classifier, stamp = self._bound_to(reference)
        if (stamp.fingerprint, stamp.preprocessing) != _weights_and_pixels(verdict.model):
            return f"{verdict.model.id} decided, and {stamp.id} is to decide now"
        keys = {each.model_key for each in self._policy.classified_labels.values()}
        found = self._models.recall(verdict.image_sha256, [reference, *sorted(keys)])
        if found is None:
            return _NOT_STORED
        return decided_looks(classifier, reference, [found])[0].decision

    def _has_features_of(self, stamp: ModelStamp) -> bool:
        """Whether the store has features of any image by a model; costs no model."""
        if stamp not in self._stored:
            folder = self._models.store.root / "images"
            spaces = folder.glob("-".join([*_weights_and_pixels(stamp), "*"]))
            self._stored[stamp] = any(spaces)
        return self._stored[stamp]

    def _bound_to(self, reference: str) -> tuple[Classifier, ModelStamp]:
        """Returns the policy on a model, whose texts come from the store where it has them."""
        if reference not in self._bound:
            encoder = self._models.encoder(reference)
            self._models.classifiers([self._policy])
            self._bound[reference] = Classifier.of(self._policy, encoder), encoder.stamp
        return self._bound[reference]


def _weights_and_pixels(stamp: ModelStamp) -> tuple[str, str]:
    return stamp.fingerprint, stamp.preprocessing
