"""Pages of worked examples: what is typed there is run, and what is said there can be compared.

Shares and their bounds are computed here by themselves, so that a page is not compared with the
code that it shows alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.pages import DOCS, Block, read_sections

Row = dict[str, Any]


class Clone(NamedTuple):
    """A folder that looks like a clone with the data in it to the commands on the pages."""

    folder: Path

    def run(self, command: str, code: int = 0) -> str:
        """Returns what a command line prints."""
        own = {k: v for k, v in os.environ.items() if not k.startswith(("AUDIT_", "MODERATION_"))}
        programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        variables = {**own, "PATH": programs, "XDG_CACHE_HOME": str(self.folder / "cache")}
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=variables, capture_output=True, text=True
        )
        assert done.returncode == code, done.stderr
        return done.stdout

    def results(self, command: str) -> Row:
        """Returns the results of an audit as it is typed on a page."""
        found: Row = json.loads(self.run(f"{command} --format json"))
        return found


def pick(rows: list[Row], **wanted: Any) -> Row:
    """Returns the one row that has these values."""
    [row] = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return row


def blocks(page: str, language: str) -> list[Block]:
    """Returns the fenced blocks of a page that are in a language, in their order."""
    every = [block for part in read_sections(DOCS / page) for block in part.blocks]
    return [block for block in every if block.language == language]


def prose(page: str) -> str:
    """Returns what a page says outside its fenced blocks, as one line."""
    return " ".join(" ".join(part.prose for part in read_sections(DOCS / page)).split())


def wilson(count: int, n: int) -> tuple[float, float]:
    """Returns the bounds of a share at 95 %."""
    z, share = 1.959963984540054, count / n
    middle = share + z**2 / (2 * n)
    reach = z * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return (middle - reach) / (1 + z**2 / n), (middle + reach) / (1 + z**2 / n)


def share(count: int, n: int) -> str:
    """Returns a share as the pages write it: 92.6 % [86.9, 95.9]."""
    low, high = wilson(count, n)
    return f"{100 * count / n:.1f} % [{100 * max(low, 0):.1f}, {100 * min(high, 1):.1f}]"


def counted(count: int, n: int) -> str:
    """Returns a count with its share: 125 of 135, 92.6 % [86.9, 95.9]."""
    return f"{count:,} of {n:,}, {share(count, n)}"


def with_share(count: int, n: int) -> str:
    """Returns a count with its share, where n stands beside it: 125, 92.6 % [86.9, 95.9]."""
    return f"{count:,}, {share(count, n)}"


def load_results(report: Path) -> Row:
    """Returns the results in a folder that `--out` wrote."""
    found: Row = json.loads((report / "results.json").read_text(encoding="utf-8"))
    return found
