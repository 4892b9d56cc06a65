"""Kills workers, decoders, Redis and the database under load: is an accepted request ever lost?

    python benchmarks/chaos.py [--submissions 2000] [--faults 10] [--workers 2]
        [--database sqlite|postgresql] [--callbacks] [--json FILE] [--quick] [--keep FOLDER]

Real processes, on loopback only: a redis-server with an append-only file, a database, workers. A
host submits photographs at a bounded rate, while each kind of fault happens a number of times. Then
nothing more happens until every request is final, and SQL asks the decision log what became of each
request that `submit` accepted. Exit code 1: one was lost, or answered twice.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import program
from tests.chaos.report import print_report
from tests.chaos.servers import default_database
from tests.chaos.storm import StormPlan, storm

ROOT = Path(__file__).parent.parent


@contextmanager
def _folder(lasting: Path | None) -> Iterator[Path]:
    """Yields the folder of the run: the one that stays, or one that is gone at the end."""
    if lasting:
        lasting.mkdir(parents=True)
        yield lasting.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _options() -> argparse.Namespace:
    parser = program.new_parser(__doc__, quick="300, 2 of each; within 120 s")
    parser.add_argument("--submissions", type=int, help="2000 by default")
    parser.add_argument("--faults", type=int, help="of each kind; 10 by default")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--database",
        choices=("sqlite", "postgresql"),
        default=default_database(),
        help="postgresql by default, where it is installed",
    )
    parser.add_argument("--spacing", type=float, help="seconds between faults")
    parser.add_argument("--appendfsync", choices=("always", "everysec"), default="always")
    parser.add_argument("--callbacks", action="store_true", help="send webhooks too")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="a new one; logs stay there")
    return parser.parse_args()


def main() -> int:
    """Runs it, prints a table, writes JSON if asked to; returns 1 if something is wrong."""
    given = _options()
    usual = (300, 2, 2.5) if given.quick else (2000, 10, 4.0)
    plan = StormPlan(
        submissions=given.submissions or usual[0],
        faults=given.faults or usual[1],
        workers=given.workers,
        database=given.database,
        spacing=given.spacing or usual[2],
        appendfsync=given.appendfsync,
        callbacks=given.callbacks,
        seed=given.seed,
    )
    os.chdir(ROOT)
    with _folder(given.keep) as folder:
        result = storm(plan, folder)
    print_report(result.as_json())
    program.write_json(given.json, result.as_json())
    return 0 if result.is_clean else 1


if __name__ == "__main__":
    program.run(main)
