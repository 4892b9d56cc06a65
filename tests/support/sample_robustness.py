"""Made-up rows on how well scores separate, and how far claims hold; like `sample_results`."""

from __future__ import annotations

from typing import Any, Literal

from audit.results.robustness_rows import (
    Calibration,
    DistinctClaim,
    LabelNoise,
    NearDuplicates,
    Separation,
    TippingPoint,
)
from tests.support.sample_header import FEATURES, SCRIPT, N, groups, support

SIDES: tuple[Literal["within", "positives_to_others", "negatives_to_others"], ...] = (
    "within",
    "positives_to_others",
    "negatives_to_others",
)


def separation(policy: str, by: str, group: str, n: int, side: Any) -> Separation:
    """Returns an AUC; undefined without images."""
    auc, low, high = (0.913, 0.871, 0.944) if n else (None, None, None)
    return Separation(
        policy=policy, by=by, group=group, compared=side, positives=n // 3, negatives=n // 2,
        auc=auc, low=low, high=high, support=support(n // 3),
    )  # fmt: skip


def calibration(policy: str, by: str, group: str, n: int, number: int) -> Calibration:
    """Returns how far scores are off; undefined without images."""
    shown: dict[str, Any] = dict.fromkeys(Calibration.model_fields)
    if n:
        shown |= {"lowest_score": 0.1 * number, "highest_score": 0.1 * number + 0.15}
        shown |= {"share": 1 / 3, "low": 0.31, "high": 0.36, "mean_score": 0.355}
        shown |= {"difference": 0.0217, "difference_low": -0.0051, "difference_high": 0.0481}
    shown |= {"policy": policy, "by": by, "group": group, "bin": number, "count": n // 3, "n": n}
    return Calibration.model_validate(shown | {"support": support(n)})


def _claim(policy: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"policy": policy, "by": "race", "group": SCRIPT}
    fields |= {"metric": "category:egregious/non-human"}
    return fields | {"count": 141, "n": 640, "others_count": 296, "others_n": N - 640}


def robustness_rows(policies: tuple[str, ...]) -> dict[str, Any]:
    """Returns the fields of `Results` on scores and on how far claims hold."""
    single = [row for row in groups() if row[0] in ("overall", *FEATURES)]
    noises: tuple[Literal["group", "truth"], ...] = ("group", "truth")
    return {
        "separations": tuple(
            separation(name, *row, side)
            for name in policies
            for row in single
            for side in (SIDES if row[0] != "overall" else SIDES[:1])
        ),
        "calibrations": tuple(
            calibration(name, *row, number)
            for name in policies
            for row in single
            for number in (0, 1, 2)
        ),
        "tipping_points": tuple(
            TippingPoint(
                **_claim(name), noise=noise, images="counted_of_group", fewest=23, of=141
            )
            for name in policies
            for noise in noises
        ),
        "label_noise": tuple(
            LabelNoise(
                **_claim(name), noise=noise, replaced=replaced, stands=487, redraws=500,
                share=0.974, low=0.956, high=0.985,
            )
            for name in policies
            for noise in noises
            for replaced in (0.05, 0.1, 0.2)
        ),
        "near_duplicates": tuple(
            NearDuplicates(
                cosine=0.97, by=by, group=group, n=n, clusters=n // 50, images=n // 20,
                largest=5 if n >= 50 else 0, support=support(n),
            )
            for by, group, n in groups()
        ),
        "distinct_claims": tuple(
            DistinctClaim(
                **_claim(name) | {"count": 130, "n": 610}, difference=0.134, difference_low=0.101,
                difference_high=0.17, p=0.0000003, stands=True, support="full",
            )
            for name in policies
        ),
    }  # fmt: skip
