"""The annotations of recorded features: a folder that `audit import` made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from audit.datasets.adapters.annotated_dataset import refuse_unannotated_classes
from audit.datasets.adapters.options import LoadOptions
from audit.datasets.dataset import Y_TRUE, Dataset
from audit.datasets.spelling import composed
from audit.datasets.stored_table import read_dataset_table
from audit.errors import DatasetError

RECORDING_FILE, TABLE_FILE = "recording.json", "table.parquet"


def matches(path: Path) -> bool:
    """Returns whether this is a folder of recorded features."""
    return (path / RECORDING_FILE).is_file()


def load(path: Path, options: LoadOptions) -> Dataset:
    """Returns the dataset of a recording, without its features.

    Raises:
        DatasetError: it is damaged, or no image has a class that the options name.
    """
    if not matches(path):
        what = f"there is no {RECORDING_FILE} in it"
        raise DatasetError.of(path, what, "Name a folder that `audit import` made")
    dataset = read_dataset_table(path / TABLE_FILE, "recorded", path)
    benign = dataset.benign if options.benign is None else options.benign
    if not options.truth:
        return replace(dataset, benign=benign)
    table = dataset.table.copy()
    refuse_unannotated_classes(table[Y_TRUE].dropna().unique(), path, options.truth)
    meant = {composed(name): label for name, label in options.truth.items()}
    classes = [meant.get(name, name) for name in table[Y_TRUE]]
    table[Y_TRUE] = pd.Series(classes, dtype=object)  # with None, where pandas would have NaN
    return replace(dataset, table=table, benign=benign)
