"""A real PostgreSQL for tests, on loopback, in a folder of its own; gone when it is closed."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import Self

from tests.support.waiting import PATIENCE_SECONDS

_INSTALLED = Path("/usr/lib/postgresql")
_PASSWORD = "p4ss-word"  # in every URL of a test, so that one that is repeated shows


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def find_programs() -> Path | None:
    """Returns the folder of PostgreSQL's programs, the newest where there are several."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = [path.parent for path in _INSTALLED.glob("*/bin/initdb")]
    return max(versions, key=lambda path: float(path.parent.name), default=None)


class PostgresServer:
    """A PostgreSQL server that can be stopped as a power cut would, and started again."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="evenhand-postgresql-"))
        # The server refuses to run as root; Debian's package makes a user for it.
        self._user = "postgres" if os.getuid() == 0 else None
        if self._user:
            os.chown(self._folder, pwd.getpwnam(self._user).pw_uid, -1)
        self.port = 0

    def __enter__(self) -> Self:
        password = self._folder / "password"
        password.write_text(_PASSWORD)
        password.chmod(0o644)
        options = ["-U", "evenhand", "-E", "UTF8", "--locale=C", "-A", "scram-sha-256", "-N"]
        self._run("initdb", *options, "--pwfile", str(password), "-D", self._data)
        for left in (2, 1, 0):  # another process may take the free port first
            self.port = _free_port()
            try:
                self.start()
                break
            except RuntimeError:
                if not left:
                    raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Starts the server; returns once it answers."""
        options = f"-h 127.0.0.1 -p {self.port} -k '' -c max_connections=200"
        log = str(self._folder / "server.log")
        patience = str(int(PATIENCE_SECONDS))
        said = ("-w", "-t", patience, "-l", log, "-o", options)
        self._run("pg_ctl", "-D", self._data, *said, "start")

    def stop(self) -> None:
        """Ends the server at once, without telling its clients."""
        self._run("pg_ctl", "-D", self._data, "-w", "-m", "immediate", "stop", check=False)

    def new_database(self) -> str:
        """Returns the URL of a new, empty database."""
        name = f"test_{uuid.uuid4().hex}"
        self.sql("postgres", f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, name: str) -> str:
        """Returns the URL of a database."""
        return f"postgresql://evenhand:{_PASSWORD}@127.0.0.1:{self.port}/{name}"

    def sql(self, database: str, statement: str) -> str:
        """Runs a statement with PostgreSQL's own client and returns what it prints, bare."""
        return self._run("psql", "-XAtq", self.url(database), "-c", statement)

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def _run(self, program: str, *arguments: str, check: bool = True) -> str:
        # Not a pipe for what the server inherits: it would be held open until the server ends.
        with tempfile.TemporaryFile("w+") as said:
            done = subprocess.run(
                [str(self._programs / program), *arguments],
                stdout=said,
                stderr=subprocess.STDOUT,
                user=self._user,
                cwd=self._folder,
                check=False,
            )
            said.seek(0)
            text = said.read()
        if check and done.returncode:
            raise RuntimeError(f"{program} fails: {text}")
        return text.strip()
