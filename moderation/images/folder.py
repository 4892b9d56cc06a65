"""What a folder of images holds: the images, known by their content, and what is passed over.

Nothing is passed over silently: the caller gets every file, with why it is not looked at.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from moderation.images.formats import SUFFIXES
from moderation.messages.image_signatures import HEAD_BYTES, has_image_signature
from moderation.visible_text import shown_name

#: Names that are listed for each kind of what is passed over.
_LISTED = 3


class Kind(StrEnum):
    """What an entry of a folder is."""

    IMAGE = "an image"
    NO_IMAGE = "no image"
    HIDDEN = "hidden"
    LINK_TO_NOWHERE = "a link to nowhere"
    LINK_TO_FOLDER = "a link to a folder"
    NO_FILE = "a pipe, socket or device"
    UNREADABLE = "a folder that cannot be read"


class Entry(NamedTuple):
    """An entry of a folder: a file, or a folder that is not looked into."""

    path: Path
    kind: Kind


def entries(folder: Path, *, hidden: bool = True) -> Iterator[Entry]:
    """Yields what is in a folder and below it; links to folders are not followed.

    Args:
        folder: where to look.
        hidden: whether hidden files and folders are looked at like others.
    """
    unreadable: list[Path] = []
    for place, folders, files in os.walk(
        folder, onerror=lambda error: unreadable.append(Path(error.filename))
    ):
        for name in sorted(folders):
            path = Path(place, name)
            if not hidden and is_hidden(name):
                yield Entry(path, Kind.HIDDEN)
                folders.remove(name)
            elif path.is_symlink():
                yield Entry(path, Kind.LINK_TO_FOLDER)
        folders.sort()
        for name in sorted(files):
            path = Path(place, name)
            yield Entry(path, Kind.HIDDEN if not hidden and is_hidden(name) else kind_of(path))
    yield from (Entry(path, Kind.UNREADABLE) for path in unreadable)


def kind_of(file: Path) -> Kind:
    """Returns what a file of a folder is: an image where its content or its name says so.

    One that cannot be read counts as an image: whoever decodes it reports what is wrong.
    """
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return Kind.NO_FILE
        if file.suffix.lower() in SUFFIXES and not is_hidden(file.name):
            return Kind.IMAGE
        with file.open("rb") as opened:
            return Kind.IMAGE if has_image_signature(opened.read(HEAD_BYTES)) else Kind.NO_IMAGE
    except FileNotFoundError:
        return Kind.LINK_TO_NOWHERE
    except OSError as error:
        return Kind.LINK_TO_NOWHERE if error.errno == errno.ELOOP else Kind.IMAGE


def counts_by_kind(passed_over: Iterable[Entry]) -> str:
    """Returns how many entries of each kind there are, with the names of some."""
    by_kind: dict[Kind, list[str]] = {}
    for path, kind in passed_over:
        by_kind.setdefault(kind, []).append(shown_name(path.name))
    return "; ".join(
        f"{kind}: {len(names)} ({', '.join(names[:_LISTED])}{', ...' * (len(names) > _LISTED)})"
        for kind, names in sorted(by_kind.items())
    )


def is_hidden(name: str) -> bool:
    """Returns whether a file of a folder is to be overlooked, as its user or a system hides it."""
    return name.startswith(".") or name in ("Thumbs.db", "desktop.ini")
