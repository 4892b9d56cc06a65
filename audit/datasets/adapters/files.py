"""A CSV or Parquet file of annotations -> columns of text, with the row number of each line."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from audit.datasets.adapters.parquet import parquet_columns, read_parquet
from audit.datasets.spelling import composed
from audit.errors import DatasetError, RowProblem

CSV_SUFFIX, PARQUET_SUFFIX = ".csv", ".parquet"


@dataclass(frozen=True)
class Annotations:
    """A file of annotations, read as text.

    Attributes:
        path: the file.
        columns: names of all its columns, in their order.
        rows: number of each of the n rows: its first line in a CSV file, where the header is line
            1; counted from 1 in a Parquet file.
        cells: n texts for each column that was asked for; empty where there is nothing. For a
            column that holds images, the path that it states for each.
        pictures: the columns that hold the images' own bytes.
        numbered: the columns of whole numbers whose names the file does not state.
        problems: rows that could not be read at all.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[int, ...]
    cells: Mapping[str, tuple[str, ...]]
    pictures: frozenset[str] = frozenset()
    numbered: frozenset[str] = frozenset()
    problems: tuple[RowProblem, ...] = ()


def is_table(path: Path) -> bool:
    """Returns whether a path is a file that can be read here, by its name."""
    return path.suffix.lower() in (CSV_SUFFIX, PARQUET_SUFFIX) and path.is_file()


def columns_of(path: Path) -> tuple[str, ...]:
    """Returns the names of a file's columns.

    Raises:
        DatasetError: it cannot be read.
    """
    if path.suffix.lower() == PARQUET_SUFFIX:
        return parquet_columns(path)
    return next(_lines(path))[1]


def read_annotations(path: Path, columns: Collection[str]) -> Annotations:
    """Returns some columns of a file.

    Raises:
        DatasetError: it cannot be read, or has no such column.
    """
    present = columns_of(path)
    if missing := [name for name in dict.fromkeys(columns) if name not in present]:
        what = f"there is no column {', '.join(missing)}"
        raise DatasetError([(str(path), 0, what, f"It has: {', '.join(present)}")])
    if path.suffix.lower() == PARQUET_SUFFIX:
        found = read_parquet(path, columns)
        rows = tuple(range(1, found.rows + 1))
        return Annotations(path, present, rows, found.cells, found.pictures, found.numbered)
    return _read_csv(path, columns)


def _read_csv(path: Path, columns: Collection[str]) -> Annotations:
    lines = _lines(path)
    _, header = next(lines)
    rows: list[int] = []
    whole: list[tuple[str, ...]] = []
    problems = []
    for row, cells in lines:
        if len(cells) == len(header):
            rows.append(row)
            whole.append(cells)
        else:
            what = f"it has {len(cells)} cells, and the header {len(header)}"
            remedy = "Put quotes around cells that hold a comma"
            problems.append(RowProblem(str(path), row, what, remedy))
    places = {name: header.index(name) for name in columns}
    texts = {name: tuple(cells[place] for cells in whole) for name, place in places.items()}
    return Annotations(path, header, tuple(rows), texts, problems=tuple(problems))


def _lines(path: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yields the header, then every row that is not blank, each with the line it begins on."""
    row = 0
    try:
        # Not pandas: it tells no line numbers, and fills up a row that is too short.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = _header(path, next(reader, []))
            yield 1, header
            row = reader.line_num + 1
            for cells in reader:
                if cells:
                    yield row, tuple(cells)
                row = reader.line_num + 1
    except UnicodeDecodeError as error:
        remedy = "Save it as CSV in UTF-8"
        raise DatasetError([(str(path), 0, "it is not text in UTF-8", remedy)]) from error
    except csv.Error as error:
        remedy = "Save it as CSV: commas between cells, quotes around those that hold one"
        raise DatasetError([(str(path), row, f"it is no CSV ({error})", remedy)]) from error
    except OSError as error:
        what = f"it cannot be read: {error.strerror}"
        raise DatasetError([(str(path), 0, what, "Name a file that can be")]) from error


def _header(path: Path, cells: list[str]) -> tuple[str, ...]:
    names = tuple(composed(cell.strip()) for cell in cells)
    twice = [name for name in dict.fromkeys(names) if name and names.count(name) > 1]
    if not any(names) or "\0" in "".join(names):
        what, remedy = "its first line is no header", "Begin a CSV file with the columns' names"
    elif twice:
        what, remedy = f"two columns are called {', '.join(twice)}", "Rename one of them"
    else:
        return names
    raise DatasetError([(str(path), 1, what, remedy)])
