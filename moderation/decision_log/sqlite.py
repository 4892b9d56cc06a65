"""Connections to SQLite: durable, begun in time, and to a file that is still where it was opened.

SQLite goes on silently with a file that was removed or replaced, and what it commits then is lost.
The same holds for a write-ahead log (-wal) that was removed, and for an index of it (-shm) that
other processes no longer share.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy import event as events
from sqlalchemy.engine import Dialect

from moderation.errors import LogError, LogUnavailable

#: How long to wait for a lock, in seconds.
LOCK_SECONDS = 5
_WAL_SECONDS = 20.0
#: How often to look whether another process has let go of the lock, in seconds.
_LOOK_SECONDS = 0.002
#: The execution option of a transaction that writes.
WRITES = "decision_log_writes"

OPTIONS: dict[str, Any] = {
    # The driver opens no transactions by itself, since it would begin them late.
    "connect_args": {"timeout": LOCK_SECONDS, "isolation_level": None},
}

#: What SQLite keeps beside the file while anybody has it open.
_BESIDE = ("-wal", "-shm")
#: Result codes that say another process has the file for a moment.
_HELD = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

_Identity = tuple[int, int]
#: The identity of no file, for one that was overwritten and so is not what was opened.
_NO_FILE: _Identity = (0, 0)


class SqliteFiles:
    """The files of a log, known by device and inode, so that others in their place are noticed.

    An idle connection keeps the files beside the log from coming and going with the connections
    that are used.
    """

    def __init__(self, file: Path, where: str) -> None:
        """Takes the log's file and its name in errors; opens nothing yet."""
        self._file = file.absolute()
        self._where = where
        self._lock = threading.Lock()
        self._held: sqlite3.Connection | None = None
        self._opened: dict[Path, _Identity] = {}
        self._size = 0

    @property
    def uri(self) -> str:
        """What to connect to; SQLite does not create a file under it."""
        return f"{self._file.as_uri()}?mode=rw"

    def hold(self) -> None:
        """Opens the files the first time it is called, and notes which they are."""
        with self._lock:
            if self._held is not None:
                return
            held = sqlite3.connect(
                self.uri, uri=True, timeout=LOCK_SECONDS, check_same_thread=False
            )
            try:
                held.execute("PRAGMA schema_version").fetchall()  # reading is what opens the file
                # SQLite keeps the others beside the real file.
                real = Path(os.path.realpath(self._file))
                beside = [real.with_name(real.name + end) for end in _BESIDE]
                found = {path: _sqlite_identity(path) for path in (self._file, *beside)}
                self._opened = {path: its for path, its in found.items() if its is not None}
            except BaseException:
                held.close()
                raise
            self._held = held

    def check(self) -> None:
        """Raises LogUnavailable unless the files are those that were opened."""
        lost = [path for path, opened in self._opened.items() if _sqlite_identity(path) != opened]
        if not lost and self._is_smaller():
            self._opened[self._file] = _NO_FILE
            lost = [self._file]
        if lost:
            names = ", ".join(path.name for path in lost)
            raise LogUnavailable(
                f"it was removed or replaced while it was open ({names})",
                self._where,
                "Put back what was there. Otherwise stop all workers, put a whole backup there "
                "with nothing beside it (-wal, -shm), and start them; docs/decision-log.md",
            )

    def _is_smaller(self) -> bool:
        """Returns whether the log has shrunk, which shows that another was written over it."""
        before = self._size  # read first, since the file may grow meanwhile
        try:
            size = self._file.stat().st_size
        except OSError:  # it has just gone: the next check notices
            return False
        self._size = size  # not compared with: another thread may have noted a later size
        return size < before

    def close(self) -> None:
        """Closes the connection that holds SQLite's files."""
        with self._lock:
            if self._held is not None:
                self._held.close()
            self._held, self._opened = None, {}


def _sqlite_identity(path: Path) -> _Identity | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def prepare_sqlite(engine: Engine, files: SqliteFiles) -> None:
    """Sets the engine's connections up, and checks the files before each transaction begins."""

    @events.listens_for(engine, "do_connect")
    def connect_sqlite(dialect: Dialect, _record: object, _args: Any, options: Any) -> Any:
        files.hold()
        return dialect.connect(files.uri, **options, uri=True)

    @events.listens_for(engine, "begin")
    def begin_sqlite(connection: Connection) -> None:
        files.check()
        if connection.get_execution_options().get(WRITES):
            _begin_writing(connection)
        else:
            connection.exec_driver_sql("BEGIN")

    @events.listens_for(engine, "connect")
    def set_sqlite_pragmas(connection: sqlite3.Connection, _record: object) -> None:
        # FULL, so that what was acknowledged survives a power cut.
        for pragma in ("synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF"):
            connection.execute(f"PRAGMA {pragma}")


def _begin_writing(connection: Connection) -> None:
    """Begins a transaction that writes, as soon as other processes let it.

    SQLite itself looks again after pauses of up to 100 ms, in which another process that writes
    batch after batch comes first again and again.
    """
    driver: Any = connection.connection.driver_connection
    [patience] = driver.execute("PRAGMA busy_timeout").fetchone()
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        deadline = time.monotonic() + patience / 1000
        while time.monotonic() < deadline:
            try:
                driver.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in _HELD:
                    break
            time.sleep(_LOOK_SECONDS)
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # once more, for an error of the log's own
    finally:
        driver.execute(f"PRAGMA busy_timeout = {patience}")


def write_ahead(engine: Engine, where: str) -> None:
    """Turns SQLite's write-ahead log on, for good: readers and the writer no longer wait.

    That takes the file exclusively for a moment, and SQLite itself does not wait for it.

    Raises:
        LogError: the file is not a database. LogUnavailable: it cannot be used.
    """
    deadline = time.monotonic() + _WAL_SECONDS
    while True:
        try:
            with closing(engine.raw_connection()) as raw:
                raw.cursor().execute("PRAGMA journal_mode = WAL")
                return
        except sqlite3.Error as error:
            if not isinstance(error, sqlite3.OperationalError):
                what, remedy = f"the file is not a decision log ({error})", "Name another file"
                raise LogError(what, where, remedy) from error
            if error.sqlite_errorcode & 0xFF not in _HELD or time.monotonic() > deadline:
                what = f"the file cannot be used ({error})"
                raise LogUnavailable(what, where, "Check its folder and disk") from error
        time.sleep(0.05)
