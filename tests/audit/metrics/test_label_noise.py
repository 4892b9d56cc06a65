"""How wrong annotations may be before a claim falls: against every single image moved by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from audit.metrics.disparity import differences_to_overall
from audit.metrics.label_noise import (
    REDRAWS,
    REPLACED,
    Claim,
    GroupCounts,
    claims_to_others,
    label_noise_table,
    tipping_point_table,
)
from audit.metrics.rates import FALSE_POSITIVE, FLAG, TRUE_POSITIVE
from audit.statistics.significance import independence_p
from tests.support.reference_counts import rate_rows, rows_of

CRITICAL = 0.001


def _claims(*tables: pd.DataFrame, critical: float = CRITICAL) -> list[Claim]:
    """Returns claims on the groups a, each against all others, of rates by one feature."""
    rates = pd.concat(tables, ignore_index=True)
    differences = differences_to_overall(rates)
    claimed = differences.assign(claim=(differences["group"] == "a") & (differences["p"] < 0.05))
    return list(claims_to_others(rates, claimed, critical))


def _rates(count: Any, n: Any, metric: str = FLAG) -> pd.DataFrame:
    return rate_rows(np.array(count), np.array(n), list("abc")[: len(n)], metric=metric)


def _stands(hits: Any, marked: Any, more: bool) -> bool:
    """Returns whether a claim on the marked images stands, counted image by image."""
    k, n = int((hits & marked).sum()), int(marked.sum())
    other_k, other_n = int((hits & ~marked).sum()), int((~marked).sum())
    if not n or not other_n:
        return False
    p = float(independence_p(k, n, other_k, other_n))
    return p < CRITICAL and (k / n > other_k / other_n) == more


@pytest.mark.parametrize(
    ("count", "n", "images"),
    [
        ([14, 12, 10], [100, 300, 300], "counted_of_group"),
        ([3, 60, 58], [150, 300, 300], "counted_of_others"),
        ([70, 290, 291], [100, 300, 300], "uncounted_of_group"),
        ([99, 200, 200], [100, 300, 300], "uncounted_of_others"),
        ([0, 60, 40], [80, 200, 200], "counted_of_others"),
        ([40, 0], [40, 40], "counted_of_group"),
    ],
)
def test_a_claim_falls_with_the_fewest_images_of_one_kind_that_change_groups(
    count: list[int], n: list[int], images: str
) -> None:
    [claim] = _claims(_rates(count, n))
    [row] = rows_of(tipping_point_table([claim]))
    marked = np.repeat(np.arange(len(n)) == 0, n)
    hits = np.concatenate([np.arange(size) < k for k, size in zip(count, n, strict=True)])
    more = count[0] / n[0] > sum(count) / sum(n)
    assert _stands(hits, marked, more)
    fewest = {}
    for kind, chosen in {
        "counted_of_group": hits & marked,
        "counted_of_others": hits & ~marked,
        "uncounted_of_group": ~hits & marked,
        "uncounted_of_others": ~hits & ~marked,
    }.items():
        turned = marked.copy()
        for moved, place in enumerate(np.flatnonzero(chosen), start=1):
            turned[place] = not turned[place]
            if not _stands(hits, turned, more):
                fewest[kind] = (moved, int(chosen.sum()))
                break
    assert (row.fewest, row.of) == min(fewest.values(), key=lambda pair: pair[0])
    assert fewest[row.images] == (row.fewest, row.of)
    assert row.images == images
    assert (row.noise, row.count, row.n) == ("group", count[0], n[0])
    assert (row.others_count, row.others_n) == (sum(count[1:]), sum(n[1:]))


def test_a_claim_that_steps_down_stands_while_its_p_does_not_rise() -> None:
    rates = _rates([14, 12, 10], [100, 300, 300])
    [strict] = _claims(rates, critical=1e-12)
    assert strict.stands(strict.cells[np.newaxis]).all()
    assert tipping_point_table([strict])["fewest"].item() == 1


def test_what_is_not_claimed_has_no_tipping_point() -> None:
    assert _claims(_rates([10, 30, 30], [100, 300, 300])) == []
    assert tipping_point_table([]).empty
    assert label_noise_table([]).empty


def _redrawn_image_by_image(
    codes: npt.NDArray[np.intp], hits: npt.NDArray[np.bool_], replaced: float
) -> float:
    """Returns in what share of redraws a claim on group 0 stands, with each image drawn by hand."""
    rng, stands, draws = np.random.default_rng(1), 0, 1500
    sizes = np.bincount(codes)
    more = hits[codes == 0].mean() > hits[codes != 0].mean()
    odds = np.array([np.where(np.arange(len(sizes)) == g, 0, sizes) for g in range(len(sizes))])
    ends = np.cumsum(odds / odds.sum(axis=1, keepdims=True), axis=1)
    for _ in range(draws):
        others = (rng.random(len(codes))[:, np.newaxis] > ends[codes]).sum(axis=1)
        drawn = np.where(rng.random(len(codes)) < replaced, others, codes)
        stands += _stands(hits, drawn == 0, bool(more))
    return stands / draws


@pytest.mark.slow
def test_redraws_from_counts_are_those_of_single_images() -> None:
    count, n = [30, 25, 5], [150, 300, 100]
    [claim] = _claims(_rates(count, n))
    rows = {row.replaced: row for row in rows_of(label_noise_table([claim]))}
    assert tuple(rows) == REPLACED
    codes = np.repeat(np.arange(3), n)
    hits = np.concatenate([np.arange(size) < k for k, size in zip(count, n, strict=True)])
    for replaced, row in rows.items():
        expected = _redrawn_image_by_image(codes, hits, replaced)
        assert row.redraws == REDRAWS
        assert row.share == row.stands / REDRAWS
        # Three standard errors of 500 and of 1,500 redraws.
        assert row.share == pytest.approx(expected, abs=3 * np.sqrt(0.25 / 500 + 0.25 / 1500))
        assert row.low <= row.share <= row.high
    assert rows[0.05].share > rows[0.2].share


def test_more_noise_makes_a_claim_stand_less_often_and_its_seed_never_changes() -> None:
    claims = _claims(_rates([26, 60, 20], [200, 900, 400]))
    first, again = label_noise_table(claims), label_noise_table(claims)
    pd.testing.assert_frame_equal(first, again)
    assert first["stands"].is_monotonic_decreasing
    assert 0 < first["share"].iloc[-1] < first["share"].iloc[0] < 1


# The truth


def test_an_error_rate_also_falls_where_the_truth_of_few_images_is_wrong() -> None:
    tables = [
        _rates([30, 20, 22], [100, 200, 200], TRUE_POSITIVE),
        _rates([5, 10, 10], [100, 200, 200], FALSE_POSITIVE),
    ]
    [claim] = _claims(*tables)
    rows = {row.noise: row for row in rows_of(tipping_point_table([claim]))}
    assert set(rows) == {"group", "truth"}
    row = rows["truth"]
    assert row.images == "counted_of_group"
    k, n, other_k, other_n = claim.cells.tolist()
    at = [float(independence_p(k - t, n - t, other_k, other_n)) for t in range(k)]
    assert row.fewest == next(t for t, p in enumerate(at) if p >= CRITICAL)


def test_flipped_truth_brings_in_the_images_of_the_other_rate() -> None:
    # Each positive whose truth is wrong leaves the rate, and each such negative comes in.
    positives = GroupCounts(np.array([99, 0]), np.array([100, 100]))
    negatives = GroupCounts(np.array([0, 4000]), np.array([4000, 4000]))
    claim = Claim("small", "group", TRUE_POSITIVE, "a", 0, positives, negatives, 1e-9)
    table = label_noise_table([claim])
    truth = table[table["noise"] == "truth"]
    # 200 of 4,000 that pass join the 100 of the one group; flagged ones those of the other.
    assert truth["stands"].tolist() == [0, 0, 0]
    group = table[table["noise"] == "group"]
    assert group["stands"].tolist()[:2] == [REDRAWS] * 2


def test_a_rate_without_known_opposites_has_no_noise_of_the_truth() -> None:
    [claim] = _claims(_rates([30, 20, 22], [100, 200, 200], FALSE_POSITIVE))
    assert claim.flipped is None
    assert set(tipping_point_table([claim])["noise"]) == {"group"}
    assert set(label_noise_table([claim])["noise"]) == {"group"}
