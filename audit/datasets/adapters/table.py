"""Any CSV or Parquet file, once it is told which column is what."""

from __future__ import annotations

from pathlib import Path

from audit.datasets.adapters.annotated import Layout, image_root, read_all, records_of
from audit.datasets.adapters.files import columns_of, is_table
from audit.datasets.adapters.options import ID, IMAGE, SHA256, Y_TRUE, LoadOptions
from audit.datasets.adapters.rows import About, Wrong, build_dataset
from audit.datasets.adapters.spreadsheet import Dates
from audit.datasets.dataset import IMAGE_ID, Dataset
from audit.datasets.spelling import composed
from audit.errors import DatasetError


def matches(path: Path) -> bool:
    """Returns whether this is a CSV or Parquet file."""
    return is_table(path)


def load(path: Path, options: LoadOptions) -> Dataset:
    """Returns the dataset of a file whose columns the options name.

    Raises:
        DatasetError: with everything that is wrong with it.
    """
    layout = _layout(path, options)
    dates = Dates(options.repair)

    def read_value(feature: str, cell: str) -> str | Wrong:
        return dates.read(cell)

    tables = read_all([path], layout)
    records = list(records_of(tables, layout, image_root(path, options), read_value))
    about = About(
        adapter="table",
        source=path,
        name=f"table:{path.stem}",
        sensitive_features=tuple(layout.features),
        notes=dates.notes(),
    )
    return build_dataset(records, about, options, tables[0].problems)


def _layout(path: Path, options: LoadOptions) -> Layout:
    # A name may be typed in other characters than it has in the file, and be the same.
    present = {composed(name): name for name in (columns_of(path) if is_table(path) else ())}
    columns = {key: present.get(composed(name), name) for key, name in options.columns.items()}
    if not is_table(path):
        what, remedy = "it is no CSV or Parquet file", "Name a file that ends in .csv or .parquet"
    elif IMAGE not in columns:
        what = "which column holds the images is not said"
        remedy = f"Add --column image=NAME; the file has: {', '.join(present.values())}"
    elif IMAGE_ID in columns:
        what, remedy = f"no feature can be called {IMAGE_ID}", "Write --column id=NAME"
    else:
        known = (IMAGE, Y_TRUE, ID, SHA256)
        features = {key: name for key, name in columns.items() if key not in known}
        stated = (columns.get(Y_TRUE), columns.get(ID), columns.get(SHA256))
        return Layout(columns[IMAGE], features, *stated)
    raise DatasetError([(str(path), 0, what, remedy)])
