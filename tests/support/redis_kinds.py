"""Redis servers of other kinds than the embedded one: with a file, other settings, behind TLS."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Self

import pytest
from kombu import pools

from moderation.local_servers import EmbeddedRedis


class ConfiguredRedis(EmbeddedRedis):
    """A real redis-server with further options, which win over the embedded one's."""

    def __init__(self, *options: str) -> None:
        super().__init__()
        self._options = options

    def _command(self) -> list[str]:
        return [*super()._command(), *self._options]


class KeepingRedis(ConfiguredRedis):
    """One that keeps what it holds when it is started again."""

    def __init__(self, folder: Path) -> None:
        super().__init__("--appendonly", "yes", "--appendfsync", "always", "--dir", str(folder))

    def start(self) -> None:
        """Starts it, with no connection left over from before."""
        super().start()
        pools.reset()


class Certificates:
    """Keys and certificates of an authority and of a server, in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        openssl = shutil.which("openssl")
        if openssl is None:
            pytest.skip("openssl, which makes the certificates, is not here")
        self._openssl, self._folder = openssl, folder
        self.authority = folder / "ca.pem"
        self.certificate, self.key = folder / "server.pem", folder / "server.key"
        new = ("-newkey", "rsa:2048", "-nodes")
        use = ("-addext", "keyUsage=critical,keyCertSign")  # Python 3.13 asks for it
        self._run("req", "-x509", *new, "-days", "2", "-subj", "/CN=an authority", *use, *_to("ca"))
        self._run("req", *new, "-subj", f"/CN={name}", *_to("server", "csr"))
        kind = "IP" if name[0].isdigit() else "DNS"
        (folder / "names").write_text(f"subjectAltName={kind}:{name}\n")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names")
        self._run("x509", "-req", "-days", "2", "-in", "server.csr", "-out", "server.pem", *signed)

    def _run(self, *words: str) -> None:
        subprocess.run([self._openssl, *words], cwd=self._folder, check=True, capture_output=True)


def _to(name: str, ending: str = "pem") -> tuple[str, ...]:
    return "-keyout", f"{name}.key", "-out", f"{name}.{ending}"


class TlsFront:
    """A context manager; inside it a port speaks TLS and passes everything on to a plain one."""

    def __init__(self, certificates: Certificates, port: int, *, ask_client: bool = False) -> None:
        authority = [str(certificates.authority)] if ask_client else []
        files = [str(certificates.certificate), str(certificates.key), *authority]
        self._command = [sys.executable, "-m", "tests.support.tls_front", str(port), *files]
        self.port = 0

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
