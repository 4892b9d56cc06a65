"""A real PostgreSQL for tests, on loopback and with its safe settings; gone when it is closed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import Self

from tests.support.server_processes import end, free_port, guarded
from tests.support.waiting import until

_INSTALLED = Path("/usr/lib/postgresql")
_PASSWORD = "p4ss-word"  # in every URL of a test, so that one that is repeated shows


def find_programs() -> Path | None:
    """Returns the folder of PostgreSQL's programs, the newest of several; None without."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = [path.parent for path in _INSTALLED.glob("*/bin/initdb")]
    return max(versions, key=lambda path: float(path.parent.name), default=None)


class PostgresServer:
    """A PostgreSQL server that can be stopped without notice, and started again."""

    def __init__(self, programs: Path, folder: Path | None = None) -> None:
        """Prepares a server.

        Args:
            programs: from `find_programs`.
            folder: a new one, for the data and logs; by default a temporary one.
        """
        self._programs = programs
        self._is_temporary = folder is None
        self._folder = folder or Path(tempfile.mkdtemp(prefix="evenhand-postgresql-"))
        self._folder.mkdir(exist_ok=True)
        # The server refuses to run as root; Debian's package makes a user for it.
        self._user = "postgres" if os.getuid() == 0 else None
        if self._user:
            shutil.chown(self._folder, self._user)
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        password = self._folder / "password"
        password.write_text(_PASSWORD)
        password.chmod(0o644)
        options = ["-U", "evenhand", "-E", "UTF8", "--locale=C", "-A", "scram-sha-256", "-N"]
        self._run("initdb", *options, "--pwfile", str(password), "-D", self._data)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._is_temporary:
            shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Starts the server; returns once it answers.

        Raises:
            RuntimeError: it does not start.
        """
        address = ["-h", "127.0.0.1", "-p", str(self._port), "-k", "", "-c", "max_connections=200"]
        command = [str(self._programs / "postgres"), "-D", self._data, *address]
        with (self._folder / "server.log").open("ab") as log:
            self._process = process = subprocess.Popen(
                guarded(command, "QUIT"),
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self._folder,
                start_new_session=True,  # Ctrl-C in the terminal is for the owner
            )
        until(lambda: self._answers() or process.poll() is not None)
        if process.poll() is not None:
            raise RuntimeError(f"PostgreSQL does not start: {Path(log.name).read_text()}")

    def stop(self) -> None:
        """Ends the server at once, as `pg_ctl stop -m immediate` does."""
        if self._process is not None:
            end(self._process, signal.SIGQUIT)
            self._process = None

    def new_database(self) -> str:
        """Returns the URL of a new, empty database."""
        name = f"test_{uuid.uuid4().hex}"
        self.sql("postgres", f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, name: str) -> str:
        """Returns the URL of a database."""
        return f"postgresql://evenhand:{_PASSWORD}@127.0.0.1:{self._port}/{name}"

    def sql(self, database: str, statement: str) -> str:
        """Runs a statement with PostgreSQL's own client and returns what it prints, bare."""
        return self._run("psql", "-XAtq", self.url(database), "-c", statement)

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def _answers(self) -> bool:
        address = ["-h", "127.0.0.1", "-p", str(self._port), "-q"]
        return not subprocess.run([self._programs / "pg_isready", *address]).returncode

    def _run(self, program: str, *arguments: str) -> str:
        command = [str(self._programs / program), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, user=self._user, cwd=self._folder
        )
        if done.returncode:
            raise RuntimeError(f"{program} fails: {done.stdout}{done.stderr}")
        return done.stdout.strip()
