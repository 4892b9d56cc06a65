"""y_true -> what a policy should say of each image."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.datasets.dataset import Y_TRUE, Dataset
from audit.datasets.groups import Marks, images_of

#: A y_true that says: nothing here should be flagged, whatever it shows.
ALLOW = "allow"


class SaidLabel(Protocol):
    """A label that a system can say of an image, as a policy's `Label` has it."""

    @property
    def id(self) -> str:
        """Its name in reports."""
        ...

    @property
    def action(self) -> str | None:
        """What is done where it fires; None for a label that only competes."""
        ...

    @property
    def threshold(self) -> float | None:
        """The score from which it fires, if there is one."""
        ...

    @property
    def review_threshold(self) -> float | None:
        """The score from which it asks for review alone, if there is one."""
        ...

    @property
    def acts(self) -> bool:
        """Whether it has an action."""
        ...

    @property
    def reported_category(self) -> str:
        """What it counts under."""
        ...


@dataclass(frozen=True)
class SystemLabel:
    """A label of a system that is not a policy, with the attributes of a policy's label.

    Attributes:
        id: what the system calls it.
        action: what is done where it is said; None where it flags nothing.
        category: what it counts under, where that is not itself.
        threshold: the score from which it is said, where scores were read.
        review_threshold: the score from which it is said for review alone, where there is one.
    """

    id: str
    action: str | None = None
    category: str | None = None
    threshold: float | None = None
    review_threshold: float | None = None

    @property
    def acts(self) -> bool:
        """Whether it has an action."""
        return self.action is not None

    @property
    def reported_category(self) -> str:
        """What it counts under."""
        return self.category or self.id


class Classes(NamedTuple):
    """The classes that images are of.

    Attributes:
        names: the c classes, as y_true has them.
        codes: (n,) index into `names`; -1 where the class of an image is not known.
    """

    names: tuple[str, ...]
    codes: npt.NDArray[np.intp]

    @classmethod
    def of(cls, y_true: pd.Series) -> Classes:
        """Returns the classes of n images, None where it is not known, in the order of names."""
        codes, names = pd.factorize(y_true, sort=True)
        return cls(tuple(map(str, names)), codes.astype(np.intp))


@dataclass(frozen=True)
class Truth:
    """What is known of n images under a system with k labels.

    Attributes:
        positive: (n,) images that should be flagged.
        negative: (n,) images that should not; the truth of those in neither is unknown.
        meant: (n, k) the labels that an image's y_true names.
        unmatched: values of y_true that name nothing in the policy, with how many images have each.
        classes: the images' classes, where they have some.
    """

    positive: Marks
    negative: Marks
    meant: Marks
    unmatched: Mapping[str, int]
    classes: Classes | None = None

    @property
    def unknown(self) -> Marks:
        """(n,) images of which it is not known whether they should be flagged."""
        return np.asarray(~(self.positive | self.negative))

    @property
    def classified(self) -> Marks:
        """(n,) images whose y_true names a label or category of the policy."""
        return np.asarray(self.meant.any(axis=1))

    def correct(self, y_pred: npt.NDArray[np.intp]) -> Marks:
        """Returns (n,) the images whose label, if any is said, is one that their y_true names."""
        if not self.meant.shape[1]:
            return np.zeros(len(y_pred), bool)
        return np.asarray(self.meant[np.arange(len(y_pred)), y_pred] & (y_pred >= 0))


def class_slug(text: str) -> str:
    """Returns a y_true as label ids and categories are written."""
    return "/".join(re.sub(r"[^a-z0-9]+", "-", part).strip("-") for part in text.lower().split("/"))


def meant_labels(labels: Sequence[SaidLabel], value: str) -> list[int]:
    """Returns the columns of the labels that a y_true names: by id, or otherwise by category."""
    name = class_slug(value)
    by_id = [j for j, label in enumerate(labels) if label.id == name]
    by_category = [
        j for j, label in enumerate(labels) if f"{label.reported_category}/".startswith(f"{name}/")
    ]
    return by_id or by_category


def truth_of(dataset: Dataset, labels: Sequence[SaidLabel]) -> Truth:
    """Returns the truth of a dataset's images under a policy with these labels.

    An image of a label that asks for review or block should be flagged; one of a context label, of
    `allow`, or of a benign dataset should not. A y_true that names no label leaves it unknown.
    """
    y_true = dataset.table[Y_TRUE]
    n = len(y_true)
    positive, negative = np.zeros(n, bool), np.full(n, dataset.benign)
    meant = np.zeros((n, len(labels)), bool)
    unmatched: dict[str, int] = {}
    for value in sorted(y_true.dropna().unique()):
        rows = (y_true == value).to_numpy(bool)
        if columns := meant_labels(labels, value):
            acts = any(labels[j].action in ("review", "block") for j in columns)
            positive[rows], negative[rows] = acts, not acts
            meant[np.ix_(rows, columns)] = True
        elif class_slug(value) == ALLOW:
            negative[rows] = True
        else:
            unmatched[value] = images_of(rows, dataset.weights)
    return Truth(positive, negative, meant, unmatched, Classes.of(y_true))


def common_truths(truths: Sequence[Truth]) -> list[Truth]:
    """Returns the truths of the same images with what all of them know, and agree on.

    Labels that make other truths known would otherwise be compared on other images.
    """
    positive = np.logical_and.reduce([truth.positive for truth in truths])
    negative = np.logical_and.reduce([truth.negative for truth in truths])
    classified = np.logical_and.reduce([truth.classified for truth in truths])
    classified &= ~contradicted(truths)
    return [
        replace(
            truth,
            positive=positive,
            negative=negative,
            meant=truth.meant & classified[:, np.newaxis],
        )
        for truth in truths
    ]


def contradicted(truths: Sequence[Truth]) -> Marks:
    """Returns (n,) images that should be flagged by one of the truths, and not by another."""
    positive = np.logical_or.reduce([truth.positive for truth in truths])
    return np.asarray(positive & np.logical_or.reduce([truth.negative for truth in truths]))
