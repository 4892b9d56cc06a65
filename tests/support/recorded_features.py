"""Features on disk as people have them, with annotations and texts, and what imports them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audit.datasets.adapters import LoadOptions
from audit.errors import DatasetError, RowProblem
from audit.recordings.claims import ModelClaims
from audit.recordings.feature_import import FeatureImport, import_features
from audit.recordings.recording import Recording
from audit.recordings.text_features import TextOptions
from tests.support.annotated_files import write_csv

COLUMNS = {"id": "file", "race": "race"}
CLAIMS = ModelClaims(model_id="some-clip", logit_scale=100.0)
RACES = ("Black", "White")

Floats = npt.NDArray[np.floating[Any]]


def unit_rows(n: int, d: int = 8, dtype: str = "float32", seed: int = 0) -> Floats:
    """Returns n random rows of unit length."""
    rows = np.random.default_rng(seed).standard_normal((n, d))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(dtype)


def label_rows(n: int) -> list[dict[str, str]]:
    """Returns n rows of annotations that have nothing wrong with them."""
    return [{"file": f"{i}.jpg", "race": RACES[i % 2], "class": "face"} for i in range(n)]


def write_npy_and_csv(
    folder: Path, rows: npt.NDArray[Any], labels: Sequence[dict[str, str]] | None = None
) -> tuple[Path, Path]:
    """Writes features.npy and labels.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "features.npy", rows, allow_pickle=True)
    annotated = label_rows(len(rows)) if labels is None else labels
    csv = write_csv(folder / "labels.csv", annotated, ("file", "race", "class"))
    return folder / "features.npy", csv


def list_column(rows: Floats, *, fixed: bool) -> Any:
    """Returns rows as a column of lists."""
    values = pa.array(rows.ravel(), pa.from_numpy_dtype(rows.dtype))
    if fixed:
        return pa.FixedSizeListArray.from_arrays(values, rows.shape[1])
    ends: Any = pa.array(np.arange(0, rows.size + 1, rows.shape[1]), pa.int32())
    return pa.ListArray.from_arrays(ends, values)


def feature_table(rows: Floats, *, fixed: bool = True) -> pa.Table:
    """Returns annotations with a column of features."""
    labels = label_rows(len(rows))
    columns = {name: pa.array([row[name] for row in labels]) for name in ("file", "race")}
    return pa.table({**columns, "embedding": list_column(rows, fixed=fixed)})


def write_texts(path: Path, texts: Sequence[str], rows: Floats) -> Path:
    """Writes texts and their features as Parquet."""
    pq.write_table(pa.table({"text": list(texts), "feature": list_column(rows, fixed=True)}), path)
    return path


def imported(
    out: Path,
    features: Path | Sequence[Path],
    *labels: Path,
    columns: dict[str, str] | None = None,
    skip_bad: bool = False,
    **asked: Any,
) -> Recording:
    """Returns what is imported from files."""
    paths = [features] if isinstance(features, Path) else list(features)
    reading = LoadOptions(skip_bad=skip_bad)
    given = {"claims": CLAIMS, "text_options": TextOptions(), **asked}
    import_ = FeatureImport(paths, columns or COLUMNS, labels=labels, reading=reading, **given)
    return import_features(import_, out)


def refused(out: Path, *given: Any, **asked: Any) -> list[RowProblem]:
    """Returns the problems of an import that is refused, after which nothing is left of it."""
    before = sorted(out.parent.iterdir())
    with pytest.raises(DatasetError) as caught:
        imported(out, *given, **asked)
    assert sorted(out.parent.iterdir()) == before
    return list(caught.value.problems)
