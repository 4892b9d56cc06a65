"""The main job, end to end."""

from __future__ import annotations

import json

from tests.extras.command import run


def main() -> None:
    """Runs the demo, and finds a verdict of each policy for each photograph."""
    rows = [
        json.loads(line) for line in run("moderation", "demo", "--format", "jsonl").splitlines()
    ]
    assert len(rows) >= 60
    assert all(row["action"] in ("allow", "review", "block") for row in rows)
