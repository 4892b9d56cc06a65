"""Confusions against a count by hand and against pandas."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from audit.datasets.groups import Groups, overall_group
from audit.metrics.confusion import MOST_CLASSES_BY_GROUP, confusion_table
from audit.metrics.predictions import NO_LABEL, Predictions
from audit.metrics.rates import MISCLASSIFIED, harm_metric, rate_table
from audit.metrics.truth import Truth, truth_of
from moderation.policy import Label
from tests.support.reference_counts import dataset_of


@dataclass(frozen=True, kw_only=True)
class WrittenLabels(Predictions):
    """What is said of images, as a test writes it."""

    names: tuple[str, ...]
    columns: npt.NDArray[np.intp]

    @property
    def labels(self) -> tuple[Label, ...]:
        return tuple(Label(id=name, prompts=(name,)) for name in self.names)

    @property
    def y_pred(self) -> npt.NDArray[np.intp]:
        return self.columns

    @property
    def can_flag(self) -> bool:
        return False


def _said(y_true: list[str | None], said: list[str], names: tuple[str, ...]) -> WrittenLabels:
    dataset = dataset_of({"group": ["a"] * len(said)}, y_true)
    columns = np.array([names.index(label) if label else -1 for label in said], np.intp)
    outcomes = np.zeros((len(said), len(names)), np.int8)
    made = WrittenLabels(name="said", outcomes=outcomes, names=names, columns=columns)
    return replace(made, truth=truth_of(dataset, made.labels))


def _groups(codes: list[int], weights: list[int] | None = None) -> Groups:
    kept = None if weights is None else np.array(weights, np.int64)
    return Groups("group", ("a", "b"), np.array(codes, np.intp), weights=kept)


def test_confusions_by_hand() -> None:
    said = _said(["cat", "cat", "cat", "dog", "dog", "emu", None],
                 ["cat", "dog", "", "dog", "cat", "dog", "dog"], ("cat", "dog"))  # fmt: skip
    table = confusion_table(said, [overall_group(7), _groups([0, 0, 1, 0, 1, 0, 0])])
    columns = ["by", "group", "y_true", "label", "right", "count", "n"]
    assert table[columns].to_numpy().tolist() == [
        ["overall", "overall", "cat", "cat", True, 1, 3],
        ["overall", "overall", "cat", "dog", False, 1, 3],
        ["overall", "overall", "cat", NO_LABEL, False, 1, 3],
        ["overall", "overall", "dog", "cat", False, 1, 2],
        ["overall", "overall", "dog", "dog", True, 1, 2],
        ["group", "a", "cat", "cat", True, 1, 2],
        ["group", "a", "cat", "dog", False, 1, 2],
        ["group", "a", "dog", "dog", True, 1, 1],
        ["group", "b", "cat", NO_LABEL, False, 1, 1],
        ["group", "b", "dog", "cat", False, 1, 1],
    ]
    assert (table["low"] <= table["share"]).all()
    assert (table["share"] <= table["high"]).all()
    assert (table["support"] == "suppressed").all()


@pytest.mark.parametrize("weighted", [False, True])
def test_confusions_are_those_of_pandas_and_sum_to_the_misclassified(weighted: bool) -> None:
    rng, names = np.random.default_rng(3), ("cat", "dog", "owl")
    n = 400
    y_true = rng.choice([*names, "emu"], n).tolist()
    said = _said(y_true, rng.choice([*names, ""], n).tolist(), names)
    weights = rng.integers(1, 9, n) if weighted else np.ones(n, np.int64)
    part = _groups(rng.integers(0, 2, n).tolist(), weights.tolist() if weighted else None)
    table = confusion_table(said, [part])
    labels = np.array([*names, NO_LABEL], object)[said.columns]
    frame = pd.DataFrame({"group": np.array(["a", "b"], object)[part.codes], "y_true": y_true,
                          "label": labels, "count": weights})  # fmt: skip
    frame = frame[frame["y_true"] != "emu"]
    naive = frame.groupby(["group", "y_true", "label"])["count"].sum()
    found = table.set_index(["group", "y_true", "label"])["count"]
    pd.testing.assert_series_equal(found.sort_index(), naive.sort_index(), check_dtype=False)
    wrong = table[~table["right"]].groupby("group")["count"].sum()
    rates = rate_table(said, [part]).query(f"metric == {MISCLASSIFIED!r}").set_index("group")
    assert wrong.to_dict() == rates["count"].to_dict()


def test_the_harm_is_to_be_misclassified_where_nothing_can_flag() -> None:
    said = _said(["cat", "dog"], ["cat", "cat"], ("cat", "dog"))
    assert harm_metric([said]) == MISCLASSIFIED
    metrics = set(rate_table(said, [overall_group(2)])["metric"])
    assert metrics == {MISCLASSIFIED, "label:cat", "label:dog"}


def test_one_class_alone_cannot_be_confused_and_many_are_told_of_the_whole_only() -> None:
    one = _said(["cat", "cat"], ["cat", "dog"], ("cat", "dog"))
    assert confusion_table(one, [overall_group(2)]).empty
    assert confusion_table(replace(one, truth=None), [overall_group(2)]).empty
    names = tuple(f"class-{i}" for i in range(MOST_CLASSES_BY_GROUP + 1))
    many = _said([*names], [*names], names)
    parts = [overall_group(len(names)), _groups([0] * len(names))]
    assert set(confusion_table(many, parts)["by"]) == {"overall"}


def test_a_truth_without_labels_is_never_right() -> None:
    nothing = np.zeros(2, bool)
    truth = Truth(nothing, nothing, np.zeros((2, 0), bool), {})
    assert not truth.correct(np.array([-1, -1])).any()
