"""Paths -> bytes, under allowed folders, while others may swap files and links there."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from moderation.errors import ImageUnavailable, RequestError

#: Errors of a file system that the next try would meet again.
_PERMANENT = {
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EINVAL,
    errno.ENXIO,
}
#: No path on Linux is longer, and looking a longer one up takes disproportionate time.
_LONGEST = 4096
#: Views into the kernel, not real files; they also show what the worker knows.
_KERNEL = (Path("/proc"), Path("/sys"))
#: Never waits for the writer of a pipe, follows a link or leaves the file open in a child.
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)


def read_file(given: str, roots: tuple[Path, ...], most: int, where: str) -> bytes:
    """Returns a file's content, up to one byte more than `most`.

    Args:
        given: an absolute path; links in it are followed, then it must lie in a root.
        roots: the allowed folders, with links in them already followed.
        most: how many bytes an image may have.
        where: what an error calls the file.

    Raises:
        RequestError: the path is in no root, or leads to no file.
        ImageUnavailable: the file system failed.
    """
    path = _resolved_path(given)
    if not os.path.isabs(given) or not _file_lies_in(path, roots):
        raise _file_outside_roots(where)
    with _file_errors(where):
        _refuse_other_than_file(
            os.lstat(path), where
        )  # before it is opened: opening a device may act
        descriptor = os.open(path, _FLAGS)
        with os.fdopen(descriptor, "rb") as file:
            _refuse_other_than_file(os.fstat(descriptor), where)
            if not _file_lies_in(_opened_file_path(descriptor, path), roots):
                raise _file_outside_roots(where)
            return file.read(most + 1)


def _resolved_path(given: str) -> str:
    try:
        if len(os.fsencode(given)) > _LONGEST:
            raise ValueError("too long")
        return str(Path(given).resolve())
    except (ValueError, OSError, RuntimeError) as error:  # a zero byte, a loop of links
        raise RequestError("this is not a path", "image", "Send an absolute path") from error


def _file_lies_in(path: str, roots: tuple[Path, ...]) -> bool:
    inside = any(_lies_under(path, root) for root in roots)
    return inside and not any(_lies_under(path, view) for view in _KERNEL)


def _lies_under(path: str, folder: Path) -> bool:
    """Whether an absolute path without links and dots is a folder's or below it."""
    name = str(folder)
    return path == name or path.startswith(name.rstrip(os.sep) + os.sep)


def _opened_file_path(descriptor: int, path: str) -> str:
    """Returns where an open file really is: a folder in its path may have become a link."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:  # without Linux's /proc the path is looked up once more
        return _resolved_path(path)


def _refuse_other_than_file(status: os.stat_result, where: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise RequestError("this is not a file", where, "Name an image file")


def _file_outside_roots(where: str) -> RequestError:
    return RequestError(
        "the path is in no folder that the worker may read",
        where,
        "Add its folder to MODERATION_ALLOWED_ROOTS of the worker, or send bytes",
    )


@contextmanager
def _file_errors(where: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _PERMANENT:
            raise RequestError(
                f"the file cannot be read: {error.strerror}",
                where,
                "Check the path as the worker sees it",
            ) from error
        raise ImageUnavailable(f"the file system failed: {error.strerror}", where) from error
