"""The annotations of a dataset as one Parquet file, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from audit.datasets.dataset import IMAGE_ID, Y_TRUE, Dataset
from audit.errors import DatasetError

#: Where a file keeps what holds for the whole dataset.
_ABOUT = b"evenhand-dataset-1"


def write_dataset_table(dataset: Dataset, file: IO[bytes]) -> None:
    """Writes the ids and annotations of a dataset, and what its adapter says of all of it."""
    columns = [IMAGE_ID, Y_TRUE, *dataset.sensitive_features]
    about = {
        "name": dataset.name,
        "sensitive_features": dataset.sensitive_features,
        "orders": dict(dataset.orders),
        "benign": dataset.benign,
        "missing": [[list(values), n] for values, n in dataset.missing.items()],
        "notes": dataset.notes,
    }
    ids, *values = [pa.array(dataset.table[name], pa.string()) for name in columns]
    arrays: list[Any] = [ids, *(array.dictionary_encode() for array in values)]
    table = pa.Table.from_arrays(arrays, names=columns)
    pq.write_table(table.replace_schema_metadata({_ABOUT: json.dumps(about)}), file)


def read_dataset_table(path: Path, adapter: str, source: Path) -> Dataset:
    """Returns the dataset of such a file; where its images are, nobody says.

    Args:
        path: the file.
        adapter: the name of the adapter that reads it.
        source: the file or folder that messages name.

    Raises:
        DatasetError: it is damaged, or no such file.
    """
    try:
        table: Any = pq.read_table(path)
        about = json.loads(table.schema.metadata[_ABOUT])
        return Dataset(
            name=about["name"],
            adapter=adapter,
            source=source,
            table=pd.DataFrame(
                {name: _texts_of(table.column(name)) for name in table.column_names}, dtype=object
            ),
            references=(),
            sensitive_features=tuple(about["sensitive_features"]),
            orders={name: tuple(values) for name, values in about["orders"].items()},
            benign=about["benign"],
            missing={tuple(values): n for values, n in about["missing"]},
            notes=tuple(about["notes"]),
        )
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        what = f"it is damaged, or was not written by this program ({error})"
        raise DatasetError.of(path, what, "Import the features again") from error


def _texts_of(column: Any) -> Any:
    """Returns (n,) texts of a column, None where there is none; equal ones are one object."""
    whole = column.combine_chunks()
    if not pa.types.is_dictionary(whole.type):
        return whole.to_numpy(zero_copy_only=False)
    known = np.array([*whole.dictionary.to_pylist(), None], dtype=object)
    return known[whole.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False)]
