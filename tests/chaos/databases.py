"""Databases of the decision log that can be made unavailable for real: PostgreSQL and SQLite."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Protocol, Self

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from tests.chaos.servers import end, free_port, spawn

_START_SECONDS = 30.0
_PROGRAMS = "/usr/lib/postgresql"

#: Holds SQLite's lock for writing until it is killed; says so once it has it.
_HOLD = (
    "import sqlite3, sys, time; held = sqlite3.connect(sys.argv[1], timeout=30, "
    "isolation_level=None); held.execute('BEGIN EXCLUSIVE'); print('held', flush=True); "
    "time.sleep(600)"
)


class Database(Protocol):
    """A context manager; a database that can be stopped and started again."""

    url: str
    outage: str

    def stop(self) -> None:
        """Makes it unavailable."""
        ...

    def start(self) -> None:
        """Makes it available again; returns when it answers."""
        ...

    def version(self) -> str:
        """Returns its name and version."""
        ...

    def engine(self) -> Engine:
        """Returns a new connection pool to it, in its own name."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def find_postgresql() -> Path | None:
    """Returns the folder with PostgreSQL's programs, of the newest version; None without."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    folders = Path(_PROGRAMS).glob("*/bin/initdb")
    newest = sorted(folders, key=lambda path: float(path.parent.parent.name))
    return newest[-1].parent if newest else None


class PostgresServer:
    """A PostgreSQL server with its safe settings; stopped, it loses what it had not written."""

    outage = "immediate stop"

    def __init__(self, folder: Path, programs: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._data = folder / "data"
        self._programs = programs
        self._password = secrets.token_urlsafe(16)
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        # It refuses to run as root, and brings a user of its own.
        self._user = "postgres" if os.geteuid() == 0 else ""
        self.url = f"postgresql://chaos:{self._password}@127.0.0.1:{self._port}/postgres"

    def _prepare(self) -> None:
        """Makes a new database.

        Raises:
            RuntimeError: initdb fails.
        """
        if self._user:
            shutil.chown(self._folder, self._user)
            above = self._folder.parent  # a temporary folder is its owner's alone
            above.chmod(above.stat().st_mode | 0o011)
        secret = self._folder / "password"
        secret.write_text(self._password)
        options = ["--auth=scram-sha-256", "--username=chaos", f"--pwfile={secret}"]
        initdb = [str(self._programs / "initdb"), *options, "--encoding=UTF8", "--locale=C.UTF-8"]
        if self._user:
            shutil.chown(secret, self._user)
        with (self._folder / "initdb.log").open("wb") as log:
            made = spawn([*initdb, "-D", str(self._data)], log, user=self._user)
            if made.wait() != 0:
                raise RuntimeError(f"initdb fails; see {log.name}")
        secret.unlink()

    def start(self) -> None:
        """Starts the server, which recovers first; returns when it answers.

        Raises:
            RuntimeError: it does not start.
        """
        address = ["-h", "127.0.0.1", "-p", str(self._port), "-k", ""]
        command = [str(self._programs / "postgres"), "-D", str(self._data), *address]
        with (self._folder / "postgresql.log").open("ab") as log:
            self._process = spawn(command, log, user=self._user, at_end=signal.SIGQUIT)
        engine, deadline = self.engine(), time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with engine.connect():
                    engine.dispose()
                    return
            except OperationalError:
                time.sleep(0.05)
        raise RuntimeError(f"PostgreSQL does not start; see {self._folder / 'postgresql.log'}")

    def stop(self) -> None:
        """Ends the server at once, as `pg_ctl stop -m immediate` does."""
        if self._process is not None:
            end(self._process, signal.SIGQUIT)
            self._process = None

    def version(self) -> str:
        """Returns its name and version."""
        engine = self.engine()
        with engine.connect() as connection:
            version = connection.execute(text("SHOW server_version")).scalar_one()
        engine.dispose()
        return f"PostgreSQL {str(version).split()[0]}"

    def engine(self) -> Engine:
        """Returns a new connection pool to it, in its own name."""
        url = self.url.replace("postgresql:", "postgresql+psycopg:", 1)
        return create_engine(url, connect_args={"connect_timeout": 5})

    def __enter__(self) -> Self:
        self._prepare()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class SqliteFile:
    """A SQLite file; another process locks everybody else out of writing while it is stopped."""

    outage = "locked by another process"

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._file = folder / "decisions.sqlite"
        self._log = folder / "lock.log"
        self._holder: subprocess.Popen[bytes] | None = None
        self.url = f"sqlite:///{self._file}"

    def stop(self) -> None:
        """Returns once another process has the file for itself.

        Raises:
            RuntimeError: it does not get it.
        """
        with self._log.open("wb") as log:
            command = [sys.executable, "-I", "-c", _HOLD, str(self._file)]
            self._holder = spawn(command, log)
        while self._holder.poll() is None:
            if "held" in self._log.read_text():
                return
            time.sleep(0.01)
        raise RuntimeError(f"the lock is not to be had: {self._log.read_text()}")

    def start(self) -> None:
        """Ends the process that has the file; its lock goes with it."""
        if self._holder is not None:
            end(self._holder, signal.SIGKILL)
            self._holder = None

    def version(self) -> str:
        """Returns its name and version."""
        engine = self.engine()
        with engine.connect() as connection:
            version = connection.execute(text("SELECT sqlite_version()")).scalar_one()
        engine.dispose()
        return f"SQLite {version}"

    def engine(self) -> Engine:
        """Returns a new connection pool to it, in its own name."""
        return create_engine(self.url, connect_args={"timeout": 30})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.start()


def make_database(kind: str, folder: Path) -> Database:
    """Returns a database of that kind, in a new folder.

    Raises:
        RuntimeError: its programs are not here.
    """
    if kind == "sqlite":
        return SqliteFile(folder)
    if programs := find_postgresql():
        return PostgresServer(folder, programs)
    raise RuntimeError("PostgreSQL's programs are not here; install it, or use --database sqlite")


def default_database() -> str:
    """Returns postgresql where its programs are, else sqlite."""
    return "postgresql" if find_postgresql() else "sqlite"
