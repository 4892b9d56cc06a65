"""A table of annotations, by what each of its columns holds; and the adapter for any table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from audit.datasets.adapters.annotated_dataset import build_dataset
from audit.datasets.adapters.annotated_images import (
    About,
    AnnotatedImage,
    Wrong,
    is_empty_annotation,
    locate_annotated_image,
    unknown_annotation,
)
from audit.datasets.adapters.csv_and_parquet import (
    Annotations,
    columns_of,
    is_table,
    read_annotations,
)
from audit.datasets.adapters.options import ID, IMAGE, SHA256, Y_TRUE, LoadOptions
from audit.datasets.adapters.spreadsheet import SpreadsheetDates
from audit.datasets.dataset import IMAGE_ID, Dataset
from audit.datasets.image_references import ParquetImage, Reference
from audit.datasets.spelling import composed
from audit.errors import DatasetError

#: Returns the value of a sensitive feature from its cell, or what is wrong with it.
ReadValue = Callable[[str, str], str | Wrong]


class TableLayout(NamedTuple):
    """What the columns of a table hold.

    Attributes:
        image: the column of images' paths, or in a Parquet file of images.
        sensitive_features: the column of each sensitive feature whose cells are read and checked.
        y_true: the column of classes, where there are any.
        id: the column of what images are called; by default they are called by their path.
        sha256: the column of the images' hashes, where they are stated.
    """

    image: str
    sensitive_features: Mapping[str, str]
    y_true: str | None = None
    id: str | None = None
    sha256: str | None = None


def load(path: Path, options: LoadOptions) -> Dataset:
    """Returns the dataset of a table whose columns the options name.

    Raises:
        DatasetError: with everything that is wrong with it.
    """
    layout = _table_layout(path, options)
    dates = SpreadsheetDates(options.repair)
    read_table_cell = cell_reader(path, layout.sensitive_features, options, dates)
    tables = read_tables([path], layout)
    images = list(table_images(tables, layout, table_image_root(path, options), read_table_cell))
    about = About(
        adapter="table",
        source=path,
        name=f"table:{path.stem}",
        sensitive_features=tuple(layout.sensitive_features),
        notes=dates.notes(),
    )
    return build_dataset(images, about, options, tables[0].problems)


def cell_reader(
    path: Path, features: Collection[str], options: LoadOptions, dates: SpreadsheetDates
) -> ReadValue:
    """Returns what reads the cells of any table's sensitive features as the options say.

    Raises:
        DatasetError: the options name a feature that there is not.
    """
    if unknown := options.as_written - set(map(composed, features)):
        what = f"there is no sensitive feature {', '.join(sorted(unknown))} to take as written"
        raise DatasetError.of(path, what, f"It has: {', '.join(features) or 'none'}")

    def read_table_cell(name: str, cell: str) -> str | Wrong:
        if cell.strip() and composed(name) in options.as_written:
            return cell
        return unknown_annotation(name, cell) or dates.read(cell)

    return read_table_cell


def _table_layout(path: Path, options: LoadOptions) -> TableLayout:
    if not is_table(path):
        remedy = "Name a file that ends in .csv or .parquet"
        raise DatasetError.of(path, "it is not a CSV or Parquet file", remedy)
    # A name may be typed in other characters than it has in the file, and be the same.
    present = {composed(name): name for name in columns_of(path)}
    columns = {key: present.get(composed(name), name) for key, name in options.columns.items()}
    if IMAGE not in columns:
        remedy = f"Add --column image=NAME; the file has: {', '.join(present.values())}"
        raise DatasetError.of(path, "which column holds the images is not said", remedy)
    if IMAGE_ID in columns:
        what = f"a sensitive feature cannot be called {IMAGE_ID}"
        raise DatasetError.of(path, what, "Write --column id=NAME")
    known = (IMAGE, Y_TRUE, ID, SHA256)
    sensitive_features = {key: name for key, name in columns.items() if key not in known}
    stated = (columns.get(Y_TRUE), columns.get(ID), columns.get(SHA256))
    return TableLayout(columns[IMAGE], sensitive_features, *stated)


def table_image_root(path: Path, options: LoadOptions) -> Path:
    """Returns the folder below which a file of annotations names its images.

    Raises:
        DatasetError: the options name another folder, and it is not there.
    """
    if options.images is None:
        return path.parent
    if not options.images.is_dir():
        what = "there is no such folder of images"
        raise DatasetError.of(options.images, what, "Name one with --images")
    return options.images


def read_tables(paths: Sequence[Path], layout: TableLayout) -> list[Annotations]:
    """Returns the columns of a layout from several files of one dataset.

    Raises:
        DatasetError: one cannot be read, lacks a column, or has images where values should be.
    """
    values = (*layout.sensitive_features.values(), layout.y_true, layout.sha256)
    columns = [name for name in (layout.image, *values, layout.id) if name]
    tables = [read_annotations(path, columns) for path in paths]
    problems = [
        (str(table.path), 0, f"{name} holds images, and no values", "Name another column")
        for table in tables
        for name in sorted(table.pictures & set(values))
    ]
    if problems:
        raise DatasetError(problems)
    return tables


def table_images(
    tables: Sequence[Annotations], layout: TableLayout, root: Path, read_value: ReadValue
) -> Iterator[AnnotatedImage]:
    """Yields the image of every row.

    Images inside Parquet files are called by the path that is stated for them, where every one has
    one and no two share it; otherwise by file and row.
    """
    stated = [path for table in tables for path in table.cells[layout.image]]
    by_path = all(stated) and len(set(stated)) == len(stated)
    for table in tables:
        for place in range(len(table.rows)):
            yield _table_image(table, place, layout, root, read_value, by_path)


def _table_image(
    table: Annotations,
    place: int,
    layout: TableLayout,
    root: Path,
    read_value: ReadValue,
    by_path: bool,
) -> AnnotatedImage:
    def table_cell(column: str | None) -> str:
        return table.cells[column][place].strip() if column else ""

    row, path = table.rows[place], table.cells[layout.image][place]
    reference: Reference | None
    image_id, reference = locate_annotated_image(path, root)
    if layout.image in table.pictures:
        image_id = path if by_path else f"{table.path.stem}#{row}"
        reference = ParquetImage(table.path, row - 1, layout.image)
    cells = {name: table.cells[column][place] for name, column in layout.sensitive_features.items()}
    return AnnotatedImage(
        path=table.path,
        row=row,
        image_id=table_cell(layout.id) if layout.id else image_id,
        reference=reference,
        y_true="" if is_empty_annotation(table_cell(layout.y_true)) else table_cell(layout.y_true),
        values={name: read_value(name, cell) for name, cell in cells.items()},
        sha256="" if is_empty_annotation(table_cell(layout.sha256)) else table_cell(layout.sha256),
    )
