"""What the faults are done to: a Redis that remembers, and workers; all on loopback.

Each is a real process in a folder of its own, and ends with this program, however it ends.
"""

from __future__ import annotations

import random
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Self

import psutil
import redis

from moderation.local_servers import find_redis_server
from moderation.queue.celery_app import create_app, node_name
from moderation.settings import Settings

_GUARD = Path(__file__).with_name("guarded.py")
_START_SECONDS, _END_SECONDS = 30.0, 20.0
_WORKER_START_SECONDS = 120.0
#: Below the ports that outgoing connections get: while a server is down, a client that tries its
#: port could else be given that very port, and be connected to itself.
_PORTS = range(20_000, 30_000)

_MORE = re.compile(r"\(and (\d+) more like it\)")


def spawn(
    command: Sequence[str],
    log: IO[bytes],
    *,
    user: str = "",
    at_end: signal.Signals = signal.SIGKILL,
    environment: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Starts a program that does not outlive this one; call it from the main thread.

    Args:
        command: the program, with its whole path.
        log: what it prints goes there.
        user: whom it runs as; "" for the same.
        at_end: what it gets when this program is gone.
        environment: its variables; else those of this program.
        stdin: as subprocess has it.
    """
    mine = str(psutil.Process().pid)
    guarded = [sys.executable, "-I", "-S", str(_GUARD), str(int(at_end)), mine, user, *command]
    return subprocess.Popen(
        guarded,
        stdin=stdin,
        stdout=log,
        stderr=log,
        env=environment,
        start_new_session=True,  # Ctrl-C in the terminal is for the owner
    )


def end(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> None:
    """Asks a process to end, insists after a while, and waits for it."""
    process.send_signal(number)
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """Returns a port on which a server can be stopped and started again.

    Raises:
        OSError: there is none.
    """
    for port in random.SystemRandom().sample(_PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no port of 20000 to 29999 is free")


class RedisServer:
    """A context manager; a redis-server with an append-only file, on one port for good."""

    def __init__(self, folder: Path, appendfsync: str) -> None:
        """Prepares a server; `appendfsync` is when its file is written: always or everysec."""
        folder.mkdir()
        self._folder = folder
        self._appendfsync = appendfsync
        self._password = secrets.token_urlsafe(16)
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens, with the password."""
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    @property
    def version(self) -> str:
        """Its version."""
        with redis.Redis.from_url(self.url) as connection:
            return str(connection.info("server")["redis_version"])

    def start(self) -> None:
        """Starts the server with what its file holds; returns when it answers.

        Raises:
            RuntimeError: it does not start.
        """
        with (self._folder / "redis.log").open("ab") as log:
            self._process = spawn(self._command(), log, stdin=subprocess.PIPE)
        assert self._process.stdin is not None
        # On standard input, since other users can read a command line.
        self._process.stdin.write(f"requirepass {self._password}\n".encode())
        self._process.stdin.close()
        deadline = time.monotonic() + _START_SECONDS
        with redis.Redis.from_url(self.url, socket_connect_timeout=1) as connection:
            while time.monotonic() < deadline and self._process.poll() is None:
                try:
                    connection.ping()
                    return
                except redis.RedisError:  # also while it reads its file
                    time.sleep(0.02)
        raise RuntimeError(f"redis-server does not start; see {self._folder / 'redis.log'}")

    def _command(self) -> list[str]:
        options = {
            "bind": "127.0.0.1",
            "port": str(self._port),
            "dir": str(self._folder),
            "save": "",
            "appendonly": "yes",
            "appendfsync": self._appendfsync,
            "maxmemory-policy": "noeviction",
        }
        pairs = [word for name, value in options.items() for word in (f"--{name}", value)]
        return [find_redis_server(), "-", *pairs]

    def stop(self, *, kill: bool = False) -> None:
        """Ends the server: SIGTERM is what SHUTDOWN does, or SIGKILL."""
        if self._process is not None:
            end(self._process, signal.SIGKILL if kill else signal.SIGTERM)
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Worker:
    """One `moderation worker` process with a temporary folder and a log of its own."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        temporary = folder / name
        temporary.mkdir(parents=True)
        self.name = name
        self.log = folder / f"{name}.log"
        named = ["--name", name, "--model", "starter", "--policy", "policies"]
        with self.log.open("wb") as log:
            self.process = spawn(
                [sys.executable, "-m", "moderation", "worker", *named],
                log,
                environment={**environment, "TMPDIR": str(temporary)},
            )

    def decoders(self) -> list[psutil.Process]:
        """Returns its children that decode images."""
        try:
            children = psutil.Process(self.process.pid).children()
            return [one for one in children if "moderation.images.decode.child" in one.cmdline()]
        except psutil.Error:  # it, or one of them, is gone
            return []


class Crew:
    """A context manager; so many workers, and a new one for each that ends."""

    def __init__(self, count: int, folder: Path, environment: Mapping[str, str]) -> None:
        self._count = count
        self._folder = folder
        self._environment = environment
        self._started = 0
        self._seen: set[psutil.Process] = set()
        self.workers: list[Worker] = []
        #: Workers that ended without being told to.
        self.gave_up: list[str] = []

    def start(self) -> Worker:
        """Starts one worker, and returns it before it serves."""
        self._started += 1
        worker = Worker(f"worker-{self._started}", self._folder, self._environment)
        self.workers.append(worker)
        return worker

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
                raise RuntimeError(f"a worker does not start:\n{tail(ended[0].log)}")
            answers = app.control.ping(destination=sorted(names), timeout=0.5) or []
            if names <= {name for answer in answers for name in answer}:
                return
        raise RuntimeError(f"no answer of the workers:\n{tail(self.workers[0].log)}")

    def kill_oldest(self) -> Worker:
        """Kills the worker that has served longest, not its decoders; starts another."""
        self._note_children()
        worker = self.workers.pop(0)
        worker.process.kill()
        worker.process.wait()
        self.start()
        return worker

    def tend(self) -> None:
        """Starts a new worker for each that ended by itself."""
        for worker in [one for one in self.workers if one.process.poll() is not None]:
            self.workers.remove(worker)
            self.gave_up.append(f"{worker.name} ended with {worker.process.returncode}")
            self.start()

    def _note_children(self) -> None:
        self._seen.update(one for worker in self.workers for one in worker.decoders())

    def stop(self) -> None:
        """Tells all workers to end, and waits for them."""
        self._note_children()
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            end(worker.process)
        self.workers.clear()

    def left_behind(self) -> list[psutil.Process]:
        """Returns decoders that outlived their worker although they had time to notice."""
        _, alive = psutil.wait_procs(list(self._seen), timeout=60)
        return alive

    def said(self, words: str) -> int:
        """Returns how often the workers' logs say something; they put repetitions together."""
        lines = [
            line
            for log in self._folder.glob("worker-*.log")
            for line in log.read_text(errors="replace").splitlines()
            if words in line
        ]
        return len(lines) + sum(int(more) for line in lines for more in _MORE.findall(line))

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


def tail(log: Path) -> str:
    """Returns the end of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])
