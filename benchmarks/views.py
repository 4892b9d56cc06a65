"""What it costs to look at more of a picture: changed decisions, false flags, images a second.

    python benchmarks/views.py                      # 10 minutes on two cores
    python benchmarks/views.py --only speed         # only images a second; 4 minutes
    python benchmarks/views.py --only decisions     # only what changes, on 875 photographs
    python benchmarks/views.py --quick --json FILE

What is compared are the settings: one view of the first frame (MODERATION_FRAMES=1,
MODERATION_VIEWS=1), and the defaults; decisions also with 11 views of every picture. decisions: the
photographs of ../shared/data as they are, under all shipped policies on the starter; paired, with
McNemar's exact test. coverage: pictures 3:1 that were made of them, with the photograph at 9
places, with one view and by default. speed: our pipeline in one process, both sides by
turns in one run, on the starter and on random weights of ViT-B/32's shape; each ratio is of two
measurements beside each other, and what the machine did otherwise shows in how far they spread.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import program
from benchmarks.checkpoint import save_random_clip
from benchmarks.photographs import PHOTOGRAPHS
from benchmarks.views_coverage import coverage, coverage_table
from benchmarks.views_decisions import change_table, changes
from benchmarks.views_speed import Rates, files, rate_table, rates
from moderation.encoders.options import ModelOptions
from moderation.encoders.registry import load_encoder
from moderation.images.looks import Looking
from moderation.settings import load_settings

PARTS = ("decisions", "coverage", "speed")
EVERY_PICTURE = 11


def lookings() -> tuple[Looking, Looking]:
    """Returns how much was looked at before, and is by default."""
    settings = load_settings()
    return Looking(), Looking(settings.frames, settings.views)


def speed(rounds: int, images: int) -> list[Rates]:
    """Returns the rates on the starter and on random weights."""
    with tempfile.TemporaryDirectory(prefix="views-") as folder:
        checkpoint = save_random_clip(Path(folder) / "checkpoint")
        models = {"starter": "starter", "ViT-B/32, random": str(checkpoint)}
        contents = files(Path(folder))
        return [
            each
            for name, reference in models.items()
            for each in rates(
                *(name, load_encoder(reference, ModelOptions()), contents, lookings()),
                rounds=rounds,
                images=images,
            )
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints tables, and writes JSON where asked to."""
    parser = program.new_parser(__doc__, quick="few photographs, few rounds; within 60 s")
    parser.add_argument("--only", choices=PARTS, help="one part of it")
    parser.add_argument("--rounds", type=int, help="of the speed; 2 if quick, otherwise 5")
    given = parser.parse_args(arguments)
    if not PHOTOGRAPHS.is_dir():
        print("../shared/data is not here: its photographs are what is measured on")
        return 2
    parts = [given.only] if given.only else PARTS
    everything: dict[str, Any] = {"setup": program.machine()}
    console, (before, now) = program.new_console(170), lookings()
    if "decisions" in parts or "coverage" in parts:
        starter = load_encoder("starter", ModelOptions())
    if "decisions" in parts:
        more = Looking(now.frames, EVERY_PICTURE)
        changed = changes(starter, (before, now, more), given.quick)
        console.print(change_table(changed))
        everything["decisions"] = [each.figures for each in changed]
    if "coverage" in parts:
        covered = coverage(starter, given.quick)
        console.print(coverage_table(covered))
        everything["coverage"] = [asdict(each) for each in covered]
    if "speed" in parts:
        found = speed(given.rounds or (2 if given.quick else 5), 8 if given.quick else 32)
        console.print(rate_table(found))
        everything["speed"] = [asdict(each) | {"ratios": each.ratios} for each in found]
    program.write_json(given.json, everything)
    return 0


if __name__ == "__main__":
    program.run(main)
