"""Zero-shot classification: prompts -> text features -> similarities -> scores. numpy only.

Thresholds play no part in scores, since the audit needs them without. Shapes: n images, k labels, r
look-alikes of these (`negatives`), c = k + r texts, d feature width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from moderation.encoders.encoder import Float32s, Rows, TextEncoder, unit, widened
from moderation.errors import ModelError, PolicyError
from moderation.policy import Label, Policy
from moderation.policy.rules import prompt_length_rule, sigmoid_rule

#: From so many images on they are multiplied as matrices of so many rows.
_MANY_IMAGES = 4096


def in_templates(policy: Policy, text: str) -> list[str]:
    """Returns a policy's templates, each with the text set into it."""
    return [template.replace("{}", text) for template in policy.templates]


def expand_prompts(policy: Policy, label: Label) -> list[str]:
    """Returns what a label is classified by: every template with every prompt set into it."""
    return [template.replace("{}", text) for template in policy.templates for text in label.prompts]


def expand_texts(policy: Policy) -> list[list[str]]:
    """Returns what each of the c rows of a policy's text features is the mean of.

    First its k labels, of which those with a classifier have no text; then the look-alikes of each
    label, in the order of the file.
    """
    look_alikes = [text for label in policy.labels for text in label.negatives]
    return [
        *(expand_prompts(policy, label) for label in policy.labels),
        *(in_templates(policy, text) for text in look_alikes),
    ]


class PolicyFeatures(NamedTuple):
    """What a model makes of a policy's texts, all of unit length.

    Attributes:
        texts: (c, d), each row the mean of what `expand_texts` has for it; 0 where a classifier
            scores the label.
        prompts: for each of k labels (p, d), each row the mean of one of its prompts in all
            templates: what the label would be by this prompt alone.
    """

    texts: Float32s
    prompts: tuple[Float32s, ...]


def policy_features(policy: Policy, encoder: TextEncoder) -> PolicyFeatures:
    """Returns the features of a policy's texts.

    Every template x prompt is encoded and normalised, averaged, normalised again.

    Raises:
        PolicyError: a prompt is longer than the encoder's context.
        ModelError: a feature is not finite.

    Source: Radford et al. 2021, arXiv 2103.00020, section 3.1.4.
    """
    _refuse_long_prompts(policy, encoder)
    parts = expanded_features(policy, encoder)
    texts = np.zeros((len(parts), parts[0].shape[1]), np.float32)
    if said := [row for row, part in enumerate(parts) if len(part)]:
        texts[said] = unit(np.stack([parts[row].mean(axis=0) for row in said]))
    if not np.isfinite(texts).all():
        raise ModelError(
            "a text feature is not finite", encoder.stamp.id, "Check the model's weights and dtype"
        )
    labels = zip(policy.labels, parts, strict=False)  # look-alikes come after the labels
    return PolicyFeatures(texts, tuple(_prompt_means(policy, *each) for each in labels))


def expanded_features(policy: Policy, encoder: TextEncoder) -> list[Float32s]:
    """Returns for each of the c lists of `expand_texts` the (t, d) features of its texts."""
    texts = expand_texts(policy)
    every = [text for each in texts for text in each]
    # Where classifiers score all labels, a model's width still shows in no other way.
    rows = unit(encoder.text_features(every or ["a photo"]))[: len(every)]
    return np.split(rows, np.cumsum([len(each) for each in texts])[:-1])


def _prompt_means(policy: Policy, label: Label, rows: Float32s) -> Float32s:
    by_template = rows.reshape(len(policy.templates), len(label.prompts), rows.shape[1])
    return unit(by_template.mean(axis=0))


def _refuse_long_prompts(policy: Policy, encoder: TextEncoder) -> None:
    problems = []
    for i, label in enumerate(policy.labels):
        for key in ("prompts", "negatives"):
            for j, text in enumerate(getattr(label, key)):
                count = max(encoder.count_tokens(in_templates(policy, text)))
                if count > encoder.context_length:
                    words = prompt_length_rule(str(count), encoder.context_length, encoder.stamp.id)
                    problems.append(policy.problem(("labels", i, key, j), *words))
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
    """A policy bound to a model: its features, computed once; scores need its texts' alone."""

    policy: Policy
    features: Float32s
    logit_scale: float
    logit_bias: float | None
    prompts: tuple[Float32s, ...] = ()

    @classmethod
    def of(cls, policy: Policy, encoder: TextEncoder) -> Classifier:
        """Returns the classifier of a policy on an encoder.

        Raises:
            PolicyError: a prompt is too long, or sigmoid scoring does not fit the model.
        """
        if policy.scoring == "sigmoid" and encoder.logit_bias is None:
            raise PolicyError([policy.problem(("scoring",), *sigmoid_rule(encoder.stamp.id))])
        features, prompts = policy_features(policy, encoder)
        return cls(policy, features, encoder.logit_scale, encoder.logit_bias, prompts)

    @property
    def labels_with_prompts(self) -> npt.NDArray[np.bool_]:
        """(k,) False where a classifier scores the label."""
        return np.array([label.classifier is None for label in self.policy.labels])

    def similarities(self, image_features: Rows) -> Float32s:
        """Returns (n, c) cosines; column j is `policy.labels[j]`, and look-alikes come after.

        Those of labels that a classifier scores are 0: their scores take that place later.
        """
        return similarities(image_features, self.features)

    def nearest_prompts(
        self, image_features: Float32s, fired: npt.NDArray[np.bool_]
    ) -> list[list[str | None]]:
        """Returns for each image and label which of its prompts is most similar to the image.

        Of equals it is the first; None where a label did not fire, or a classifier scores it.

        Args:
            image_features: (n, d) rows.
            fired: (n, k) of which labels it is asked.
        """
        labels = self.policy.labels
        nearest: list[list[str | None]] = [[None] * len(labels) for _ in fired]
        for j in np.flatnonzero(fired.any(axis=0)).tolist():
            if texts := labels[j].prompts:
                images = np.flatnonzero(fired[:, j])
                places = similarities(image_features[images], self.prompts[j]).argmax(axis=1)
                for image, place in zip(images.tolist(), places.tolist(), strict=True):
                    nearest[image][j] = texts[place]
        return nearest

    def scores(self, cosines: Float32s) -> Float32s:
        """Returns (n, k) scores in [0, 1], of (n, c) cosines, by the policy's scoring rule.

        Where a classifier scores a label, its column already holds that score, which competes with
        nothing.

        Raises:
            ModelError: a score is not finite.
        """
        logits = cosines.astype(np.float64) * self.logit_scale
        said = self.labels_with_prompts
        if not said.any():
            scores = np.empty(logits.shape)
        elif self.policy.scoring == "sigmoid":
            scores = _sigmoid(logits + (self.logit_bias or 0.0))
        elif self.policy.scoring == "contrast":
            acts = np.array([label.acts for label in self.policy.labels])
            scores = contrast_scores(logits, acts, owner_of_negatives(self.policy))
        else:
            scores = np.empty(logits.shape)
            scores[:, said] = softmax(_columns(logits, said))
        scores[:, ~said] = cosines[:, : len(said)][:, ~said]
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


def owner_of_negatives(policy: Policy) -> npt.NDArray[np.intp]:
    """Returns (r,) the column of the label that each look-alike of a policy belongs to."""
    counts = [len(label.negatives) for label in policy.labels]
    return np.repeat(np.arange(len(counts)), counts)


def contrast_scores(
    logits: npt.NDArray[np.float64],
    acts: npt.NDArray[np.bool_],
    owners: npt.NDArray[np.intp] | None = None,
) -> npt.NDArray[np.float64]:
    """Returns (n, k) scores: each acting label in a softmax with the context labels alone.

    So adding or removing one acting label moves no other. A label with look-alikes competes with
    them too, and no other label does. Context labels get their softmax among themselves, which
    shows what the image looked like instead.

    Args:
        logits: (n, c), first those of the k labels, then those of r look-alikes.
        acts: (k,) True where the label has an action; at least one is False.
        owners: (r,) the column of the label that each look-alike belongs to; None where r is 0.
    """
    labels, look_alikes = logits[:, : len(acts)], logits[:, len(acts) :]
    context = _columns(labels, ~acts)
    rivals = _log_sum_exp(context)
    scores = np.empty_like(labels)
    scores[:, acts] = _sigmoid(labels[:, acts] - rivals[:, np.newaxis])
    scores[:, ~acts] = softmax(context)
    for label in () if owners is None else np.unique(owners):
        own = _log_sum_exp(_columns(look_alikes, owners == label))
        scores[:, label] = _sigmoid(labels[:, label] - np.logaddexp(rivals, own))
    return scores


def _columns(
    logits: npt.NDArray[np.float64], chosen: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Returns some columns, each row beside itself in memory.

    Not logits[:, chosen]: where that has several rows, their numbers lie apart, and numpy would add
    them in another order.
    """
    columns: npt.NDArray[np.float64] = logits.compress(chosen, axis=1)
    return columns


def _log_sum_exp(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns (n,) the logarithm of the sum of the exponentials of each row."""
    top = logits.max(axis=1)
    total = np.exp(logits - top[:, np.newaxis]).sum(axis=1)
    summed: npt.NDArray[np.float64] = top + np.log(total)
    return summed


def _sigmoid(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns 1 / (1 + exp(-logit)), without overflow at either end."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1 / (1 + small), small / (1 + small))
