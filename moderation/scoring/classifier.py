"""Zero-shot classification: prompts -> text features -> similarities -> scores. numpy only.

Thresholds play no part in scores, since the audit needs them without. Shapes: n images, k labels, d
feature width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from moderation.encoders.encoder import Float32s, Rows, TextEncoder, unit, widened
from moderation.errors import ModelError, PolicyError
from moderation.policy import Label, Policy
from moderation.policy.rules import prompt_length_rule, sigmoid_rule

#: From so many images on they are multiplied as matrices of so many rows.
_MANY_IMAGES = 4096


def expand_prompts(policy: Policy, label: Label) -> list[str]:
    """Returns what a label is classified by: every template with every prompt set into it."""
    return [template.replace("{}", text) for template in policy.templates for text in label.prompts]


def label_features(policy: Policy, encoder: TextEncoder) -> Float32s:
    """Returns (k, d) text features of a policy's labels, each the mean of its prompts.

    Every template x prompt is encoded and normalised, averaged per label, normalised again.

    Raises:
        PolicyError: a prompt is longer than the encoder's context.
        ModelError: a feature is not finite.

    Source: Radford et al. 2021, arXiv 2103.00020, section 3.1.4.
    """
    _refuse_long_prompts(policy, encoder)
    prompts = [expand_prompts(policy, label) for label in policy.labels]
    rows = encoder.text_features([text for texts in prompts for text in texts])
    ends = np.cumsum([len(texts) for texts in prompts])[:-1]
    means = [part.mean(axis=0) for part in np.split(unit(rows), ends)]
    features = unit(np.stack(means).astype(np.float32))
    if not np.isfinite(features).all():
        raise ModelError(
            "a text feature is not finite", encoder.stamp.id, "Check the model's weights and dtype"
        )
    return features


def _refuse_long_prompts(policy: Policy, encoder: TextEncoder) -> None:
    problems = []
    for i, label in enumerate(policy.labels):
        for j, prompt in enumerate(label.prompts):
            texts = [template.replace("{}", prompt) for template in policy.templates]
            count = max(encoder.count_tokens(texts))
            if count > encoder.context_length:
                words = prompt_length_rule(str(count), encoder.context_length, encoder.stamp.id)
                problems.append(policy.problem(("labels", i, "prompts", j), *words))
    if problems:
        raise PolicyError(problems)


def similarities(image_features: Rows, text_features: Float32s) -> Float32s:
    """Returns (n, k) cosines in [-1, 1] of (n, d) and (k, d) rows of unit length.

    Images' features may be as they are stored, in a file: a part of them is in memory at a time.

    They are multiplied in float64, then rounded to float32: otherwise the number of labels, and
    their order, would show in the last digits. And each image gets what it gets when it is
    multiplied by itself: in one product of matrices, how its sums are formed would depend on how
    many others there are. So of many images the product is taken where its rounding is certain,
    and the few others are multiplied one by one.
    """
    texts = text_features.astype(np.float64).T
    if len(image_features) < _MANY_IMAGES:
        return _rounded_cosines(_one_by_one(widened(image_features), texts))
    cosines = np.empty((len(image_features), len(text_features)), np.float32)
    for start in range(0, len(image_features), _MANY_IMAGES):
        rows = widened(image_features[start : start + _MANY_IMAGES])
        products = rows.astype(np.float64) @ texts
        # Two ways to add d products of unit rows differ by d * eps at most; twice that, since a
        # row's length is only nearly 1.
        most = 2 * rows.shape[1] * np.finfo(np.float64).eps
        sure = _rounded_cosines(products - most) == _rounded_cosines(products + most)
        unsure = np.flatnonzero(~sure.all(axis=1))  # NaN is never sure
        products[unsure] = _one_by_one(rows[unsure], texts)
        cosines[start : start + len(rows)] = _rounded_cosines(products)
    return cosines


def _one_by_one(
    image_features: Float32s, texts: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Returns (n, k) products of (n, d) rows, each taken by itself, with (d, k) columns."""
    products: npt.NDArray[np.float64] = image_features.astype(np.float64)[:, np.newaxis] @ texts
    return products[:, 0]


def _rounded_cosines(products: npt.NDArray[np.float64]) -> Float32s:
    return np.clip(products, -1.0, 1.0).astype(np.float32)


@dataclass(frozen=True)
class Classifier:
    """A policy bound to a model: its label features, computed once."""

    policy: Policy
    features: Float32s
    logit_scale: float
    logit_bias: float | None

    @classmethod
    def of(cls, policy: Policy, encoder: TextEncoder) -> Classifier:
        """Returns the classifier of a policy on an encoder.

        Raises:
            PolicyError: a prompt is too long, or sigmoid scoring does not fit the model.
        """
        if policy.scoring == "sigmoid" and encoder.logit_bias is None:
            raise PolicyError([policy.problem(("scoring",), *sigmoid_rule(encoder.stamp.id))])
        features = label_features(policy, encoder)
        return cls(policy, features, encoder.logit_scale, encoder.logit_bias)

    def similarities(self, image_features: Rows) -> Float32s:
        """Returns (n, k) cosines; column j is `policy.labels[j]`."""
        return similarities(image_features, self.features)

    def scores(self, cosines: Float32s) -> Float32s:
        """Returns (n, k) scores in [0, 1] by the policy's scoring rule.

        Raises:
            ModelError: a score is not finite.
        """
        logits = cosines.astype(np.float64) * self.logit_scale
        if self.policy.scoring == "sigmoid":
            scores = _sigmoid(logits + (self.logit_bias or 0.0))
        elif self.policy.scoring == "contrast":
            acts = np.array([label.acts for label in self.policy.labels])
            scores = contrast_scores(logits, acts)
        else:
            scores = softmax(logits)
        if not np.isfinite(scores).all():
            raise ModelError(
                "a score is not finite", self.policy.id, "Check the model's weights and dtype"
            )
        return scores.astype(np.float32)


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns (n, k) scores that sum to 1 in each row."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores: npt.NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return scores


def contrast_scores(
    logits: npt.NDArray[np.float64], acts: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Returns (n, k) scores: each acting label in a softmax with the context labels alone.

    So adding or removing one acting label moves no other. Context labels get their softmax among
    themselves, which shows what the image looked like instead.

    Args:
        logits: (n, k).
        acts: (k,) True where the label has an action; at least one is False.
    """
    # Not logits[:, ~acts]: where it has several rows, their numbers lie apart in memory, and numpy
    # would add them in another order.
    context = logits.compress(~acts, axis=1)
    top = context.max(axis=1, keepdims=True)
    rivals = top + np.log(np.exp(context - top).sum(axis=1, keepdims=True))
    scores = np.empty_like(logits)
    scores[:, acts] = _sigmoid(logits[:, acts] - rivals)
    scores[:, ~acts] = softmax(context)
    return scores


def _sigmoid(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns 1 / (1 + exp(-logit)), without overflow at either end."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1 / (1 + small), small / (1 + small))
