"""Seconds and peak memory of an audit of what a system said, on millions of rows.

    python -m benchmarks.prediction_rows [--rows 10000000] [--json FILE] [--quick]

Setup: a seeded log of production in Parquet, made by DuckDB: an id of 32 characters, a time, three
sensitive features, a decision, and a score. `audit run` is a process of its own; once with the ids
checked, once by the score, and once with its report.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import duckdb

from benchmarks import program
from benchmarks.recorded_features import Spent, taken_by

#: A row by its number i. hash() is seeded by its argument alone.
_LOG = """
COPY (
    SELECT md5(i::VARCHAR) AS request_id,
        TIMESTAMP '2026-10-01' + INTERVAL (i % 2600000) SECOND AS time,
        CASE WHEN hash(i, 1) % 100 < 48 THEN 'Female'
             WHEN hash(i, 1) % 100 < 97 THEN 'Male' ELSE 'nonbinary' END AS gender,
        ['18-24', '25-34', '35-49', '50+'][1 + (hash(i, 2) % 4)::INT] AS age,
        ['de', 'en', 'fr', 'hi', 'pt', 'ja'][1 + (hash(i, 3) % 6)::INT] AS language,
        CASE WHEN hash(i, 4) % 1000 < 12 THEN 'block'
             WHEN hash(i, 4) % 1000 < 40 THEN 'review' ELSE 'allow' END AS decision,
        (hash(i, 5) % 10000 / 10000.0)::FLOAT AS score
    FROM range({rows}) AS numbers(i)
) TO '{path}'
"""


def write_log(path: Path, rows: int) -> None:
    """Writes so many rows of production."""
    with duckdb.connect(config={"memory_limit": "1GB"}) as connection:
        connection.execute(_LOG.format(rows=rows, path=path))


def measured(rows: int) -> dict[str, Spent]:
    """Returns what audits of so many rows take."""
    with tempfile.TemporaryDirectory(prefix="evenhand-") as name:
        log = Path(name) / "production.parquet"
        write_log(log, rows)
        of_log = ("--predictions", str(log), "--by", "gender", "--by", "age", "--by", "language")
        decisions = (*of_log, "--decision", "decision")
        return {
            "decisions": taken_by("run", *decisions),
            "decisions, ids checked": taken_by("run", *decisions, "--column", "id=request_id"),
            "scores": taken_by("run", *of_log, "--score", "score@0.97,0.9"),
            "decisions, with --out": taken_by(
                "run", *decisions, "--out", str(Path(name) / "report")
            ),
        }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = program.new_parser(__doc__, quick="100,000 rows")
    parser.add_argument("--rows", type=int, default=10_000_000)
    asked = parser.parse_args(arguments)
    rows = 100_000 if asked.quick else asked.rows
    found = measured(rows)
    table = program.new_table(
        ["audit run"], ["seconds", "peak, GB"], f"{rows:,} rows of production"
    )
    for name, taken in found.items():
        table.add_row(name, f"{taken.seconds:.1f}", f"{taken.peak / 1e9:.2f}")
    program.new_console().print(table)
    figures = {name: taken._asdict() for name, taken in found.items()}
    program.write_json(asked.json, {**program.machine(), "rows": rows, "figures": figures})


if __name__ == "__main__":
    main()
