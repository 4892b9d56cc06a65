"""Kills workers, decoders, Redis and the database under load: is an accepted request ever lost?

    python benchmarks/chaos.py [--submissions 2000] [--faults 10] [--workers 2]
        [--database sqlite|postgresql] [--callbacks] [--json FILE] [--quick] [--keep FOLDER]

Real processes, on loopback only: a redis-server with an append-only file, a database, workers. A
host submits photographs at a bounded rate, while each kind of fault happens so many times. Then all
is left alone until every request is final, and the decision log is asked by SQL what became of each
request that `submit` said was accepted. Exit code 1: one was lost, or answered twice.
"""
# ruff: noqa: E402

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Run as a program, the benchmark of the audit would be imported in place of the package.
sys.path[:] = [folder for folder in sys.path if Path(folder) != Path(__file__).parent]
sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.chaos.databases import default_database
from tests.chaos.report import print_report
from tests.chaos.storm import Plan, storm

ROOT = Path(__file__).parent.parent


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    """Yields the folder of the run: the one to keep, or one that is gone at the end."""
    if kept:
        kept.mkdir(parents=True)
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _plan() -> tuple[Plan, argparse.Namespace]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--submissions", type=int, default=None, help="else 2000")
    parser.add_argument("--faults", type=int, default=None, help="of each kind; else 10")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--database", choices=("sqlite", "postgresql"), help="else postgresql where it is"
    )
    parser.add_argument("--spacing", type=float, default=None, help="seconds between faults")
    parser.add_argument("--appendfsync", choices=("always", "everysec"), default="always")
    parser.add_argument("--callbacks", action="store_true", help="send webhooks too")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="300, 2 of each; within 120 s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="a new one; logs stay there")
    given = parser.parse_args()
    usual = (300, 2, 2.5) if given.quick else (2000, 10, 4.0)
    plan = Plan(
        submissions=given.submissions or usual[0],
        faults=given.faults or usual[1],
        workers=given.workers,
        database=given.database or default_database(),
        spacing=given.spacing or usual[2],
        appendfsync=given.appendfsync,
        callbacks=given.callbacks,
        seed=given.seed,
    )
    return plan, given


def main() -> int:
    """Runs it, prints a table, writes JSON where asked to; returns 1 where something is wrong."""
    plan, given = _plan()
    os.chdir(ROOT)
    with _folder(given.keep) as folder:
        outcome = storm(plan, folder)
    print_report(outcome.as_json())
    if given.json:
        given.json.write_text(json.dumps(outcome.as_json(), indent=2) + "\n")
    return 0 if outcome.is_clean else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # cleans up as Ctrl-C does
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
