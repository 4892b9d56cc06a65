"""What the faults are done to: a Redis that keeps its data, a database, workers; on loopback.

Each is a real process with a folder of its own, and does not outlive this program.
"""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil
import redis
from sqlalchemy import Engine, create_engine

from moderation.queue.celery_app import create_app, node_name
from moderation.settings import Settings
from tests.support.database_servers import PostgresServer, find_programs
from tests.support.redis_kinds import ConfiguredRedis
from tests.support.server_processes import end, free_port, guarded

_WORKER_START_SECONDS = 120.0

_LOCK_SECONDS = 30

_MORE = re.compile(r"\(and (\d+) more like it\)")


class RedisWithFile(ConfiguredRedis):
    """A context manager; a redis-server with an append-only file, always on the same port."""

    def __init__(self, folder: Path, appendfsync: str) -> None:
        """Prepares a server; `appendfsync` is when its file is written: always or everysec."""
        folder.mkdir()
        files = ("--dir", str(folder), "--logfile", "redis.log")
        super().__init__(*files, "--appendonly", "yes", "--appendfsync", appendfsync)
        self.port = free_port()

    def _server_command(self) -> list[str]:
        return guarded(super()._server_command())

    @property
    def version(self) -> str:
        """Its version."""
        with redis.Redis.from_url(self.url) as connection:
            return str(connection.info("server")["redis_version"])

    def stop(self, *, kill: bool = False) -> None:
        """Ends the server as SHUTDOWN does, or with SIGKILL."""
        if kill and self._process is not None:
            self._process.kill()
        super().stop()


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


class WorkerProcess:
    """One `moderation worker` process with its own temporary folder and log."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        temporary = folder / name
        temporary.mkdir(parents=True)
        self.name = name
        self.log = folder / f"{name}.log"
        options = ["--name", name, "--model", "starter", "--policy", "policies", "--processes", "1"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                guarded([sys.executable, "-m", "moderation", "worker", *options]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environment, "TMPDIR": str(temporary)},
                start_new_session=True,  # Ctrl-C in the terminal is for the owner
            )

    def decoders(self) -> list[psutil.Process]:
        """Returns its children that decode images."""
        try:
            children = psutil.Process(self.process.pid).children()
            return [one for one in children if "moderation.images.decode.child" in one.cmdline()]
        except psutil.Error:  # it, or one of them, is gone
            return []

    def log_end(self) -> str:
        """Returns the end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


class Crew:
    """A context manager; a number of workers, and a new one for each that ends."""

    def __init__(self, count: int, folder: Path, environment: Mapping[str, str]) -> None:
        self._count = count
        self._folder = folder
        self._environment = environment
        self._started = 0
        self._seen: set[psutil.Process] = set()
        self.workers: list[WorkerProcess] = []
        #: Workers that ended by themselves.
        self.gave_up: list[str] = []

    def start(self) -> None:
        """Starts one worker, and returns before it serves."""
        self._started += 1
        name = f"worker-{self._started}"
        self.workers.append(WorkerProcess(name, self._folder, self._environment))

    def wait_until_ready(self, settings: Settings) -> None:
        """Returns when all workers answer.

        Raises:
            RuntimeError: one does not.
        """
        app = create_app(settings)
        deadline = time.monotonic() + _WORKER_START_SECONDS
        names = {node_name(worker.name) for worker in self.workers}
        while time.monotonic() < deadline:
            if ended := [one for one in self.workers if one.process.poll() is not None]:
                raise RuntimeError(f"a worker does not start:\n{ended[0].log_end()}")
            answers = app.control.ping(destination=sorted(names), timeout=0.5) or []
            if names <= {name for answer in answers for name in answer}:
                return
        raise RuntimeError(f"the workers do not answer:\n{self.workers[0].log_end()}")

    def kill(self, worker: WorkerProcess) -> None:
        """Kills a worker, but not its decoders; starts another."""
        self._note_decoders()
        self.workers.remove(worker)
        worker.process.kill()
        worker.process.wait()
        self.start()

    def tend(self) -> None:
        """Starts a new worker for each that ended by itself."""
        for worker in [one for one in self.workers if one.process.poll() is not None]:
            self.workers.remove(worker)
            self.gave_up.append(f"{worker.name} ended with {worker.process.returncode}")
            self.start()

    def _note_decoders(self) -> None:
        self._seen.update(one for worker in self.workers for one in worker.decoders())

    def stop(self) -> None:
        """Asks all workers to end, and waits for them."""
        self._note_decoders()
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            end(worker.process)
        self.workers.clear()

    def left_behind(self) -> list[psutil.Process]:
        """Returns decoders that outlived their worker although they had time to notice."""
        _, alive = psutil.wait_procs(list(self._seen), timeout=60)
        return alive

    def count_logged(self, words: str) -> int:
        """Returns how often the workers logged these words; they fold repeated lines."""
        lines = [line for line in self._log_lines() if words in line]
        return len(lines) + sum(int(more) for line in lines for more in _MORE.findall(line))

    def sum_logged(self, line: re.Pattern[str]) -> int:
        """Returns how often workers logged a line, also where it stands for more like it.

        Those are the number that the pattern has found, if it finds one.
        """
        found = (more for each in self._log_lines() for more in line.findall(each))
        return sum(1 + int(more or 0) for more in found)

    def _log_lines(self) -> Iterator[str]:
        for log in self._folder.glob("worker-*.log"):
            yield from log.read_text(errors="replace").splitlines()

    def __enter__(self) -> Self:
        for _ in range(self._count):
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.process.kill()
            worker.process.wait()
        for process in self.left_behind():
            process.kill()
