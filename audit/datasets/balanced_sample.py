"""A sample of a dataset in which every group has as many images as each other, and its table.

Most data are not balanced: rates by race then also tell of the ages that each race happens to have.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from audit.datasets.dataset import IMAGE_ID, Y_TRUE, Dataset
from audit.errors import DatasetError
from audit.plurals import agreeing, counted

#: Up to this many groups that have too few images are named.
_NAMED = 6


def balanced_rows(
    dataset: Dataset, by: Sequence[str], n: int | None = None, seed: int = 0
) -> npt.NDArray[np.intp]:
    """Returns rows of a dataset, in its order, with equally many of each group that has an image.

    They depend on the images and the seed, and not on the order of the dataset.

    Args:
        dataset: the images.
        by: a sensitive feature, or several for their intersection.
        n: how many images at most; by default as many as the smallest group allows.
        seed: of the draw.

    Raises:
        DatasetError: there is no such feature, a group has too few images for n, or n is less than
            the number of groups.
        ValueError: a row stands for several images.
    """
    groups = dataset.groups(by)
    groups.refuse_weights("a balanced sample")
    there = np.flatnonzero(groups.sizes)
    each = int(groups.sizes[there].min()) if n is None else n // len(there)
    if each == 0:
        asked = counted(n or 0, "image")
        what = f"{groups.by} has {len(there):,} groups, and {asked} cannot hold one of each"
        raise DatasetError.of(dataset.source, what, f"Ask for {len(there):,} or more")
    small = [code for code in there if groups.sizes[code] < each]
    if small:
        named = ", ".join(f"{groups.names[c]} ({groups.sizes[c]:,})" for c in small[:_NAMED])
        more = f" and {len(small) - _NAMED:,} more" if len(small) > _NAMED else ""
        asked = f"{counted(each, 'image')} of each group of {groups.by}"
        what = f"{asked} {agreeing(each, 'is', 'are')} asked for, and {named}{more} lack"
        most = int(groups.sizes[there].min()) * len(there)
        remedy = f"Ask for {most:,} at most, for fewer features, or leave such images out first"
        raise DatasetError.of(dataset.source, f"{what} them", remedy)
    generator = np.random.default_rng(seed)
    by_id = np.argsort(dataset.table[IMAGE_ID].to_numpy(), kind="stable")
    codes = groups.codes[by_id]
    drawn = [generator.choice(by_id[codes == code], each, replace=False) for code in there]
    return np.sort(np.concatenate(drawn))


def images_folder(dataset: Dataset) -> Path:
    """Returns the innermost folder that holds all images of a dataset.

    Raises:
        DatasetError: some are in a Parquet file, or have features alone: no table can name them.
    """
    paths = [path for path in dataset.references if isinstance(path, Path)]
    if len(paths) < len(dataset):
        what = "not every image of it is a file, and a table cannot name the others"
        raise DatasetError.of(dataset.source, what, "Write them into files first")
    return Path(os.path.commonpath([path.resolve().parent for path in paths]))


def sample_table(dataset: Dataset) -> str:
    """Returns a dataset as CSV that the adapter `table` reads: image, id, y_true and the features.

    Images are named below `images_folder`.

    Raises:
        DatasetError: as `images_folder`.
    """
    folder = images_folder(dataset)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    features = list(dataset.sensitive_features)
    writer.writerow(["image", "id", "y_true", *features])
    columns = dataset.table[[IMAGE_ID, Y_TRUE, *features]].to_numpy()
    for path, (image_id, y_true, *values) in zip(dataset.references, columns, strict=True):
        assert isinstance(path, Path)
        image = path.resolve().relative_to(folder).as_posix()
        writer.writerow([image, image_id, y_true or "", *values])
    return text.getvalue()
