"""Images that show nearly the same: clusters, and claims in which each counts once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from audit.audits.robustness import robustness, robustness_limits
from audit.audits.subject import Subject
from audit.commands.audit_options import AuditOptions
from audit.datasets.groups import Marks, overall_group
from audit.embedding.dataset_features import EmbeddedDataset
from audit.metrics import near_duplicates as module
from audit.metrics.disparity import differences_to_overall
from audit.metrics.near_duplicates import (
    DEFAULT_COSINE,
    MOST_IMAGES,
    Clusters,
    near_duplicate_table,
    near_duplicates,
)
from audit.metrics.predictions import PolicyPredictions
from audit.metrics.rates import rate_table
from moderation.encoders.encoder import Float32s, unit
from tests.conftest import ROOT
from tests.support.policy_texts import policy
from tests.support.reference_counts import dataset_of, group_of, rows_of
from tests.support.stub_encoder import StubEncoder

RN50 = ROOT.parent / "shared" / "data" / "clip_fairface_rn50" / "image_features_rn50_f16.npy"


def _rows(angles: list[float]) -> Float32s:
    """Returns features on a circle: their cosines are those of the angles between them."""
    radians = np.radians(angles)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def _ids(n: int) -> list[str]:
    return [f"image-{i:05d}" for i in range(n)]


def test_images_that_hang_together_by_near_pairs_are_one_cluster() -> None:
    # 0, 10 and 20 degrees: the ends are too far apart, but each is near the middle.
    found = near_duplicates(_rows([0, 90, 10, 20, 200]), _ids(5), float(np.cos(np.radians(11))))
    assert found.codes[0] == found.codes[2] == found.codes[3]
    assert len(set(found.codes.tolist())) == 3
    assert sorted(found.sizes.tolist()) == [1, 1, 3]


@pytest.mark.parametrize("cosine", [0.95, 0.97, 0.98])
def test_clusters_are_those_of_all_pairs_at_once_in_whatever_block_they_are(cosine: float) -> None:
    n = 2 * module._AT_ONCE + 77
    features = unit(np.random.default_rng(0).normal(size=(n, 6)).astype(np.float32))
    found = near_duplicates(features, _ids(n), cosine)
    ends = np.nonzero(features @ features.T >= cosine)
    near = coo_array((np.ones(len(ends[0]), bool), ends), shape=(n, n))
    codes = connected_components(near)[1]
    pairs = np.unique(np.stack([found.codes, codes]), axis=1)
    assert pairs.shape[1] == len(np.unique(codes)) == len(np.unique(found.codes))
    assert found.sizes.max() > 1
    assert not found.chained


def test_images_that_are_chained_are_told_alike_whatever_the_order_of_rows() -> None:
    n = 3 * module._AT_ONCE
    alike = [*[0.0] * 200, *np.linspace(10, 350, n - 200).tolist()]
    said = _flagged(np.zeros(n, bool))
    found = [near_duplicates(_rows(angles), _ids(n), 1.0) for angles in (alike, alike[::-1])]
    # So many are alike in the first block that the others need no look, or in the last one.
    assert [each.sizes.max() >= 200 for each in found] == [True, True]
    [one], [other] = (list(robustness_limits([said], each)) for each in found)
    assert one == other
    assert "more than 76 of 1,536 images hang together" in one


def test_the_first_image_by_id_stands_for_its_cluster_whatever_the_order_of_rows() -> None:
    ids, features = ["c", "a", "b", "d"], _rows([0, 1, 2, 90])
    for order in (np.arange(4), np.array([3, 2, 1, 0])):
        found = near_duplicates(features[order], [ids[i] for i in order], 0.99)
        chosen = found.first_of_each(np.ones(4, bool))
        assert {ids[i] for i in order[chosen]} == {"a", "d"}
        possible = np.array([ids[i] != "a" for i in order])
        assert {ids[i] for i in order[found.first_of_each(possible)]} == {"b", "d"}


def test_groups_say_how_many_of_their_images_are_in_clusters() -> None:
    clusters = Clusters(0.9, np.array([0, 0, 0, 1, 1, 2]), np.arange(6))
    groups = group_of([0, 0, 1, 1, 1, 1])
    rows = {
        row.group: row
        for row in rows_of(near_duplicate_table(clusters, [overall_group(6), groups]))
    }
    found = {name: (row.clusters, row.images, row.largest, row.n) for name, row in rows.items()}
    assert found == {"overall": (2, 5, 3, 6), "a": (1, 2, 3, 2), "b": (2, 3, 3, 4)}


def _flagged(flags: Marks) -> PolicyPredictions:
    fired = np.zeros((len(flags), 4), np.int8)
    fired[:, 1] = 2 * flags
    zeros = np.zeros((len(flags), 4), np.float32)
    return PolicyPredictions(
        policy=policy(), similarities=zeros, scores=zeros, outcomes=fired, name="small"
    )


def test_a_claim_that_rests_on_one_picture_falls_where_it_counts_once() -> None:
    # Group a has 60 images, of which 20 are flagged: one picture, 20 times.
    flags = np.concatenate([np.arange(60) < 20, np.arange(400) < 20])
    said, groups = _flagged(flags), group_of([0] * 60 + [1] * 400)
    codes = np.concatenate([np.zeros(20), np.arange(1, 441)]).astype(np.intp)
    rates = rate_table(said, [groups])
    rates = rates[rates["metric"] == "selection_rate"].astype({"policy": object, "by": object})
    differences = differences_to_overall(rates)
    differences = differences.assign(claim=differences["group"] == "a")
    for once, stands, counts in (
        (codes, False, (1, 41, 20, 400)),
        (np.arange(460), True, (20, 60, 20, 400)),
    ):
        clusters = Clusters(0.97, once, np.arange(460))
        found = robustness([said], [overall_group(460), groups], clusters, rates, differences, 0.01)
        [row] = found["distinct_claims"]
        assert row.stands is stands
        assert (row.count, row.n, row.others_count, row.others_n) == counts
        assert row.difference == pytest.approx(counts[0] / counts[1] - counts[2] / counts[3])


def test_a_model_that_puts_different_pictures_near_tells_no_near_duplicates() -> None:
    alike = Clusters(0.97, np.minimum(np.arange(300), 280), np.arange(300))
    told = Clusters(0.97, np.minimum(np.arange(300), 290), np.arange(300))
    assert alike.chained
    assert not told.chained
    said = _flagged(np.zeros(300, bool))
    [sentence] = robustness_limits([said], alike)
    assert "at a cosine of 0.97, more than 15 of 300 images hang together" in sentence
    assert list(robustness_limits([said], told)) == []


def _subject(features: Float32s, cosine: float = DEFAULT_COSINE) -> Subject:
    n = len(features)
    dataset = dataset_of({"group": ["a", "b"] * (n // 2)})
    embedded = EmbeddedDataset(dataset, features, ("",) * n, 0, 0)
    return Subject.of(embedded, StubEncoder(), [("group",)], near_duplicates=cosine)


def test_an_audit_looks_for_them_unless_it_is_told_not_to() -> None:
    features = _rows([0, 1, 50, 90])
    found = _subject(features).clusters()
    assert found is not None
    assert (found.cosine, found.sizes.max()) == (DEFAULT_COSINE, 2)
    assert _subject(features, cosine=0.0).clusters() is None
    stricter = _subject(features, cosine=0.99999).clusters()
    assert stricter is not None
    assert stricter.sizes.max() == 1


def test_more_images_than_can_be_compared_are_not_and_the_report_says_so() -> None:
    n = MOST_IMAGES + 2
    subject = _subject(np.ones((n, 1), np.float32))
    assert subject.clusters() is None
    said = [_flagged(np.zeros(n, bool))]
    assert list(robustness_limits(said, None, asked=False)) == []
    [sentence] = robustness_limits(said, None)
    assert sentence == "Near-duplicates were not looked for: 20,002 images are more than 20,000."


def test_of_several_looks_at_an_image_the_first_is_compared() -> None:
    dataset = dataset_of({"group": ["a", "b"]})
    looks = np.array([2, 1])
    embedded = EmbeddedDataset(dataset, _rows([0, 90, 1]), ("", ""), 0, 0, looks)
    found = Subject.of(embedded, StubEncoder(), [("group",)]).clusters()
    assert found is not None
    assert found.sizes.tolist() == [2]


def test_the_command_line_has_the_cosine_of_the_library() -> None:
    assert AuditOptions(Path("faces")).near_duplicates == DEFAULT_COSINE


@pytest.mark.slow
def test_real_faces_at_the_default_are_in_pairs_and_hang_together_below_it() -> None:
    if not RN50.is_file():
        pytest.skip("the features of ../shared/data/clip_fairface_rn50 are not here")
    features = unit(np.load(RN50).astype(np.float32))
    found = near_duplicates(features, _ids(len(features)), DEFAULT_COSINE)
    assert sorted(found.sizes.tolist())[-4:] == [1, 2, 2, 2]
    assert near_duplicates(features, _ids(len(features)), 0.92).chained
