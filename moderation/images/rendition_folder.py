"""The folder that renditions are written into: on this machine, or in a store that fsspec knows."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from moderation.errors import RenditionsUnavailable, SettingsError
from moderation.images.fetch.deadline import NoRoom, call_within
from moderation.images.rendition import RenditionFile
from moderation.messages.reference import shown_location
from moderation.settings import Settings
from moderation.whole_file import whole_file

T = TypeVar("T")

#: How many calls of a store may be under way, those that hang among them.
_UNDER_WAY = 128

_REMEDY = "Let the worker write to the folder of MODERATION_RENDITIONS"


def open_renditions(settings: Settings, *, make: bool = False) -> RenditionFolder | None:
    """Returns the folder that the settings name, which can be written to; None if there is none.

    Args:
        settings: of this process.
        make: makes the folder where it is missing. A worker does not: what is missing may be a
            disk that is not mounted.

    Raises:
        SettingsError: it cannot be written to.
    """
    if settings.renditions is None:
        return None
    folder = RenditionFolder(settings.renditions, seconds=settings.fetch_timeout_seconds)
    folder.check(make=make)
    return folder


class RenditionFolder:
    """Keeps renditions under the hashes of their bytes; for many threads."""

    def __init__(self, url: str, *, seconds: float) -> None:
        """Writes nothing yet.

        Args:
            url: a path, or an fsspec URL.
            seconds: how long one call may take.

        Raises:
            SettingsError: it names no folder that this machine can write to.
        """
        self.where = shown_location(url)
        self._seconds = seconds
        self._room = threading.BoundedSemaphore(_UNDER_WAY)
        try:
            self._store, self._folder = url_to_fs(url)
        except Exception as error:  # of the store's own library
            remedy = "Install the store's fsspec driver, such as s3fs, or name a folder"
            what = f"MODERATION_RENDITIONS cannot be opened ({type(error).__name__})"
            raise SettingsError(what, self.where, remedy) from None

    def write(self, file: RenditionFile) -> None:
        """Writes a rendition, unless it is there: whole, or not at all.

        Raises:
            RenditionsUnavailable: the folder cannot be written to.
        """
        if not self.has(file.name):
            self._asked(lambda: self._put(file.name, file.content))

    def has(self, name: str) -> bool:
        """Returns whether a rendition of that name is there.

        Raises:
            RenditionsUnavailable: the folder cannot be read.
        """
        return self._asked(lambda: bool(self._store.isfile(self._path(name))))

    def check(self, *, make: bool = False) -> None:
        """Writes a file and removes it.

        Args:
            make: makes the folder first, where it is missing.

        Raises:
            SettingsError: the folder cannot be written to.
        """
        name = f"{uuid.uuid4()}.tmp"
        try:
            if make:
                self._asked(lambda: self._store.makedirs(self._folder, exist_ok=True))
            self._asked(lambda: self._put(name, b"a check of the folder"))
            self._asked(lambda: self._store.rm_file(self._path(name)))
        except RenditionsUnavailable as error:
            raise SettingsError(error.what, error.where, error.remedy) from None

    def _path(self, name: str) -> str:
        return f"{self._folder.rstrip('/')}/{name}"

    def _put(self, name: str, content: bytes) -> None:
        if isinstance(self._store, LocalFileSystem):
            with whole_file(Path(self._path(name))) as file:
                file.write(content)
        else:  # an object is there when all of it is
            self._store.pipe_file(self._path(name), content)

    def _asked(self, call: Callable[[], T]) -> T:
        """Returns what the store answers in time."""
        with self._errors():
            return call_within(self._seconds, call, self._room)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except NoRoom:
            why = "too many calls hang"
        except TimeoutError:
            why = f"it did not answer within {self._seconds:g} s"
        except OSError as error:
            why = error.strerror or type(error).__name__
        except Exception as error:  # each fsspec driver raises its own library's errors
            why = type(error).__name__
        else:
            return
        what = f"the folder of renditions cannot be used ({why})"
        raise RenditionsUnavailable(what, self.where, _REMEDY)
