"""Policies -> the classifiers that they name, loaded and tried, or all problems with their places.

Imports ONNX Runtime only where a policy names a classifier.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from moderation.encoders.classifiers.description import classifier_scores
from moderation.encoders.classifiers.files import classifier_content
from moderation.encoders.classifiers.onnx_model import OnnxModel
from moderation.encoders.classifiers.refusal import ClassifierRefusal
from moderation.errors import ModelError, PolicyError, PolicyProblem
from moderation.policy import LabelClassifier, Policy


def named_classifiers(policies: Iterable[Policy]) -> dict[str, LabelClassifier]:
    """Returns one of the classifiers of each model that policies name, by its `model_key`."""
    return {
        each.model_key: each for policy in policies for _, each in policy.classified_labels.items()
    }


def load_classifiers(
    policies: Iterable[Policy], folder: Path | None, threads: int | None = None
) -> dict[str, OnnxModel]:
    """Returns the classifiers of policies, by their `model_key`; each is loaded once.

    Args:
        policies: that name them, or none.
        folder: where an operator's own files lie; None where there are none.
        threads: that each computes with; None takes the cores that this process may use.

    Raises:
        PolicyError: some cannot be used; with every problem of all policies.
    """
    loaded: dict[str, OnnxModel | ClassifierRefusal] = {}
    problems: list[PolicyProblem] = []
    for policy in policies:
        for column, each in policy.classified_labels.items():
            if each.model_key not in loaded:
                loaded[each.model_key] = _loaded_or_refused(each, folder, threads)
            for refusal in _refusals(each, loaded[each.model_key]):
                place = ("labels", column, "classifier", *refusal.key)
                problems.append(policy.problem(place, refusal.what, refusal.remedy))
    if problems:
        raise PolicyError(problems)
    return {key: each for key, each in loaded.items() if isinstance(each, OnnxModel)}


def _loaded_or_refused(
    classifier: LabelClassifier, folder: Path | None, threads: int | None
) -> OnnxModel | ClassifierRefusal:
    try:
        return OnnxModel(classifier, classifier_content(classifier, folder), threads)
    except ClassifierRefusal as refusal:
        return refusal


def _refusals(
    classifier: LabelClassifier, found: OnnxModel | ClassifierRefusal
) -> Iterator[ClassifierRefusal]:
    """Yields why a label cannot use a classifier: it was refused, or has no such score."""
    if isinstance(found, ClassifierRefusal):
        yield found
        return
    width = found.trial.shape[1]
    if classifier.output.column >= width:
        what = f"it gives {width} numbers an image, so it has no column {classifier.output.column}"
        yield ClassifierRefusal(("output", "column"), what, f"Name 0 to {width - 1}")
        return
    try:
        classifier_scores(classifier, found.trial)
    except ModelError as error:
        yield ClassifierRefusal(("output",), error.what, error.remedy)
