"""Records of images -> a Dataset, after the checks that are the same for every adapter."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from audit.datasets.adapters.options import LoadOptions
from audit.datasets.dataset import IMAGE_ID, Y_TRUE, Dataset
from audit.datasets.references import Reference
from audit.datasets.spelling import Spellings, composed
from audit.errors import DatasetError, RowProblem
from moderation.visible_text import utf8

#: As many characters as a group or class, and an image, may be called by; more is no name.
_LONGEST, _LONGEST_ID = 200, 4096

#: Texts under which tables write that there is nothing.
_NOTHING = ("", "nan", "null", "<na>", "#n/a")


class Wrong(NamedTuple):
    """What is wrong with a cell or a row, and what to do."""

    message: str
    remedy: str


@dataclass(frozen=True)
class Record:
    """One image, as the annotations have it.

    Attributes:
        path: file of annotations, or the image itself where there is none.
        row: its row there; 0 where there is none.
        image_id: what it is called.
        reference: where it is; None where it lies outside of the folder of images.
        y_true: its class, or empty where unknown.
        values: the cell of each sensitive feature.
        sha256: hash of the image as the annotations state it, or empty.
        wrong: what its adapter found wrong with it.
    """

    path: Path
    row: int
    image_id: str
    reference: Reference | None
    y_true: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    sha256: str = ""
    wrong: tuple[Wrong, ...] = ()


@dataclass(frozen=True)
class About:
    """What an adapter says of a whole dataset; the attributes are those of Dataset."""

    adapter: str
    source: Path
    name: str
    sensitive_features: tuple[str, ...] = ()
    orders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    benign: bool = False
    notes: tuple[str, ...] = ()


def is_nothing(cell: str) -> bool:
    """Returns whether a cell is empty, or says NaN or null."""
    return cell.strip().casefold() in _NOTHING


def locate(cell: str, root: Path) -> tuple[str, Path | None]:
    """Returns an image's path below a folder, with / between its parts, and the file.

    The file is None where the path leads out of the folder.
    """
    folder = os.path.abspath(root)
    place = os.path.normpath(os.path.join(folder, cell))
    if not cell or os.path.commonpath((folder, place)) != folder:
        return cell, None
    return Path(os.path.relpath(place, folder)).as_posix(), root / os.path.relpath(place, folder)


def build_dataset(
    records: Iterable[Record],
    about: About,
    options: LoadOptions,
    problems: Iterable[RowProblem] = (),
) -> Dataset:
    """Returns the dataset of the records that have nothing wrong with them.

    Of two rows on one image the second is the bad one.

    Args:
        records: the images, in order.
        about: what holds for all of them.
        options: how bad rows are treated, and what y_true means.
        problems: what the adapter found beside the records.

    Raises:
        DatasetError: with everything that is wrong, unless bad rows may be skipped.
    """
    found = list(problems)
    good: list[Record] = []
    seen: dict[Reference | str, Record] = {}
    for record in records:
        wrong = [*record.wrong, *_wrong(record), *_repeated(record, seen)]
        found += (RowProblem(str(record.path), record.row, *one) for one in wrong)
        if not wrong:
            good.append(record)
    found.sort(key=lambda problem: (problem.path, problem.row))
    if found and not (options.skip_bad and good):
        raise DatasetError(found)
    _refuse_unknown_classes(good, about.source, options.truth)
    return _dataset(good, about, options, tuple(found))


def _wrong(record: Record) -> Iterator[Wrong]:
    """Yields what is wrong with a record by itself."""
    if not record.image_id:
        yield Wrong("its image or id is empty", "Fill it in, or leave the row out with --skip-bad")
    elif record.reference is None:
        what = f"the image {record.image_id} lies outside of the folder of images"
        yield Wrong(what, "Write its path from the folder of images, which --images names")
    elif isinstance(record.reference, Path) and not os.path.isfile(record.reference):
        remedy = "Put it there, or name the folder of images with --images"
        yield Wrong(f"there is no file {record.reference}", remedy)
    yield from _too_long(record)
    for name, value in record.values.items():
        if is_nothing(value):
            yield Wrong(f"{name} is empty", "Fill it in, or leave the row out with --skip-bad")
    if record.sha256 and not _is_sha256(record.sha256):
        yield Wrong(f"{record.sha256} is no SHA-256", "Write 64 hexadecimal digits")


def _too_long(record: Record) -> Iterator[Wrong]:
    names = {**record.values, "its class": record.y_true}
    for name, text, most in (
        *((name, text, _LONGEST) for name, text in names.items()),
        ("its id", record.image_id, _LONGEST_ID),
    ):
        if len(text) > most:
            what = f"{name} has {len(text):,} characters, and a name at most {most:,}"
            yield Wrong(what, "Name another column, or shorten it")


def _is_sha256(text: str) -> bool:
    return len(text) == 64 and not set(text.lower()) - set("0123456789abcdef")


def _repeated(record: Record, seen: dict[Reference | str, Record]) -> Iterator[Wrong]:
    """Yields a problem where an earlier record has the same image, or else the same id."""
    if record.reference is None:
        return
    same_image = seen.setdefault(record.reference, record)
    same_id = seen.setdefault(record.image_id, record)
    remedy = "Keep one of the two rows"
    if same_image is not record:
        yield Wrong(f"the image {record.image_id} is in {_place(same_image, record)} too", remedy)
    elif same_id is not record:
        yield Wrong(f"the id {record.image_id} is in {_place(same_id, record)} too", remedy)


def _place(record: Record, other: Record) -> str:
    return f"row {record.row}" if record.path == other.path else f"{record.path}, row {record.row}"


def _refuse_unknown_classes(
    records: Iterable[Record], source: Path, truth: Mapping[str, str]
) -> None:
    classes = {composed(record.y_true) for record in records if record.y_true}
    if unknown := [name for name in truth if composed(name) not in classes]:
        what = f"no image has the class {', '.join(unknown)}, for which --truth says what it is"
        remedy = f"The classes are: {', '.join(sorted(classes)) or 'none'}"
        raise DatasetError([(str(source), 0, what, remedy)])


def _dataset(
    records: list[Record], about: About, options: LoadOptions, left_out: tuple[RowProblem, ...]
) -> Dataset:
    hashes = tuple(record.sha256.lower() or None for record in records)
    spellings = Spellings()
    truth = {composed(name): meant for name, meant in options.truth.items()}
    classes = [spellings.read(Y_TRUE, record.y_true) for record in records]
    columns: dict[str, Sequence[str | None]] = {
        IMAGE_ID: [utf8(record.image_id) for record in records],
        Y_TRUE: [utf8(truth.get(name, name)) or None for name in classes],
    }
    for name in about.sensitive_features:
        cells = (record.values[name] for record in records)
        columns[composed(name)] = [spellings.read(composed(name), cell) for cell in cells]
    notes = (*about.notes, *spellings.notes())
    if left_out:
        rows = len({(problem.path, problem.row) for problem in left_out})
        notes = (*notes, f"Rows left out on request, since something is wrong with them: {rows}.")
    return Dataset(
        name=utf8(about.name),
        adapter=about.adapter,
        source=about.source,
        # Objects, since a column of pandas' own text has NaN in the place of None.
        table=pd.DataFrame(columns, dtype=object),
        references=tuple(record.reference for record in records if record.reference),
        sensitive_features=tuple(map(composed, about.sensitive_features)),
        orders=about.orders,
        benign=about.benign if options.benign is None else options.benign,
        expected_sha256=hashes if any(hashes) else None,
        rows=tuple(record.row for record in records) if all(r.row for r in records) else (),
        left_out=left_out,
        notes=notes,
    )
