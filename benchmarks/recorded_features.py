"""Seconds and peak memory of an audit of recorded features, and of their import.

    python -m benchmarks.recorded_features [--images 1000000] [--labels 20] [--json FILE] [--quick]

Setup: seeded random features of width 512 as float16, three sensitive features with FairFace's
groups and shares, one policy of so many labels (a third acting, softmax). `audit import` and
`audit run` are processes of their own; their peak memory counts the mapped pages of the file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from audit.datasets.adapters.fairface import VALIDATION_COUNTS
from audit.recordings.recording_folder import write_npy
from benchmarks import program
from moderation.encoders.encoder import Float32s

WIDTH, AT_A_TIME = 512, 8192


class Spent(NamedTuple):
    """What a process took: seconds, and bytes at the peak."""

    seconds: float
    peak: int


def random_rows(n: int, seed: int) -> Iterator[Float32s]:
    """Yields n random rows of unit length, some at a time."""
    rng = np.random.default_rng(seed)
    for start in range(0, n, AT_A_TIME):
        rows = rng.standard_normal((min(AT_A_TIME, n - start), WIDTH), dtype=np.float32)
        yield rows / np.linalg.norm(rows, axis=1, keepdims=True)


def write_features(folder: Path, n: int, labels: int) -> list[str]:
    """Writes features, annotations and texts, and returns the words that import them."""
    write_npy(folder / "features.npy", (n, WIDTH), "float16", random_rows(n, seed=0))
    rng = np.random.default_rng(1)
    columns = {
        name: pa.array(rng.choice([*sizes], n, p=np.array([*sizes.values()]) / sum(sizes.values())))
        for name, sizes in VALIDATION_COUNTS.items()
    }
    ids = pa.array([f"{i}.jpg" for i in range(n)])
    pq.write_table(pa.table({"id": ids, **columns}), folder / "labels.parquet")
    [texts] = random_rows(labels, seed=2)
    features = pa.FixedSizeListArray.from_arrays(pa.array(texts.ravel()), WIDTH)
    words = [f"thing {i}" for i in range(labels)]
    pq.write_table(pa.table({"text": words, "feature": features}), folder / "texts.parquet")
    typed = [str(folder / "features.npy"), "--labels", str(folder / "labels.parquet")]
    typed += [word for name in ("id", *columns) for word in ("--column", f"{name}={name}")]
    typed += ["--texts", str(folder / "texts.parquet"), "--model-id", "random"]
    return [*typed, "--logit-scale", "100", "--out", str(folder / "recording")]


def write_policy(path: Path, labels: int) -> None:
    """Writes a policy of which every third label can flag."""
    lines = ["schema_version: 1", "id: random", "version: 1", "title: Random labels"]
    lines += ["scoring: softmax", "decision: threshold", 'templates: ["{}"]', "labels:"]
    for i in range(labels):
        lines += [f"  - id: label-{i}", f"    prompts: [thing {i}]"]
        if i % 3 == 0:
            lines += [f"    category: category-{i % 2}", "    action: review", "    threshold: 0.5"]
            lines += ["    severity: low"]
    path.write_text("\n".join(lines) + "\n")


def taken_by(*words: str) -> Spent:
    """Returns what `audit WORDS` takes; it must succeed."""
    start = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-m", "audit", *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, child.args)
    return Spent(time.perf_counter() - start, usage.ru_maxrss * 1024)


def measured(n: int, labels: int) -> dict[str, Spent]:
    """Returns what import, an audit, and one with its report take."""
    with tempfile.TemporaryDirectory(prefix="evenhand-") as name:
        folder = Path(name)
        words = write_features(folder, n, labels)
        write_policy(folder / "random.yaml", labels)
        audited = [str(folder / "random.yaml"), "--dataset", str(folder / "recording")]
        return {
            "import": taken_by("import", *words),
            "run": taken_by("run", *audited),
            "run with --out": taken_by("run", *audited, "--out", str(folder / "report")),
        }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = program.new_parser(__doc__, quick="20,000 images")
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--labels", type=int, default=20)
    asked = parser.parse_args(arguments)
    n = 20_000 if asked.quick else asked.images
    found = measured(n, asked.labels)
    title = f"{n:,} features of {WIDTH} in float16, {asked.labels} labels"
    table = program.new_table(["audit"], ["seconds", "peak, GB"], title)
    for name, taken in found.items():
        table.add_row(name, f"{taken.seconds:.1f}", f"{taken.peak / 1e9:.2f}")
    program.new_console().print(table)
    figures = {name: taken._asdict() for name, taken in found.items()}
    program.write_json(asked.json, {**program.machine(), "images": n, "figures": figures})


if __name__ == "__main__":
    main()
