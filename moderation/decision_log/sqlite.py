"""Connections to SQLite: durable, begun in time, and to a file that is still where it was opened.

SQLite goes on with a file that was removed or replaced, and says nothing: what it commits then is
nowhere. So is what it commits to a log of writes (-wal) that was removed, or under an index of it
(-shm) that others no longer share.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy import event as events
from sqlalchemy.engine import Dialect

from moderation.errors import LogUnavailable

#: How long to wait for a lock, in seconds.
LOCK_SECONDS = 5
WRITES = "decision_log_writes"

OPTIONS: dict[str, Any] = {
    # No transactions of the driver's own: it would begin them late.
    "connect_args": {"timeout": LOCK_SECONDS, "isolation_level": None},
}

#: What SQLite keeps beside the file while anybody has it open.
_BESIDE = ("-wal", "-shm")

_Identity = tuple[int, int]
#: Of no file: what was written over is no longer what was opened.
_NO_FILE: _Identity = (0, 0)


class LogFiles:
    """The files of a log, told by device and inode from others in their place.

    A connection of its own, which asks nothing, keeps those beside the log from coming and going
    with other connections.
    """

    def __init__(self, file: Path, where: str) -> None:
        """Opens nothing yet.

        Args:
            file: of the log.
            where: the log, in errors.
        """
        self._file = file.absolute()
        self._where = where
        self._lock = threading.Lock()
        self._held: sqlite3.Connection | None = None
        self._opened: dict[Path, _Identity] = {}
        self._size = 0

    @property
    def uri(self) -> str:
        """What to connect to; with it SQLite makes no file where there is none."""
        return f"{self._file.as_uri()}?mode=rw"

    def hold(self) -> None:
        """Opens the files, the first time, and notes which they are."""
        with self._lock:
            if self._held is not None:
                return
            held = sqlite3.connect(
                self.uri, uri=True, timeout=LOCK_SECONDS, check_same_thread=False
            )
            try:
                held.execute("PRAGMA schema_version").fetchall()  # opened where it is read
                self._opened = dict(self._there())
            except BaseException:
                held.close()
                raise
            self._held = held

    def check(self) -> None:
        """Raises LogUnavailable unless the files are those that were opened."""
        lost = [path for path, opened in self._opened.items() if _identity(path) != opened]
        if not lost and self._is_smaller():
            self._opened[self._file] = _NO_FILE
            lost = [self._file]
        if lost:
            names = ", ".join(path.name for path in lost)
            raise LogUnavailable(
                f"it was removed or replaced while it was open ({names})",
                self._where,
                "Put back what was there. Else stop all workers, put a whole backup there with "
                "nothing beside it (-wal, -shm), and start them; docs/decision-log.md",
            )

    def _is_smaller(self) -> bool:
        """Whether the log is smaller than it was, since another was written over it."""
        before = self._size  # read first: it grows meanwhile
        try:
            size = self._file.stat().st_size
        except OSError:  # gone since: the next look tells
            return False
        self._size = size  # what another thread noted meanwhile must not be compared
        return size < before

    def close(self) -> None:
        """Closes the connection."""
        with self._lock:
            if self._held is not None:
                self._held.close()
            self._held, self._opened = None, {}

    def _there(self) -> Iterator[tuple[Path, _Identity]]:
        real = Path(os.path.realpath(self._file))  # where SQLite has what lies beside
        for path in (self._file, *(real.with_name(real.name + end) for end in _BESIDE)):
            if (found := _identity(path)) is not None:
                yield path, found


def _identity(path: Path) -> _Identity | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def listen(engine: Engine, files: LogFiles) -> None:
    """Has the engine's connections set up, and each transaction checked before it begins."""

    @events.listens_for(engine, "do_connect")
    def connect(dialect: Dialect, _record: object, _args: Any, options: Any) -> Any:
        files.hold()
        return dialect.connect(files.uri, **options, uri=True)

    @events.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        files.check()
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    events.listen(engine, "connect", _set_up)


def _set_up(connection: sqlite3.Connection, _record: object) -> None:
    # FULL: what was acknowledged outlives a power cut.
    for pragma in ("synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF"):
        connection.execute(f"PRAGMA {pragma}")
