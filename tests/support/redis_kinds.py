"""Redis servers of other kinds than the embedded one, and what waits in the queue of one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from kombu import pools

from moderation.embedded_servers import EmbeddedRedis
from moderation.messages import QUEUES


class ConfiguredRedis(EmbeddedRedis):
    """A real redis-server with further options, which win over the embedded one's."""

    def __init__(self, *options: str) -> None:
        super().__init__()
        self._options = options

    def _server_command(self) -> list[str]:
        return [*super()._server_command(), *self._options]


class KeepingRedis(ConfiguredRedis):
    """One that keeps what it holds when it is started again."""

    def __init__(self, folder: Path) -> None:
        super().__init__("--appendonly", "yes", "--appendfsync", "always", "--dir", str(folder))

    def start(self) -> None:
        """Starts it, with no connection left over from before."""
        super().start()
        pools.reset()


def queued(connection: Any) -> list[str]:
    """Returns the ids of the interactive requests that wait, the next one first."""
    messages = reversed(connection.lrange(QUEUES["interactive"], 0, -1))
    return [json.loads(message)["headers"]["id"] for message in messages]


class Certificates:
    """Keys and certificates of an authority and of a server on localhost, in a folder."""

    def __init__(self, folder: Path) -> None:
        openssl = shutil.which("openssl")
        if openssl is None:
            import pytest  # benchmarks/gpu.py, which imports this file, needs none

            pytest.skip("openssl, which makes the certificates, is not here")
        self._openssl, self._folder = openssl, folder
        self.authority = folder / "ca.pem"
        self.certificate, self.key = folder / "server.pem", folder / "server.key"
        new = ("-newkey", "rsa:2048", "-nodes")
        use = ("-addext", "keyUsage=critical,keyCertSign")  # Python 3.13 asks for it
        self._run("req", "-x509", *new, "-days", "2", "-subj", "/CN=an authority", *use, *_to("ca"))
        self._run("req", *new, "-subj", "/CN=localhost", *_to("server", "csr"))
        (folder / "names").write_text("subjectAltName=DNS:localhost\n")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names")
        self._run("x509", "-req", "-days", "2", "-in", "server.csr", "-out", "server.pem", *signed)

    def _run(self, *words: str) -> None:
        subprocess.run([self._openssl, *words], cwd=self._folder, check=True, capture_output=True)


def _to(name: str, ending: str = "pem") -> tuple[str, ...]:
    return "-keyout", f"{name}.key", "-out", f"{name}.{ending}"


class TlsFront:
    """A context manager; inside it a port speaks TLS and passes everything on to a server."""

    def __init__(
        self, certificates: Certificates, server: EmbeddedRedis, *, ask_client: bool = False
    ) -> None:
        authority = [str(certificates.authority)] if ask_client else []
        files = [str(certificates.certificate), str(certificates.key), *authority]
        self._server = server
        self._command = [sys.executable, "-m", "tests.support.tls_front", str(server.port), *files]
        self.port = 0

    @property
    def url(self) -> str:
        """Of the server, through this port and by the name in the certificate."""
        password = self._server.url.partition("://")[2].partition("@")[0]
        return f"rediss://{password}@localhost:{self.port}/0"

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()
