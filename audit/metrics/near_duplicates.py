"""Images that show nearly the same, by their features: clusters that should count as one picture.

A burst of one face is not many people. Two images are near-duplicates where the cosine of their
features is high enough, and a cluster is all that hang together by such pairs. How high that is
depends on the model: some put different pictures nearer than others put a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from audit.datasets.groups import Groups, Marks
from audit.metrics.label_noise import Claim
from audit.metrics.predictions import Predictions
from audit.metrics.rates import rate_marks
from audit.statistics.intervals import difference, share
from audit.statistics.significance import independence_p
from audit.statistics.support import support_of, weaker_support
from moderation.encoders.encoder import Float32s

#: The cosine from which images are near-duplicates, if nothing else is asked for.
DEFAULT_COSINE = 0.97

#: Of more images than this, near-duplicates are not looked for: every pair is compared.
MOST_IMAGES = 20_000

#: A cluster of more images than this, and than this share of all, is not one picture.
_MOST_ALIKE, _MOST_SHARE = 10, 0.05

#: So many images are compared with all others at once.
_AT_ONCE = 512


@dataclass(frozen=True)
class Clusters:
    """Which of n images show nearly the same.

    Attributes:
        cosine: from which two images do.
        codes: (n,) the cluster of each image; most have one of their own.
        order: (n,) the images by id; the first of a cluster stands for it.
    """

    cosine: float
    codes: npt.NDArray[np.intp]
    order: npt.NDArray[np.intp]

    @cached_property
    def sizes(self) -> npt.NDArray[np.intp]:
        """(c,) how many images each cluster has."""
        return np.bincount(self.codes)

    @property
    def chained(self) -> bool:
        """Whether a cluster is so large that it cannot be one picture, so that none means much."""
        return _is_chained(self.codes)

    def first_of_each(self, possible: Marks) -> Marks:
        """Returns (n,) the first image by id of each cluster, among those that are possible."""
        able = self.order[possible[self.order]]
        _, first = np.unique(self.codes[able], return_index=True)
        chosen = np.zeros(len(possible), bool)
        chosen[able[first]] = True
        return chosen


def most_alike(n: int) -> int:
    """Returns how many of n images may hang together and still be taken for one picture."""
    return max(_MOST_ALIKE, int(_MOST_SHARE * n))


def _is_chained(codes: npt.NDArray[np.intp]) -> bool:
    return bool(np.bincount(codes).max() > most_alike(len(codes)))


def near_duplicates(features: Float32s, image_ids: Sequence[str], cosine: float) -> Clusters:
    """Returns the clusters of images with (n, d) features of unit length.

    Where they are chained, not all of them: it ends once that is known.
    """
    n = len(features)
    codes: npt.NDArray[np.intp] = np.arange(n, dtype=np.intp)
    for start in range(0, n, _AT_ONCE):
        cosines = features[start : start + _AT_ONCE] @ features[start:].T
        rows, columns = np.nonzero(cosines >= cosine)
        # What hung together before is one edge for each image, so that edges never pile up.
        one = np.concatenate([start + rows, np.arange(n)])
        two = np.concatenate([start + columns, np.unique(codes, return_index=True)[1][codes]])
        edges = coo_array((np.ones(len(one), bool), (one, two)), shape=(n, n))
        codes = np.asarray(connected_components(edges, directed=False)[1], np.intp)
        if _is_chained(codes):
            break
    order = sorted(range(n), key=image_ids.__getitem__)
    return Clusters(cosine, codes.astype(np.intp), np.array(order, np.intp))


def near_duplicate_table(clusters: Clusters, groups: Iterable[Groups]) -> pd.DataFrame:
    """Returns how many clusters of two images and more each group has a part in, and its images.

    Raises:
        ValueError: a row stands for several images.
    """
    alike = clusters.sizes[clusters.codes] > 1
    rows: list[dict[str, Any]] = []
    for part in groups:
        part.refuse_weights("a cluster of near-duplicates")
        for code, (group, n) in enumerate(zip(part.names, part.sizes.tolist(), strict=True)):
            own = clusters.codes[alike & (part.codes == code)]
            found = np.unique(own)
            row = {"cosine": clusters.cosine, "by": part.by, "group": group, "n": n}
            row |= {"clusters": len(found), "images": len(own)}
            row["largest"] = int(clusters.sizes[found].max(initial=0))
            rows.append(row | {"support": support_of(n).item()})
    return pd.DataFrame(rows)


def distinct_claim_table(
    claims: Iterable[Claim],
    clusters: Clusters,
    predictions: Iterable[Predictions],
    groups: Iterable[Groups],
) -> pd.DataFrame:
    """Returns whether each claim stands where each cluster counts once.

    The first image by id of those that a rate could count stands for its cluster. Weights would
    keep all, but no exact test knows fractions of images.

    Raises:
        ValueError: a row stands for several images.
    """
    claims = list(claims)
    wanted = {(claim.policy, claim.metric) for claim in claims}
    marks = {
        (each.name, metric): (hits, clusters.first_of_each(possible))
        for each in predictions
        for metric, hits, possible in rate_marks(each)
        if (each.name, metric) in wanted
    }
    parts = {part.by: part for part in groups}
    rows: list[dict[str, Any]] = []
    for part in parts.values():
        part.refuse_weights("a cluster of near-duplicates")
    for claim in claims:
        hits, chosen = marks[claim.policy, claim.metric]
        own = parts[claim.by].codes == parts[claim.by].names.index(claim.group)
        sides = (own & chosen, ~own & chosen)
        cells = np.array([[int((hits & side).sum()), int(side.sum())] for side in sides]).ravel()
        rows.append(_distinct_claim(claim, cells))
    return pd.DataFrame(rows)


def _distinct_claim(claim: Claim, cells: npt.NDArray[np.int64]) -> dict[str, Any]:
    k, n, other_k, other_n = cells.tolist()
    low, high = difference(*cells)
    return {
        "policy": claim.policy,
        "by": claim.by,
        "metric": claim.metric,
        "group": claim.group,
        "count": k,
        "n": n,
        "others_count": other_k,
        "others_n": other_n,
        "difference": float(share(k, n) - share(other_k, other_n)),
        "difference_low": float(low),
        "difference_high": float(high),
        "p": float(independence_p(*cells)),
        "stands": bool(claim.stands(cells[np.newaxis])[0]),
        "support": weaker_support(support_of([n]), support_of([other_n]))[0],
    }
