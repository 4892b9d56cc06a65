"""A git repository for tests, with commits of its own and no setting of the developer's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_COMMITTER = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "An author",
    "GIT_AUTHOR_EMAIL": "author@example.org",
    "GIT_COMMITTER_NAME": "An author",
    "GIT_COMMITTER_EMAIL": "author@example.org",
}


def git(folder: Path, *arguments: str) -> str:
    """Runs git in a folder and returns what it says."""
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, **_COMMITTER}
    )
    return done.stdout


def make_repository(folder: Path) -> None:
    """Makes an empty repository in a folder, with the branch main."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "--quiet", "--initial-branch=main")


def commit_all(folder: Path, message: str = "A change") -> str:
    """Commits all that is in the folder; returns the commit's hash."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD").strip()
