"""What opening a large embedding store costs for a few images, against reading all of its files.

    python benchmarks/store_opening.py [--images 100000] [--asked 5] [--runs 5] [--json FILE]

Both sides verify what they use; their rows must be equal. Each measurement is a fresh process, of
which the seconds are from opening the store to having the rows, without imports.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import program
from benchmarks.random_encoder import SPACE, fill_store, image_keys
from moderation.encoders.encoder import Float32s
from moderation.features import EmbeddingStore
from moderation.features.store_files import read_part


class TakenRows(NamedTuple):
    """One way to get rows of a store: seconds, bytes at the peak, and the hash of the rows."""

    seconds: float
    peak: float
    sha256: str


def all_files_read(folder: Path, keys: list[str]) -> Float32s:
    """Returns rows as a store does that reads and verifies each of its files first."""
    rows: dict[bytes, Float32s] = {}
    for path in sorted((folder / SPACE.folder).glob("part-*.parquet")):
        part = read_part(path, SPACE)
        rows.update(zip(part.keys, part.rows, strict=True))
    return np.array([rows[bytes.fromhex(key)] for key in keys], np.float32)


def rows_on_demand(folder: Path, keys: list[str]) -> Float32s:
    """Returns rows as commands get them."""
    return EmbeddingStore(folder).open(SPACE).get_every(keys)[0]


SIDES = {"all files read": all_files_read, "rows on demand": rows_on_demand}


def take_once(side: str, folder: Path, keys: list[str]) -> TakenRows:
    """Returns what one way costs in this process, which must be fresh."""
    start = time.perf_counter()
    rows = SIDES[side](folder, keys)
    seconds = time.perf_counter() - start
    return TakenRows(seconds, program.peak_bytes(), hashlib.sha256(rows.tobytes()).hexdigest())


def measure(images: int, asked: int, runs: int) -> dict[str, dict[str, TakenRows]]:
    """Returns what each side costs, in median seconds, by how many images are asked for."""
    found: dict[str, dict[str, TakenRows]] = {}
    fresh = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        fill_store(Path(folder), images, "float32")
        for count in sorted({asked, images}):
            keys = image_keys(range(0, images, images // count))[:count]
            for side in SIDES:
                taken = []
                for _ in range(runs):
                    with fresh.Pool(1) as pool:
                        taken.append(pool.apply(take_once, (side, Path(folder), keys)))
                seconds = statistics.median(each.seconds for each in taken)
                found.setdefault(str(count), {})[side] = taken[0]._replace(seconds=seconds)
            one, other = found[str(count)].values()
            assert one.sha256 == other.sha256
    return found


def main() -> None:
    """Measures, prints a table, and writes JSON where asked to."""
    parser = program.new_parser(__doc__, quick="one run")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--asked", type=int, default=5)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    found = measure(given.images, given.asked, 1 if given.quick else given.runs)
    table = program.new_table(["asked for", "way"], ["seconds", "peak, MB"])
    for count, sides in found.items():
        for side, taken in sides.items():
            table.add_row(count, side, f"{taken.seconds:.2f}", f"{taken.peak / 1e6:.0f}")
    program.new_console().print(table)
    asdicts = {
        count: {side: taken._asdict() for side, taken in sides.items()}
        for count, sides in found.items()
    }
    program.write_json(given.json, {**asdicts, **program.machine()})


if __name__ == "__main__":
    main()
