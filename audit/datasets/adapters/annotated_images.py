"""Annotated images, as adapters read them, before anything is known to be right with them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from audit.datasets.image_references import Reference
from audit.datasets.spelling import composed

#: The most characters in the name of a group or class; more is not a name.
LONGEST_NAME = 200

#: Texts by which tables say that there is nothing.
_NOTHING = ("", "nan", "null", "<na>", "#n/a")

#: Texts by which people say so, and which may also be a name: NA is Namibia.
_MAYBE_NOTHING = (
    *("na", "n/a", "n.a.", "n.a", "none", "nil", "unknown", "not known", "not available"),
    *("missing", "undefined", "unspecified", "-", "–", "—", "?"),
)

_FILL_IN = "Fill it in, or leave the row out with --skip-bad"

#: What to do with a value that an adapter does not know.
CORRECT_OR_LEAVE_OUT = "Correct it, or leave such rows out, counted by group, with --skip-bad"


class Wrong(NamedTuple):
    """What is wrong with a cell or a row, and what to do."""

    message: str
    remedy: str


@dataclass(frozen=True)
class AnnotatedImage:
    """One image, as the annotations have it.

    Attributes:
        path: the file of annotations, or the image itself where there is no such file.
        row: its row there; 0 where it has no row.
        image_id: what it is called.
        reference: where it is; None where it lies outside the folder of images.
        y_true: its class, or empty where unknown.
        values: of each sensitive feature, or what is wrong with its cell.
        sha256: the hash that the annotations state for the image, or empty.
        wrong: what else its adapter found wrong with it.
    """

    path: Path
    row: int
    image_id: str
    reference: Reference | None
    y_true: str = ""
    values: Mapping[str, str | Wrong] = field(default_factory=dict)
    sha256: str = ""
    wrong: tuple[Wrong, ...] = ()

    def known_values(self, names: Iterable[str]) -> tuple[str | None, ...]:
        """Returns the values of sensitive features, None where a cell is empty or wrong."""
        values = (self.values.get(name, "") for name in names)
        return tuple(
            None
            if isinstance(value, Wrong) or not value or len(value) > LONGEST_NAME
            else composed(value)
            for value in values
        )


@dataclass(frozen=True)
class About:
    """What an adapter says of a whole dataset; the attributes are those of `Dataset`."""

    adapter: str
    source: Path
    name: str
    sensitive_features: tuple[str, ...] = ()
    orders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    benign: bool = False
    notes: tuple[str, ...] = ()


def is_empty_annotation(cell: str) -> bool:
    """Returns whether a cell is empty, or says NaN or null."""
    return cell.strip().casefold() in _NOTHING


def empty_annotation(name: str, cell: str) -> Wrong | None:
    """Returns what is wrong with the cell of a sensitive feature that says NaN, null or nothing."""
    return Wrong(f"{name} is empty", _FILL_IN) if is_empty_annotation(cell) else None


def unknown_annotation(name: str, cell: str) -> Wrong | None:
    """Returns what is wrong with the cell of a sensitive feature that may say that nobody knows."""
    text = composed(cell)
    if not text or text.casefold() not in (*_NOTHING, *_MAYBE_NOTHING):
        return empty_annotation(name, text)
    remedy = f"{_FILL_IN}; if it is a group, keep it as one with --as-written {name}"
    return Wrong(f"{name} is {text}, which reads as not known", remedy)


def locate_annotated_image(cell: str, root: Path) -> tuple[str, Path | None]:
    """Returns an annotated image's path below a folder, with / between its parts, and the file.

    The file is None where the path leads out of the folder.
    """
    folder = os.path.abspath(root)
    place = os.path.normpath(os.path.join(folder, cell))
    if not cell or os.path.commonpath((folder, place)) != folder:
        return cell, None
    return Path(os.path.relpath(place, folder)).as_posix(), root / os.path.relpath(place, folder)
