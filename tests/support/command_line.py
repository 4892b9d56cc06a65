"""Our command lines as they are typed, and other programs: each a real process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from moderation.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]


def moderation(
    *words: str, env: Mapping[str, str] | None = None, stdin: str = "", cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """Returns the finished `moderation WORDS`, with more variables; its tables are wide."""
    return subprocess.run(
        [sys.executable, "-m", "moderation", *words],
        env={**os.environ, "COLUMNS": "200", **(env or {})},
        input=stdin,
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )


def clean_environment(**variables: str) -> dict[str, str]:
    """Returns the variables of a program: the caller's without its own settings, and more.

    The embedding store stays that of the run.
    """
    kept = {name for name in os.environ if not name.startswith(PREFIX) or name == f"{PREFIX}STORE"}
    return {**{name: os.environ[name] for name in kept}, **variables}


def walk_commands(command: Any, *path: str) -> Iterator[tuple[str, Any]]:
    """Yields every command that does something, by what is typed for it."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk_commands(inner, *path, name)
    if not hasattr(command, "commands"):
        yield " ".join(path), command


def leading_to(settings: Settings) -> dict[str, str]:
    """Returns the variables that lead a command to the broker and the log of these settings."""
    urls = {"BROKER_URL": settings.broker_url, "DATABASE_URL": settings.database_url}
    return {PREFIX + name: url.get_secret_value() for name, url in urls.items() if url}


def python(
    code: str, *arguments: str, env: Mapping[str, str] | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Returns the finished process of a Python program, started in the root of the checkout."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=env,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=check,
    )


def unframed(text: str) -> str:
    """Returns what an error of usage says, without the frame and the line breaks that it gets."""
    return " ".join(text.replace("│", " ").split())


def rows_of(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Returns the rows that a command printed as JSON lines."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def is_plain(text: str) -> bool:
    """Returns whether nothing in a text acts on a terminal."""
    return all(sign == "\n" or sign.isprintable() for sign in text)
