"""Published counts as datasets and features, so that they pass through the whole of the audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from audit.datasets.dataset import IMAGE_ID, Y_TRUE, Dataset
from audit.datasets.groups import Groups
from audit.metrics.predictions import PolicyPredictions, predict
from audit.metrics.rates import FLAG
from audit.metrics.truth import truth_of
from audit.statistics.intervals import share, wilson
from audit.statistics.support import support_of
from moderation.encoders.encoder import Float32s, unit
from moderation.policy import Label, Policy, load_policy
from tests.conftest import POLICIES, SHARED
from tests.support.stub_encoder import StubEncoder

REFERENCE = SHARED / "reference"
VARIANTS = POLICIES / "variants"

#: Race as the reference table spells it, and the label of the policy that means it. The table
#: merges genders, so that the label of men stands for both.
RACE_LABELS = {
    "Black": "black-man",
    "East Asian": "east-asian-man",
    "Indian": "indian-man",
    "Latino_Hispanic": "latino-man",
    "Middle Eastern": "middle-eastern-man",
    "Southeast Asian": "southeast-asian-man",
    "White": "white-man",
}

#: How much less an image resembles its second label than its first.
SECOND = 0.9


class ChosenEncoder(StubEncoder):
    """A stub whose text features are those that the test chose."""

    context_length = 77

    def __init__(
        self,
        chosen: Mapping[str, Float32s],
        *,
        logit_scale: float = 10.0,
        logit_bias: float | None = None,
    ) -> None:
        super().__init__(logit_scale, logit_bias)
        self.chosen = chosen

    def text_features(self, texts: Sequence[str]) -> Float32s:
        return unit(np.stack([self.chosen[text] for text in texts]).astype(np.float32))


def rows_of(table: pd.DataFrame) -> list[Any]:
    """Returns the rows, columns as attributes; the stubs would let each be any scalar."""
    return list(table.itertuples())


def one_axis_each(labels: Sequence[Label], template: str = "a photo of {}") -> dict[str, Float32s]:
    """Returns text features by which each label has an axis of its own."""
    axes = np.eye(len(labels), dtype=np.float32)
    return {
        template.replace("{}", prompt): axis
        for label, axis in zip(labels, axes, strict=True)
        for prompt in label.prompts
    }


def dataset_of(features: Mapping[str, Sequence[str]], y_true: Sequence[str | None] = ()) -> Dataset:
    """Returns a dataset with these sensitive features, one value for each image."""
    [n] = {len(values) for values in features.values()}
    ids = [f"image-{i:05d}" for i in range(n)]
    truth = list(y_true) or [None] * n
    table = pd.DataFrame({IMAGE_ID: ids, Y_TRUE: np.array(truth, object), **features})
    return Dataset(
        name="counts",
        adapter="test",
        source=Path("counts"),
        table=table,
        references=tuple(map(Path, ids)),
        sensitive_features=tuple(features),
        orders={"age": tuple(dict.fromkeys(features.get("age", ())))},
        benign=True,
    )


def rate_rows(
    count: Any, n: Any, groups: Any, policy: Any = "small", metric: str = FLAG
) -> pd.DataFrame:
    """Returns the rows that `rate_table` gives for such counts of such groups."""
    low, high = wilson(count, n)
    columns = {"policy": policy, "by": "group", "group": groups, "metric": metric}
    columns |= {"count": count, "n": n, "rate": share(count, n), "low": low, "high": high}
    return pd.DataFrame(columns | {"support": support_of(n)})


def row_of(table: pd.DataFrame, metric: str, group: str) -> Any:
    """Returns the one row of a metric and a group."""
    [row] = rows_of(table[(table["metric"] == metric) & (table["group"] == group)])
    return row


def group_of(codes: Sequence[int], by: str = "group") -> Groups:
    """Returns a partition with groups a, b, c... in the order of the codes."""
    names = tuple("abcdefghijkl"[: max(codes) + 1])
    return Groups(by, names, np.array(codes, np.intp))


def reference(name: str) -> pd.DataFrame:
    """Returns a table of published figures; skips the test where the project is alone."""
    path = REFERENCE / name
    if not path.is_file():
        pytest.skip(f"the published figures of ../shared/reference/{name} are not here")
    return pd.read_csv(path)


@lru_cache(maxsize=1)
def person_encoder() -> ChosenEncoder:
    """An encoder to which all labels of the published experiment are equally unlike."""
    return ChosenEncoder(one_axis_each(person_labels(child=True).labels))


@lru_cache(maxsize=2)
def person_labels(*, child: bool = False) -> Policy:
    """The 21 labels of the published experiment; with `child` the 22 of its second run."""
    return load_policy(VARIANTS / f"person-labels{'-child' if child else ''}.yaml")


def resembling(first: Sequence[str], second: Sequence[str]) -> Float32s:
    """Returns features of images that resemble one label most and another one next."""
    policy = person_labels(child=True)
    axis = {label.id: i for i, label in enumerate(policy.labels)}
    rows = np.zeros((len(first), len(axis)), np.float32)
    images = np.arange(len(first))
    rows[images, [axis[name] for name in second]] = SECOND
    rows[images, [axis[name] for name in first]] = 1.0
    return unit(rows)


@lru_cache(maxsize=1)
def confusion() -> tuple[Dataset, Float32s]:
    """The 10,954 images of the reproducible run: each as its prediction, and next as its truth."""
    table = reference("fairface_vitl14_laion400m_confusion.csv").set_index("truth")
    predicted_names = [name for name in table.columns if name != "n"]
    race: list[str] = []
    predicted: list[str] = []
    for truth in table.index:
        for name in predicted_names:
            race += [truth] * int(table.loc[truth, name])
            label = RACE_LABELS.get(name, name.replace(" ", "-"))
            predicted += [label] * int(table.loc[truth, name])
    dataset = dataset_of({"race": race}, [RACE_LABELS[truth] for truth in race])
    return dataset, resembling(predicted, [RACE_LABELS[truth] for truth in race])


@lru_cache(maxsize=1)
def ages() -> tuple[Dataset, Float32s]:
    """The counts of the published table by age, with and without the label child.

    An image that both runs flag resembles an animal; one that the first alone does resembles a
    child, and next an animal.
    """
    table = reference("openai_clip_table7.csv")
    age: list[str] = []
    first: list[str] = []
    second: list[str] = []
    for row in rows_of(table):
        n = int(row.n_fairface_validation)
        flagged = round(n * row.default_percent / 100)
        with_child = round(n * row.default_plus_child_percent / 100)
        age += [row.age] * n
        first += ["animal"] * with_child + ["child"] * (flagged - with_child)
        first += ["white-man"] * (n - flagged)
        second += ["animal"] * flagged + ["white-man"] * (n - flagged)
    young = ["0-19" if value in ("0-2", "3-9", "10-19") else "20 and more" for value in age]
    return dataset_of({"age": age, "age_band": young}), resembling(first, second)


def said(
    features: Float32s, *, child: bool = False, dataset: Dataset | None = None
) -> PolicyPredictions:
    """Returns what the published label set says of features, and should say of a dataset."""
    policy = person_labels(child=child)
    truth = truth_of(dataset, policy.labels) if dataset else None
    return predict(policy, person_encoder(), features, truth=truth)
