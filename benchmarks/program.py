"""What the benchmarks share as programs: options, tables, the machine, memory, a clean end."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn, Self

import psutil
from rich.console import Console
from rich.table import Table

from moderation.encoders.cores import usable

_FORMATS = ("amx_bf16", "avx512_bf16", "avx512_vnni", "avx512f")


def new_parser(doc: str | None, quick: str | None = None) -> argparse.ArgumentParser:
    """Returns a parser with `--json`, and with `--quick` where its help is given."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if quick:
        parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure there")
    return parser


def new_table(left: Sequence[str], right: Iterable[str], title: str | None = None) -> Table:
    """Returns a table without rows; the columns of `right` are aligned right."""
    table = Table(*left, title=title)
    for head in right:
        table.add_column(head, justify="right")
    return table


def new_console(width: int = 160) -> Console:
    """Returns a console for tables, so wide that they look alike in every file."""
    return Console(width=None if sys.stdout.isatty() else width)


def write_json(file: Path | None, found: Any) -> None:
    """Writes what was found into the file of `--json`, where one was named."""
    if file:
        file.write_text(json.dumps(found, indent=1) + "\n")


def machine() -> dict[str, Any]:
    """Returns what was measured on."""
    return {"cpu": _processor(), "cores": usable(), "python": platform.python_version()}


def _processor() -> str:
    """Returns the processor's name, and the number formats that it multiplies in."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {name.strip(): text.strip() for name, text in facts.items()}
    flags = facts.get("flags", "").split()
    formats = ", ".join(name for name in _FORMATS if name in flags) or "no AVX-512"
    return f"{facts.get('model name', platform.machine())} ({formats})"


def versions(*packages: str) -> dict[str, str]:
    """Returns the installed version of each package."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


@contextmanager
def child(*words: str, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Yields a Python process in the root of the checkout; the block's end ends it."""
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=Path(__file__).parent.parent,
        start_new_session=True,  # Ctrl-C is for this program, which ends the other
        **{"stderr": subprocess.DEVNULL, **more},
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def memory_mb(pid: int) -> float:
    """Returns the megabytes (10^6 bytes) of a process and its children.

    Pages that processes share are split among them (PSS).
    """
    total, top = 0, psutil.Process(pid)
    for process in (top, *top.children(recursive=True)):
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total / 1e6


class Watch:
    """A context manager: a thread that takes a look at once, and again at intervals."""

    def __init__(self, look: Callable[[], None], seconds: float) -> None:
        self._look, self._seconds = look, seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        self._look()
        while not self._stop.wait(self._seconds):
            self._look()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def run(main: Callable[[], int | None]) -> NoReturn:
    """Runs a program; SIGTERM cleans up as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)


def peak_bytes() -> float:
    """Returns the most memory that this process has held."""
    # Not ru_maxrss, which starts with the peak of the parent process.
    lines = Path("/proc/self/status").read_text().splitlines()
    [line] = (line for line in lines if line.startswith("VmHWM"))
    return float(line.split()[1]) * 1024
