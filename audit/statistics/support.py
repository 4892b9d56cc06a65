"""How far a cell of n images carries: no claim, indicative, full."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Below the first n no claim is made from a cell; below the second it is indicative.
SUPPRESSED_BELOW, INDICATIVE_BELOW = 30, 100


def support_of(n: npt.ArrayLike) -> npt.NDArray[np.str_]:
    """Returns suppressed, indicative or full for each n."""
    n = np.asarray(n)
    return np.where(
        n < SUPPRESSED_BELOW, "suppressed", np.where(n < INDICATIVE_BELOW, "indicative", "full")
    )
