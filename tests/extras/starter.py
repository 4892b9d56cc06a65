"""The encoder whose weights come with packages, here in `scan`."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.extras.command import run
from tests.extras.photograph import save_photograph


def scan(model: str, **expected: str) -> None:
    """Holds an image against a policy, and sees that the verdict is of the model expected."""
    with tempfile.TemporaryDirectory() as folder:
        image = save_photograph(Path(folder) / "photograph.png")
        arguments = (str(image), "-p", "weapons", "--model", model, "--format", "jsonl")
        [line] = run("moderation", "scan", *arguments).splitlines()
    verdict = json.loads(line)
    if verdict["action"] not in ("allow", "review", "block"):
        sys.exit(f"no verdict: {line}")
    if not expected.items() <= verdict["model"].items():
        sys.exit(f"not the model {expected}: {verdict['model']}")


def main() -> None:
    """Scans with the encoder starter."""
    scan("starter", id="starter")
