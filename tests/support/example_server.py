"""An example as a program of its own, and a browser that sees its pages."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.support.server_processes import free_port
from tests.support.waiting import PATIENCE_SECONDS, until

ROOT = Path(__file__).parents[2]


@contextmanager
def served(example: str, command: str, env: dict[str, str]) -> Iterator[httpx.Client]:
    """Runs `python COMMAND PORT` in an example's folder; yields a browser that sees its pages."""
    words, folder = [sys.executable, *command.split()], ROOT / "examples" / example
    with tempfile.TemporaryFile() as log, ExitStack() as stack:
        for _ in range(3):  # another program may take the port before this one does
            port = str(free_port())
            process = stack.enter_context(
                subprocess.Popen([*words, port], cwd=folder, env=env, stdout=log, stderr=log)
            )
            stack.callback(process.kill)
            url = f"http://127.0.0.1:{port}"
            browser = stack.enter_context(
                httpx.Client(base_url=url, timeout=PATIENCE_SECONDS, trust_env=False)
            )
            if _example_starts(process, browser):
                break
        else:
            log.seek(0)
            pytest.fail(f"{example} does not start: {log.read().decode()[-2000:]}")
        yield browser


def _example_starts(process: subprocess.Popen[bytes], browser: httpx.Client) -> bool:
    """Returns whether the program answers, and has not ended."""

    def answers() -> bool:
        with suppress(httpx.TransportError):
            return bool(browser.get("/").status_code)
        return False

    until(lambda: process.poll() is not None or answers())
    return process.poll() is None
