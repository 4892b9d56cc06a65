"""How much a cell of n images supports: no claim, an indicative one, a full one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

#: A cell of fewer images than the first makes no claim; one of fewer than the second is indicative.
SUPPRESSED_BELOW, INDICATIVE_BELOW = 30, 100


def support_of(n: npt.ArrayLike) -> npt.NDArray[np.str_]:
    """Returns suppressed, indicative or full for each n."""
    n = np.asarray(n)
    return np.where(
        n < SUPPRESSED_BELOW, "suppressed", np.where(n < INDICATIVE_BELOW, "indicative", "full")
    )


def weaker_support(one: Any, two: Any) -> Any:
    """Returns the weaker of the two in each row."""
    order = ["suppressed", "indicative", "full"]
    return np.array([min(pair, key=order.index) for pair in zip(one, two, strict=True)], object)
