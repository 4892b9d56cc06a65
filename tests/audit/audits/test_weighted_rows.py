"""An audit finds the same whether images that are alike share a row or each has its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import Limits, Named, compare_audit, gate_audit, run_audit
from audit.audits.audited import Audited
from audit.datasets.balanced_sample import balanced_rows, images_folder
from audit.datasets.chosen_groups import chosen_groups
from audit.datasets.coverage import coverages
from audit.datasets.dataset import IMAGE_ID, Y_TRUE, Dataset
from audit.datasets.groups import Groups, overall_group
from audit.errors import DatasetError
from audit.metrics.ablation import Trial, ablation_carried_table, ablation_split_half
from audit.metrics.calibration import calibration_table
from audit.metrics.near_duplicates import (
    distinct_claim_table,
    near_duplicate_table,
    near_duplicates,
)
from audit.metrics.predictions import PolicyPredictions, Predictions, predict
from audit.metrics.separation import separation_table
from audit.metrics.skew import skew_table
from audit.metrics.thresholds import matched_threshold_flags, threshold_table
from audit.metrics.truth import Truth, truth_of
from audit.metrics.variants import Variant
from audit.metrics.wording_gaps import wording_gap_table
from audit.results.results import PolicyRecord, Results
from moderation.policy import Label
from tests.support.policy_texts import policy
from tests.support.stub_encoder import StubEncoder, random_features

SYSTEMS = ("old", "new", "other")
LABELS = tuple(
    Label.model_validate({"id": name, "prompts": [name], "action": action, "category": category})
    for name, action, category in (
        ("gun", "block", "weapons"),
        ("knife", "review", "weapons"),
        ("cat", None, None),
    )
)


@dataclass(frozen=True, kw_only=True)
class SaidLabels(Predictions):
    """What a system says of n rows: one of LABELS, or none."""

    said: npt.NDArray[np.intp]

    @property
    def labels(self) -> Sequence[Label]:
        return LABELS

    @property
    def y_pred(self) -> npt.NDArray[np.intp]:
        return self.said


@dataclass(frozen=True)
class SaidSubject(Audited[str]):
    """Rows with the labels that systems said of them."""

    annotated: Dataset
    said: Mapping[str, npt.NDArray[np.intp]]
    groups: tuple[Groups, ...]
    seed: int = 0
    command: str = ""

    @property
    def dataset(self) -> Dataset:
        return self.annotated

    @property
    def images_sha256(self) -> str:
        return ""

    def predict(self, systems: Mapping[str, str]) -> list[SaidLabels]:
        truth = truth_of(self.dataset, LABELS)
        outcomes = np.array([[2, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]], np.int8)
        return [
            SaidLabels(name=name, outcomes=outcomes[self.said[name]], truth=truth, said=said)
            for name in systems
            for said in [self.said[name]]
        ]

    def system_record(self, name: str, system: str, path: str) -> PolicyRecord:
        return PolicyRecord(
            name=name, kind="labels", id=name, title="", sha256=name, path=path, labels=()
        )

    def expanded(self, order: npt.NDArray[np.intp]) -> SaidSubject:
        """Returns the subject with a row for each image, in some order."""
        assert self.dataset.weights is not None
        rows = np.repeat(np.arange(len(self.dataset)), self.dataset.weights)[order]
        table = self.dataset.table.iloc[rows].reset_index(drop=True)
        table[IMAGE_ID] = [f"image {i}" for i in range(len(rows))]
        dataset = replace(self.dataset, table=table, weights=None)
        said = {name: codes[rows] for name, codes in self.said.items()}
        return SaidSubject(dataset, said, chosen_groups(dataset, None).partitions)


@st.composite
def subjects(draw: st.DrawFn) -> tuple[SaidSubject, SaidSubject]:
    """Draws rows that stand for several images, and the same with a row for each image."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, most = draw(st.integers(1, 40)), draw(st.sampled_from([1, 3, 40, 400]))
    columns = {
        IMAGE_ID: [f"cell {i}" for i in range(rows)],
        Y_TRUE: rng.choice(np.array(["gun", "cat", "allow", "dog", None], object), rows),
        "race": rng.choice(np.array(["a", "b", "c"], object), rows),
        "age": rng.choice(np.array(["20-29", "3-9"], object), rows),
    }
    dataset = Dataset(
        name="cells",
        adapter="test",
        source=Path("cells"),
        table=pd.DataFrame(columns, dtype=object),
        references=(),
        sensitive_features=("race", "age"),
        missing={("a", None): 7, ("d", "3-9"): 40} if draw(st.booleans()) else {},
        weights=rng.integers(1, most + 1, rows),
        benign=draw(st.booleans()),
    )
    first = rng.integers(0, 4, rows)
    said = {
        name: np.where(rng.random(rows) < 0.7, first, rng.integers(0, 4, rows)) for name in SYSTEMS
    }
    said = {name: np.where(codes == 3, -1, codes) for name, codes in said.items()}
    weighted = SaidSubject(dataset, said, chosen_groups(dataset, None).partitions)
    return weighted, weighted.expanded(rng.permutation(dataset.n))


def _content(results: Results) -> dict[str, Any]:
    """Returns all that an audit found, without the hash of its rows and the time."""
    content = results.model_dump(mode="json")
    del content["header"]["created"], content["header"]["dataset"]["sha256"]
    return content


REWORDED = Variant("template", "{}", None)
NAMED = Named(dict.fromkeys(SYSTEMS, ""), {})


@given(subjects())
@settings(max_examples=5, deadline=None)
def test_run_and_compare_find_the_same_of_rows_and_of_images(
    drawn: tuple[SaidSubject, SaidSubject],
) -> None:
    for audit in (run_audit, compare_audit):
        of_rows, of_images = (_content(audit(each, NAMED, margin=5)) for each in drawn)
        assert of_rows["header"]["dataset"]["n"] == drawn[0].dataset.n
        for name, found in of_rows.items():
            assert found == of_images[name], name


@given(subjects(), st.booleans())
@settings(max_examples=10, deadline=None)
def test_a_gate_finds_the_same_of_rows_and_of_images(
    drawn: tuple[SaidSubject, SaidSubject], wrong: bool
) -> None:
    truth = truth_of(drawn[0].dataset, LABELS)
    metric = "false_positive_rate" if wrong and truth.negative.any() else "selection_rate"
    content = {"schema_version": 1, "metric": metric, "sensitive_features": ["race", "race,age"]}
    content |= {"worst_group_rate": 0.4, "gap": 0.3, "ratio": 2.0, "pass_ratio": 0.8}
    content |= {"regression": 0.1, "recall_floor": 0.5, "recall_gap": 0.2}
    limits = Limits.model_validate(content)
    named = Named({"new": "", "old": ""}, {})
    of_rows, of_images = (gate_audit(each, named, limits) for each in drawn)
    contents = [json.loads(each.to_json()) for each in (of_rows, of_images)]
    for content in contents:
        content.pop("header")
    assert contents[0] == contents[1]


@given(subjects())
@settings(max_examples=25, deadline=None)
def test_the_coverage_of_a_dataset_is_of_its_images(
    drawn: tuple[SaidSubject, SaidSubject],
) -> None:
    of_rows, of_images = (coverages(each.dataset) for each in drawn)
    assert of_rows == of_images


def test_a_dataset_without_images_has_no_folder_of_them() -> None:
    table = pd.DataFrame({IMAGE_ID: ["a"], Y_TRUE: [None], "race": ["x"]}, dtype=object)
    with pytest.raises(DatasetError, match="not every image of it is a file"):
        images_folder(Dataset("n", "t", Path("n"), table, (), ("race",)))


def test_a_dataset_of_weighted_rows_counts_images_and_has_a_hash_of_its_own() -> None:
    table = pd.DataFrame(
        {IMAGE_ID: ["a", "b"], Y_TRUE: [None, None], "race": ["x", "y"]}, dtype=object
    )
    alone = Dataset("n", "t", Path("n"), table, (), ("race",))
    weighted = replace(alone, weights=np.array([3, 4]))
    assert (len(weighted), weighted.n, alone.n) == (2, 7, 2)
    assert (
        len({alone.sha256, weighted.sha256, replace(alone, weights=np.array([4, 3])).sha256}) == 3
    )
    second = weighted.take(np.array([1]))
    assert (second.n, second.groups(["race"]).sizes.tolist()) == (4, [4])
    for wrong in (np.array([1]), np.array([0, 1]), np.array([1.0, 2.0]), np.array([10**9, 1])):
        with pytest.raises(ValueError, match=r"weights of|stands for|are not fewer"):
            replace(alone, weights=wrong)


@pytest.fixture(scope="module")
def weighted() -> tuple[PolicyPredictions, Groups]:
    """What a policy says of 80 rows, each of which stands for two images."""
    said = predict(policy(decision="top_label"), StubEncoder(), random_features(80))
    return said, Groups("race", ("a", "b"), np.arange(80) % 2, weights=np.full(80, 2))


def test_what_needs_single_images_refuses_rows_of_several(
    weighted: tuple[PolicyPredictions, Groups],
) -> None:
    said, part = weighted
    half = np.arange(80) < 40
    known = replace(said, truth=Truth(half, ~half, np.zeros((80, 4), bool), {}))
    clusters = near_duplicates(random_features(80), [str(i) for i in range(80)], 0.99)
    table = pd.DataFrame({IMAGE_ID: ["a"], Y_TRUE: [None], "race": ["x"]}, dtype=object)
    dataset = Dataset("n", "t", Path("n"), table, (), ("race",), weights=np.array([3]))
    refusing = (
        lambda: separation_table(known, [part]),
        lambda: calibration_table(known, [part]),
        lambda: near_duplicate_table(clusters, [part]),
        lambda: wording_gap_table(said, [Trial(REWORDED, said)], [part]),
        lambda: distinct_claim_table([], clusters, [said], [part]),
        lambda: skew_table(np.arange(80), [part], 10, "equal"),
        lambda: ablation_split_half(said, [], part, seed=0),
        lambda: balanced_rows(dataset, ["race"]),
    )
    for each in refusing:
        with pytest.raises(ValueError, match="stands for several"):
            each()


def test_thresholds_and_what_labels_carry_count_images(
    weighted: tuple[PolicyPredictions, Groups],
) -> None:
    said, part = weighted
    weights = np.arange(1, 81)
    rows = np.repeat(np.arange(80), weights)
    many = predict(policy(decision="top_label"), StubEncoder(), random_features(80)[rows])
    parts = [overall_group(80, weights=weights), replace(part, weights=weights)]
    expanded = [overall_group(len(rows)), replace(part, codes=part.codes[rows], weights=None)]
    found = threshold_table(said, parts, [0.1, 0.5])
    pd.testing.assert_frame_equal(found, threshold_table(many, expanded, [0.1, 0.5]))
    carried = ablation_carried_table(said, weights)
    pd.testing.assert_frame_equal(carried, ablation_carried_table(many))
    for count in (0, 500, 3000):
        flags = matched_threshold_flags(said, count, weights)
        assert (flags[rows] == matched_threshold_flags(many, count)).all()
