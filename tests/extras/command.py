"""Our own commands, as people run them: in a process, by the program that pip installed."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

_PROGRAMS = Path(sys.executable).parent


def run(program: str, *arguments: str) -> str:
    """Returns what a command prints; it has to succeed."""
    words = [str(_PROGRAMS / program), *arguments]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, timeout=300, check=False)
    if done.returncode:
        sys.exit(f"{program} {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


def fails_with(expected: str, program: str, *arguments: str) -> None:
    """Ends the program unless a command fails with an expected message, and no traceback."""
    words = [str(_PROGRAMS / program), *arguments]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode == 0 or "Traceback" in done.stderr or expected not in done.stderr:
        sys.exit(f"{program} {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}")


def refuse_installed(*packages: str) -> None:
    """Ends the program where one of the packages was installed after all."""
    if found := [package for package in packages if find_spec(package)]:
        sys.exit(f"this extra must not bring {', '.join(found)}")
