"""The images that commands are given as paths, in folders of them or on standard input."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import typer

from moderation.commands.output import note
from moderation.errors import ImageError
from moderation.images.folder import Entry, Kind, counts_by_kind, entries
from moderation.visible_text import brief, shown_name

#: Characters of an error that repeats a path: a whole image may have been given as one.
_MOST_NAMED = 300


class FoundImages(NamedTuple):
    """The images of the paths that were given, and what else lies in the folders among them."""

    images: list[Path]
    passed_over: list[Entry]

    def note(self) -> None:
        """Says what was passed over, where anything was."""
        if self.passed_over:
            note(f"Passed over: {counts_by_kind(self.passed_over)}")

    @property
    def complete(self) -> bool:
        """Whether every folder could be read."""
        return all(entry.kind is not Kind.UNREADABLE for entry in self.passed_over)


def find_images(paths: Iterable[str]) -> FoundImages:
    """Returns the files of `paths` in order; folders are searched through, sorted.

    Raises:
        typer.BadParameter: a path does not exist, or there is no image at all.
    """
    found = FoundImages([], [])
    for path in map(Path, listed_paths(paths)):
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except (OSError, ValueError) as error:
            name, why = shown_name(str(path)), getattr(error, "strerror", error)
            may_not = isinstance(error, PermissionError)
            what = f"{name} may not be read" if may_not else f"there is no file or folder {name}"
            what = brief(f"{what} ({why})", _MOST_NAMED)
            raise typer.BadParameter(what, param_hint="PATH") from error
        if not is_folder:
            found.images.append(path)
            continue
        inside = list(entries(path))
        found.images.extend(sorted(entry.path for entry in inside if entry.kind is Kind.IMAGE))
        found.passed_over.extend(entry for entry in inside if entry.kind is not Kind.IMAGE)
    if not found.images:
        over = f"; passed over: {counts_by_kind(found.passed_over)}" if found.passed_over else ""
        where = ", ".join(map(shown_name, paths))
        raise typer.BadParameter(f"no image in {where}{over}", param_hint="PATH")
    return found


def listed_paths(paths: Iterable[str]) -> Iterator[str]:
    """Yields the paths, and in place of - those that standard input lists.

    Standard input has a path a line; where it holds a zero byte, zero bytes separate the paths,
    since names may contain line ends.
    """
    for path in paths:
        if path == "-":
            content = sys.stdin.buffer.read()
            parted = content.split(b"\0" if b"\0" in content else b"\n")
            names = parted if b"\0" in content else [line.removesuffix(b"\r") for line in parted]
            yield from (os.fsdecode(name) for name in names if name.strip())
        else:
            yield path


def read_image(image: Path, max_image_bytes: int) -> bytes:
    """Returns the content of the image at a path.

    Raises:
        ImageError: it cannot be read, or is larger than `max_image_bytes`.
    """
    try:
        with image.open("rb") as file:
            content = file.read(max_image_bytes + 1)
    except OSError as error:
        raise ImageError(f"it cannot be read: {error.strerror}", shown_name(str(image))) from error
    if len(content) > max_image_bytes:
        raise ImageError(
            f"the image is over the limit of {max_image_bytes} bytes",
            shown_name(str(image)),
            "Raise MODERATION_MAX_IMAGE_BYTES",
        )
    return content
