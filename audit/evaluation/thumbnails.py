"""Small pictures of a dataset for a page, as data URIs: only where they are asked for."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection

import numpy as np
from PIL import Image

from audit.datasets.dataset import IMAGE_ID, Dataset
from audit.datasets.image_references import read_reference
from moderation.images.looks import DEFAULT_LOOKING
from moderation.images.pixels import Preprocessing, read_sights

#: The sides of a thumbnail, and the quality of its JPEG.
_SIDE, _QUALITY = 96, 70

_SMALL = Preprocessing(
    resize=_SIDE,
    crop=(_SIDE, _SIDE),
    resample="bicubic",
    scale=1 / 255,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
)


def picture_thumbnails(
    dataset: Dataset, ids: Collection[str], *, max_pixels: int = 50_000_000
) -> dict[str, str]:
    """Returns the middle of some pictures as JPEG data URIs, by id; they were decoded before.

    Raises:
        OSError: a file is gone. ImageError: it is no longer what it was.
    """
    wanted = set(ids)
    found = {}
    for image_id, reference in zip(dataset.table[IMAGE_ID], dataset.references, strict=True):
        if image_id not in wanted:
            continue
        content = read_reference(reference)
        [sight] = read_sights(content, [_SMALL], DEFAULT_LOOKING, max_pixels=max_pixels)
        found[image_id] = _data_uri(np.asarray(sight.squares[0]))
    return found


def _data_uri(pixels: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
