"""Adapters: how a dataset lies on disk -> Dataset. One file for each layout, and this registry."""

from __future__ import annotations

from pathlib import Path

from audit.datasets.adapters import fairface, folders, recorded, table, utkface
from audit.datasets.adapters.csv_and_parquet import columns_of, is_table
from audit.datasets.adapters.options import Adapter, LoadOptions
from audit.datasets.dataset import Dataset
from audit.errors import DatasetError

__all__ = ["ADAPTERS", "Adapter", "LoadOptions", "load_dataset"]

#: Every adapter by name. Without a name the first that matches is taken, in this order, but `table`
#: only where columns are named.
ADAPTERS: dict[str, Adapter] = {
    adapter.name: adapter
    for adapter in (
        Adapter(
            name="fairface",
            description="Faces with perceived race, gender and age.",
            layout="fairface_label_*.csv or labels.csv with file, age, gender, race and "
            "service_test, beside its images; or Parquet files with image, age, gender and race",
            source="https://github.com/joojs/fairface, or HuggingFaceM4/FairFace on the Hub",
            licence="CC BY 4.0",
            benign=True,
            takes=frozenset({"images", "repair"}),
            matches=fairface.matches,
            load=fairface.load,
        ),
        Adapter(
            name="utkface",
            description="Faces with estimated age, gender and race.",
            layout="a folder of images called [age]_[gender]_[race]_[time].jpg or .jpg.chip.jpg",
            source="https://susanqq.github.io/UTKFace/",
            licence="non-commercial research",
            benign=True,
            takes=frozenset(),
            matches=utkface.matches,
            load=utkface.load,
        ),
        Adapter(
            name="folders",
            description="Images by class, without sensitive features.",
            layout="a folder for each class, with its images in it or below it",
            source="your own",
            licence="that of your images",
            benign=False,
            takes=frozenset({"truth"}),
            matches=folders.matches,
            load=folders.load,
        ),
        Adapter(
            name="recorded",
            description="Recorded features, without images and without a model.",
            layout="a folder that `audit import` made",
            source="`audit import`, from what you have embedded",
            licence="as claimed on import",
            benign=False,
            takes=frozenset({"truth"}),
            matches=recorded.matches,
            load=recorded.load,
        ),
        Adapter(
            name="table",
            description="Any table of annotations; --column says what each column holds.",
            layout="a CSV or Parquet file with a column of image paths, or of images",
            source="your own",
            licence="that of your images",
            benign=False,
            takes=frozenset({"columns", "images", "truth", "repair", "as_written"}),
            matches=is_table,
            load=table.load,
        ),
    )
}

#: How the command line calls the options that not every adapter takes.
_OPTION_NAMES = {
    "columns": "--column",
    "images": "--images",
    "truth": "--truth",
    "repair": "--repair",
    "as_written": "--as-written",
}


def load_dataset(
    path: Path, *, adapter: str | None = None, options: LoadOptions | None = None
) -> Dataset:
    """Returns the annotated images of a file or folder.

    Args:
        path: the file or folder.
        adapter: name of the adapter that reads it; by default the first of ADAPTERS that matches.
        options: how it is read.

    Raises:
        DatasetError: with everything that is wrong with it; or no adapter can read it.
    """
    options = options or LoadOptions()
    if not path.exists():
        raise DatasetError.of(path, "there is no such file or folder", "Check the path")
    if adapter and adapter not in ADAPTERS:
        remedy = f"The adapters are: {', '.join(ADAPTERS)}"
        raise DatasetError.of(path, f"there is no adapter {adapter}", remedy)
    chosen = ADAPTERS[adapter] if adapter else _matching_adapter(path, options)
    _refuse_unused_by_adapter(chosen, options, path)
    return chosen.load(path, options)


def _matching_adapter(path: Path, options: LoadOptions) -> Adapter:
    if options.columns:
        return ADAPTERS["table"]
    for adapter in ADAPTERS.values():
        if adapter.name != "table" and adapter.matches(path):
            return adapter
    remedy = f"Name one with --adapter: {', '.join(ADAPTERS)}"
    if is_table(path):
        columns = ", ".join(columns_of(path))
        remedy = f"Say what each column holds with --column, as image=NAME; it has: {columns}"
    raise DatasetError.of(path, "no adapter knows this layout", remedy)


def _refuse_unused_by_adapter(adapter: Adapter, options: LoadOptions, path: Path) -> None:
    """Raises where an option is given that would do nothing, as its author expects it to."""
    given = {name for name in _OPTION_NAMES if getattr(options, name)}
    if unused := sorted(given - adapter.takes):
        names = ", ".join(_OPTION_NAMES[name] for name in unused)
        takers = [other.name for other in ADAPTERS.values() if set(unused) <= other.takes]
        remedy = f"These do: {', '.join(takers)}"
        raise DatasetError.of(path, f"the adapter {adapter.name} takes no {names}", remedy)
