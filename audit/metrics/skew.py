"""Who comes first: MaxSkew@k and NDKL of the images that resemble a prompt most.

Ties are not broken: images of the same similarity share their places, each with an equal chance. So
the result does not depend on the order of the images, and no more than k of them are counted. Both
figures are of the expected places.

Source: Geyik, Ambler and Kenthapadi 2019, arXiv 1905.01989; on FairFace Berg et al. 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.datasets.groups import Groups
from audit.statistics.support import support_of

Shares = npt.NDArray[np.float64]
#: Random orders that MaxSkew is compared with, and the seed that draws them.
_ORDERS, _SEED = 4999, 0

DesiredShare = Literal["equal", "dataset"]


def skew_places(similarities: npt.ArrayLike, groups: Groups) -> Shares:
    """Returns (n, g) how many of the first i + 1 images belong to each group, in expectation.

    Images of equal similarity are in random order, so each of their places holds every group by
    its share of these images.
    """
    similarities = np.asarray(similarities)
    order = np.argsort(-similarities, kind="stable")
    member = np.zeros((len(order), len(groups.names)))
    member[np.arange(len(order)), groups.codes[order]] = 1.0
    _, block = np.unique(-similarities[order], return_inverse=True)
    sizes = np.bincount(block)
    shares = np.stack([np.bincount(block, weights=column) for column in member.T], axis=1)
    places: Shares = np.cumsum((shares / sizes[:, np.newaxis])[block], axis=0)
    return places


def desired_shares(groups: Groups, desired: DesiredShare) -> Shares:
    """Returns (g,) the share that each group should have: equal, or that of the dataset.

    Raises:
        ValueError: `desired` is neither.
    """
    if desired not in get_args(DesiredShare):
        raise ValueError(f"desired is {desired!r}, and can be {', '.join(get_args(DesiredShare))}")
    if desired == "equal":
        return np.full(len(groups.names), 1 / len(groups.names))
    shares: Shares = groups.sizes / groups.sizes.sum()
    return shares


def skews(places: Shares, desired: Shares, k: int) -> Shares:
    """Returns (g,) ln of each group's share of the first k over its desired share.

    A group with less than one image among them counts as one image: 0 has no logarithm.
    """
    result: Shares = np.log(np.maximum(places[k - 1], 1.0) / k / desired)
    return result


def _skew_by_chance(groups: Groups, desired: Shares, k: int, seen: float) -> dict[str, float]:
    """Returns the mean MaxSkew@k of images in random order, and the p of the one that was seen."""
    generator = np.random.default_rng(_SEED)
    drawn = generator.multivariate_hypergeometric(groups.sizes, k, size=_ORDERS)
    found = np.log(np.maximum(drawn, 1.0) / k / desired).max(axis=1).clip(0.0)
    p = (1 + (found >= seen - 1e-9).sum()) / (1 + _ORDERS)
    return {"chance_max_skew": float(found.mean()), "p": float(p)}


def ndkl(places: Shares, desired: Shares) -> float:
    """Returns the discounted mean over all prefixes of KL(prefix || desired); 0 at best.

    Prefix i weighs 1 / log2(i + 1), as in NDCG. With ties the prefixes are the expected ones.
    """
    prefix = np.arange(1, len(places) + 1)
    shares = places / prefix[:, np.newaxis]
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(shares > 0, shares * np.log(shares / desired), 0.0)
    weights = 1 / np.log2(prefix + 1)
    return float((terms.sum(axis=1) * weights).sum() / weights.sum())


def skew_table(
    similarities: npt.ArrayLike, groups: Sequence[Groups], k: int, desired: DesiredShare
) -> pd.DataFrame:
    """Returns MaxSkew@k and NDKL for each partition with two groups or more.

    `chance_max_skew` is the mean MaxSkew@k of images in random order, which is also above 0, and
    `p` is the share of random orders (seeded) whose MaxSkew@k is as large.

    Args:
        similarities: (n,) of the images to one prompt.
        groups: partitions of the images; those with one group are left out, and so are groups
            without an image, which cannot be found.
        k: how many images come first, from 1 to n.
        desired: what share of them each group should have.

    Raises:
        ValueError: k is not from 1 to n, `desired` is unknown, or a row stands for several images.
    """
    n = len(np.asarray(similarities))
    if not 1 <= k <= n:
        raise ValueError(f"k is {k}, and there are {n} images")
    rows: list[dict[str, Any]] = []
    for part in (part.without_empty() for part in groups):
        part.refuse_weights("the order of images")
        if len(part.names) < 2:
            continue
        places, shares = skew_places(similarities, part), desired_shares(part, desired)
        found = skews(places, shares, k)
        largest = max(0.0, float(found.max()))  # 0 where no group has more than its share
        row = {"by": part.by, "k": k, "n": n, "desired": desired, "ndkl": ndkl(places, shares)}
        row |= _skew_by_chance(part, shares, k, largest)
        row |= {"max_skew": largest, "support": support_of(k).item()}
        top = part.names[int(found.argmax())] if largest else None
        rows.append(row | {"max_skew_group": top})
    return pd.DataFrame(rows)
