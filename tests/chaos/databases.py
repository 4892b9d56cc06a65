"""Databases of the decision log that can be made unavailable: PostgreSQL and SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, create_engine

from tests.support.database_servers import PostgresServer, find_programs

_LOCK_SECONDS = 30


@dataclass(frozen=True)
class LogDatabase:
    """A database that can be stopped and started again.

    Attributes:
        url: as the setting has it.
        version: its name and version.
        outage: in words, what `stop` does.
        stop: makes it unavailable.
        start: makes it available again, and returns once it answers.
    """

    url: str
    version: str
    outage: str
    stop: Callable[[], object]
    start: Callable[[], object]

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """Yields connections to it that are not those of a decision log."""
        url = self.url.replace("postgresql:", "postgresql+psycopg:", 1)
        is_sqlite = url.startswith("sqlite")
        wait = {"timeout": _LOCK_SECONDS} if is_sqlite else {"connect_timeout": 5}
        engine = create_engine(url, connect_args=wait)
        yield engine
        engine.dispose()


@contextmanager
def _postgresql(folder: Path) -> Iterator[LogDatabase]:
    programs = find_programs()
    if programs is None:
        raise RuntimeError("PostgreSQL is not installed here; install it, or use --database sqlite")
    # A temporary folder is its owner's alone, and the server runs as another user.
    folder.parent.chmod(folder.parent.stat().st_mode | 0o011)
    with PostgresServer(programs, folder) as server:
        version = server.sql("postgres", "SHOW server_version").split()[0]
        yield LogDatabase(
            server.new_database(),
            f"PostgreSQL {version}",
            "immediate stop",
            server.stop,
            server.start,
        )


@contextmanager
def _sqlite(folder: Path) -> Iterator[LogDatabase]:
    """Yields a file that this program locks while it is stopped: for workers, another process."""
    folder.mkdir()
    file = folder / "decisions.sqlite"
    holders: list[sqlite3.Connection] = []

    def stop() -> None:
        holders.append(sqlite3.connect(file, timeout=_LOCK_SECONDS, isolation_level=None))
        holders[0].execute("BEGIN EXCLUSIVE")

    def start() -> None:
        while holders:
            holders.pop().close()

    yield LogDatabase(
        f"sqlite:///{file}",
        f"SQLite {sqlite3.sqlite_version}",
        "locked by another process",
        stop,
        start,
    )
    start()


def make_database(kind: str, folder: Path) -> AbstractContextManager[LogDatabase]:
    """Returns a database of that kind, in a new folder.

    Raises:
        RuntimeError: its programs are not here.
    """
    return _sqlite(folder) if kind == "sqlite" else _postgresql(folder)


def default_database() -> str:
    """Returns postgresql if its programs are here, otherwise sqlite."""
    return "postgresql" if find_programs() else "sqlite"
