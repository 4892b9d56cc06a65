from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise, permutations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.datasets.groups import Groups, overall_group
from audit.metrics.skew import (
    DesiredShare,
    desired_shares,
    ndkl,
    skew_places,
    skew_table,
    skews,
)
from tests.support.reference_counts import group_of

#: Few values, so that ties are common.
TIED = st.lists(
    st.tuples(st.sampled_from([0.0, -0.0, 0.1, 0.2]), st.integers(0, 2)), min_size=1, max_size=40
)


def _partition(codes: Sequence[int]) -> Groups:
    """Returns a partition into the groups that have an image."""
    found, dense = np.unique(codes, return_inverse=True)
    return Groups("group", tuple("abc"[i] for i in found), dense)


def _images(drawn: list[tuple[float, int]]) -> tuple[Sequence[float], Groups]:
    """Returns the similarities and the groups of images."""
    similarities, codes = zip(*drawn, strict=True)
    return similarities, _partition(codes)


def _naive(
    similarities: list[float], codes: list[int], k: int, desired: DesiredShare
) -> tuple[float, float]:
    """MaxSkew@k and NDKL as the papers write them, one image after another."""
    order = sorted(range(len(codes)), key=lambda i: -similarities[i])
    groups = sorted(set(codes))
    want = {
        g: 1 / len(groups) if desired == "equal" else codes.count(g) / len(codes) for g in groups
    }
    top = [codes[i] for i in order[:k]]
    skew = max(math.log(max(top.count(g), 1) / k / want[g]) for g in groups)
    total = weights = 0.0
    for i in range(1, len(order) + 1):
        head = [codes[j] for j in order[:i]]
        shares = {g: head.count(g) / i for g in groups}
        divergence = sum(s * math.log(s / want[g]) for g, s in shares.items() if s)
        total += divergence / math.log2(i + 1)
        weights += 1 / math.log2(i + 1)
    return max(skew, 0.0), total / weights


@pytest.mark.parametrize("desired", ["equal", "dataset"])
@pytest.mark.parametrize("k", [1, 7, 60])
def test_skews_without_ties_are_those_of_the_plain_loop(desired: DesiredShare, k: int) -> None:
    rng = np.random.default_rng(k)
    similarities, codes = rng.standard_normal(60).tolist(), rng.choice(3, 60, p=[0.6, 0.3, 0.1])
    [row] = skew_table(similarities, [group_of(codes.tolist())], k, desired).to_dict("records")
    skew, divergence = _naive(similarities, codes.tolist(), k, desired)
    assert row["max_skew"] == pytest.approx(skew, abs=1e-12)
    assert row["ndkl"] == pytest.approx(divergence, abs=1e-12)


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2]), st.integers(0, 1)), min_size=2, max_size=6))
@settings(max_examples=25)
def test_ties_share_their_places_as_over_all_orders(images: list[tuple[float, int]]) -> None:
    similarities, groups = _images(images)
    total = np.zeros((len(images), len(groups.names)))
    orders = [
        order
        for order in permutations(range(len(images)))
        if all(similarities[a] >= similarities[b] for a, b in pairwise(order))
    ]
    for order in orders:
        member = np.eye(len(groups.names))[groups.codes[list(order)]]
        total += np.cumsum(member, axis=0)
    assert skew_places(similarities, groups) == pytest.approx(total / len(orders), abs=1e-12)


@given(TIED)
def test_never_more_than_k_images_are_counted(images: list[tuple[float, int]]) -> None:
    similarities, groups = _images(images)
    places = skew_places(similarities, groups)
    assert places.sum(axis=1) == pytest.approx(np.arange(1, len(images) + 1))
    assert places[-1] == pytest.approx(groups.sizes)
    assert (np.diff(places, axis=0) >= -1e-12).all()


@given(TIED, st.data())
@settings(max_examples=60)
def test_the_order_of_images_changes_no_skew(
    images: list[tuple[float, int]], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(images))
    k = data.draw(st.integers(1, len(images)))
    found: list[npt.NDArray[np.float64]] = []
    for each in (images, shuffled):
        similarities, groups = _images(each)
        places, want = skew_places(similarities, groups), desired_shares(groups, "dataset")
        found.append(np.append(skews(places, want, k), ndkl(places, want)))
    assert found[0] == pytest.approx(found[1], abs=1e-9)


@given(TIED)
def test_neither_measure_is_ever_negative(images: list[tuple[float, int]]) -> None:
    similarities, groups = _images(images)
    for desired in ("equal", "dataset"):
        table = skew_table(similarities, [groups], len(images), desired)
        assert (table.get("max_skew", np.zeros(1)) >= 0).all()
        assert (table.get("ndkl", np.zeros(1)) >= -1e-12).all()


def test_all_images_of_one_similarity_show_no_skew_against_their_dataset() -> None:
    groups = group_of([0] * 70 + [1] * 20 + [2] * 10)
    [row] = skew_table(np.zeros(100), [groups], 50, "dataset").to_dict("records")
    assert row["max_skew"] == pytest.approx(0, abs=1e-12)
    assert row["ndkl"] == pytest.approx(0, abs=1e-12)


def test_the_group_with_the_largest_skew_is_named_and_an_absent_one_counts_as_one() -> None:
    similarities = np.linspace(1, 0, 60)
    groups = group_of([0] * 30 + [1] * 30)
    [row] = skew_table(similarities, [groups], 30, "equal").to_dict("records")
    assert row["max_skew_group"] == "a"
    assert row["max_skew"] == pytest.approx(math.log(2))
    assert row["support"] == "indicative"
    places = skew_places(similarities, groups)
    assert skews(places, np.array([0.5, 0.5]), 30)[1] == pytest.approx(math.log(1 / 30 / 0.5))


def test_random_orders_have_a_small_p_as_often_as_it_says_and_their_mean_is_given() -> None:
    rng = np.random.default_rng(3)
    part = _partition(rng.integers(0, 3, 400).tolist())
    rows = [skew_table(rng.random(400), [part], 100, "dataset").iloc[0] for _ in range(300)]
    # Three standard errors of 300 draws.
    assert np.mean([row["p"] <= 0.05 for row in rows]) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)
    seen = np.mean([row["max_skew"] for row in rows])
    assert seen == pytest.approx(rows[0]["chance_max_skew"], rel=0.1)
    sorted_by_group = skew_table(-part.codes.astype(float), [part], 50, "dataset").iloc[0]
    assert sorted_by_group["p"] < 0.001


def test_skews_need_two_groups_and_a_k_from_1_to_n() -> None:
    groups = group_of([0, 1] * 5)
    assert skew_table(np.arange(10), [overall_group(10)], 5, "equal").empty
    for k in (0, 11):
        with pytest.raises(ValueError, match=f"k is {k}"):
            skew_table(np.arange(10), [groups], k, "equal")


def test_an_unknown_desired_share_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="desired is 'equla', and can be equal, dataset"):
        desired_shares(Groups("g", ("a", "b"), np.arange(4) % 2), "equla")  # type: ignore[arg-type]
