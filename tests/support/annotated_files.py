"""Datasets on disk as their authors would write them, and what is wrong with them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from audit.datasets.adapters import LoadOptions, load_dataset
from audit.datasets.dataset import Dataset
from audit.errors import DatasetError, RowProblem

FAIRFACE_COLUMNS = ("file", "age", "gender", "race", "service_test")
CsvRow = Mapping[str, str]


def picture(number: int = 0) -> bytes:
    """Returns a tiny PNG; another for each number."""
    file = io.BytesIO()
    Image.new("RGB", (2, 2), (number % 256, number // 256, 7)).save(file, "PNG")
    return file.getvalue()


def write_picture(path: Path, number: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(number))
    return path


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def face(number: int, **cells: str) -> dict[str, str]:
    """Returns a row of FairFace's labels that has nothing wrong with it."""
    right = {"age": "20-29", "gender": "Male", "race": "White", "service_test": "TRUE"}
    return {"file": f"val/{number}.jpg", **right, **cells}


def write_csv(
    path: Path, rows: Sequence[CsvRow], columns: Sequence[str] = FAIRFACE_COLUMNS
) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def fairface(folder: Path, *rows: CsvRow, columns: Sequence[str] = FAIRFACE_COLUMNS) -> Path:
    """Writes FairFace's labels with an image for each row, and returns their file."""
    for number, row in enumerate(rows):
        write_picture(folder / row["file"], number)
    return write_csv(folder / "fairface_label_part.csv", rows, columns)


def write_hub(
    path: Path,
    rows: Sequence[Mapping[str, object]],
    features: Mapping[str, object] | None,
    paths: Sequence[str | None] | None = None,
) -> Path:
    """Writes rows of class numbers in row groups of two, with images' own bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    paths = paths or [f"{number}.jpg" for number in range(len(rows))]
    images = [{"bytes": picture(i), "path": name} for i, name in enumerate(paths)]
    table = pa.table({"image": images, **{name: [row[name] for row in rows] for name in rows[0]}})
    if features is not None:
        stated = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": stated})
    pq.write_table(table, path, row_group_size=2)
    return path


HUB_ROWS = [
    {"age": 3, "gender": 0, "race": 3, "service_test": True},
    {"age": 8, "gender": 1, "race": 0, "service_test": False},
    {"age": 1, "gender": 1, "race": 5, "service_test": True},
]


def hashed(folder: Path, *hashes: str) -> Path:
    """Writes FairFace's labels with a stated hash for each image, and returns their file."""
    rows = [face(number, sha256=text) for number, text in enumerate(hashes)]
    return fairface(folder, *rows, columns=(*FAIRFACE_COLUMNS, "sha256"))


def load(path: Path, **options: Any) -> Dataset:
    """Returns the dataset of a path under these options."""
    return load_dataset(path, options=LoadOptions(**options))


def problems_of(act: Callable[[], object]) -> tuple[RowProblem, ...]:
    with pytest.raises(DatasetError) as caught:
        act()
    return caught.value.problems


def only_problem(path: Path, **options: Any) -> RowProblem:
    [problem] = problems_of(lambda: load(path, **options))
    return problem
