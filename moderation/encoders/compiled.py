"""An image tower whose costly parts torch compiles: few large kernels in place of many small ones.

The layers of a transformer are alike, so the first is compiled and the others use what was made for
it. torch keeps what it compiles in a folder of its own (`TORCHINDUCTOR_CACHE_DIR`), where the next
start finds it.
"""

from __future__ import annotations

import copy
import itertools

from moderation.encoders.image_tower import ImageTower


def compiled_by_torch(tower: ImageTower) -> ImageTower:
    """Returns a tower with the same weights, in the same memory, that compiles when it first runs.

    The tower that was given stays as it is, for where the compiled one fails.
    """
    shared = itertools.chain(tower.parameters(), tower.buffers())
    twin = copy.deepcopy(tower, {id(tensor): tensor for tensor in shared})
    for part in twin.costly_parts:
        # Once for any number of images, and once for a lone one, which torch always does. All in
        # this process: torch would start one for each core, and keep them, for a few kernels.
        part.compile(fullgraph=True, dynamic=True, options={"compile_threads": 1})
    return twin
