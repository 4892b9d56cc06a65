"""What gets past: photographs of revolvers that stay blocked when they are tampered with.

    python benchmarks/evasion.py                        # 20 minutes on one core
    python benchmarks/evasion.py --quick                # few photographs, fewer manipulations
    python benchmarks/evasion.py --views 1 auto 14      # other values of MODERATION_VIEWS
    python benchmarks/evasion.py --model FOLDER         # another model, without computed noise

40 photographs of revolvers and 40 innocent ones of ../shared/data are tampered with, saved as JPEG,
PNG or GIF, read as a worker reads them, and judged by policies/weapons.yaml. A row says how many
revolvers are still blocked, and how many innocent photographs are flagged (review or block) after
the same was done to them. With views 1 only the first frame of an animation is looked at, as it
once was, and otherwise up to 16 frames; animations are left out with N views of each frame. Noise
that is computed hides revolvers, and makes revolvers of innocent photographs. All that is drawn at
random has a fixed seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from audit.statistics.intervals import wilson
from benchmarks import program
from benchmarks.adversary import Adversary
from benchmarks.judging import Judge
from benchmarks.manipulations import Manipulation, Original, manipulations
from benchmarks.photographs import PHOTOGRAPHS, find_jpegs
from moderation.encoders.encoder import Encoder
from moderation.encoders.options import ModelOptions
from moderation.encoders.registry import load_encoder
from moderation.encoders.starter import StarterEncoder
from moderation.images.looks import Looking
from moderation.images.views import Views
from moderation.policy import load_policy
from moderation.scoring.classifier import Classifier
from moderation.scoring.verdict import ACTIONS

POLICY = Path(__file__).parent.parent / "policies" / "weapons.yaml"
WEAPONS, SEED = ("revolver", "cannon"), 13
PHOTOGRAPHS_EACH, QUICK_EACH = 40, 3
VIEWS: tuple[Views, ...] = (1, "auto", 11)
FRAMES = 16
#: The largest change of a value by computed noise, of 255, and the views it is made against.
NOISES: tuple[tuple[int, Views], ...] = ((8, 1), (4, 1), (8, "auto"))


@dataclass(frozen=True)
class Found:
    """What became of the photographs of one kind after one manipulation, with some views."""

    group: str
    name: str
    kind: str
    views: Views
    n: int
    blocked: int
    flagged: int

    @property
    def counted(self) -> int:
        """How many revolvers are blocked, or how many innocent photographs are flagged."""
        return self.blocked if self.kind == "revolver" else self.flagged

    @property
    def figures(self) -> dict[str, Any]:
        """All of it for JSON, with the 95 % intervals of both rates."""
        blocked, flagged = (wilson(count, self.n) for count in (self.blocked, self.flagged))
        return asdict(self) | {
            "blocked_interval": [float(blocked.low), float(blocked.high)],
            "flagged_interval": [float(flagged.low), float(flagged.high)],
        }


def originals(each: int) -> dict[str, list[Original]]:
    """Returns so many photographs of each kind, evenly spread over those at hand.

    Raises:
        FileNotFoundError: there are none.
    """
    paths = find_jpegs(PHOTOGRAPHS)
    kinds = {
        "revolver": [path for path in paths if path.parent.name == "revolver"],
        "innocent": [path for path in paths if path.parent.name not in WEAPONS],
    }
    if not all(kinds.values()):
        raise FileNotFoundError(f"{PHOTOGRAPHS}: there are no photographs")
    others = [(path.parent.name, _opened(path)) for path in _spread(kinds["innocent"], 40)]
    return {
        kind: [
            Original(
                _opened(path),
                [image for name, image in others if name != path.parent.name],
                kind == "revolver",
                (SEED, number),
            )
            for number, path in enumerate(_spread(found, each))
        ]
        for kind, found in kinds.items()
    }


def _spread(paths: Sequence[Path], count: int) -> list[Path]:
    return [paths[i * len(paths) // count] for i in range(count)]


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as photograph:
        return photograph.convert("RGB")


def all_manipulations(encoder: Encoder, classifier: Classifier, quick: bool) -> list[Manipulation]:
    """Returns every manipulation; computed noise only against the starter."""
    found = manipulations()
    if isinstance(encoder, StarterEncoder):
        adversary = Adversary(encoder, classifier)
        found += [
            Manipulation(
                "noise computed against it",
                f"{most}/255, against {'the default views' if views == 'auto' else 'one view'}",
                partial(adversary.attack, most=most, views=views),
                is_long=(most, views) != NOISES[0],
            )
            for most, views in NOISES
        ]
    return [each for each in found if not (quick and each.is_long)]


def measure(encoder: Encoder, views: Sequence[Views], *, quick: bool) -> Iterator[Found]:
    """Yields what became of the photographs, by manipulation, kind and views."""
    classifier = Classifier.of(load_policy(POLICY), encoder)
    judge = Judge(encoder, [classifier])
    kinds = originals(QUICK_EACH if quick else PHOTOGRAPHS_EACH)
    ways = all_manipulations(encoder, classifier, quick)
    for way in track(ways, "manipulations", console=Console(stderr=True)):
        some = [each for each in views if each in (1, "auto") or not way.is_film]
        lookings = [Looking(1 if each == 1 else FRAMES, each) for each in some]
        for kind, photographs in kinds.items():
            rows = [judge.severities(way.make(each), lookings) for each in photographs]
            for i, each in enumerate(some):
                decided = [ACTIONS[row[i, 0]] for row in rows]
                flagged = len(decided) - decided.count("allow")
                counts = (len(decided), decided.count("block"), flagged)
                yield Found(way.group, way.name, kind, each, *counts)


def found_table(found: Sequence[Found], setup: str) -> Table:
    """Returns what was found as a table for people."""
    views = list(dict.fromkeys(each.views for each in found))
    counts = {each.kind: each.n for each in found}
    heads = [f"{what}, views {each}" for what in ("blocked", "false flags") for each in views]
    title = f"Of {counts['revolver']} revolvers and {counts['innocent']} innocent photographs"
    table = program.new_table(("", "manipulation"), heads, title)
    table.caption, table.caption_justify = setup, "left"
    cells = {(each.group, each.name, each.kind, each.views): each for each in found}
    last = ""
    for group, name in dict.fromkeys((each.group, each.name) for each in found):
        row = [_cell(cells.get((group, name, kind, each))) for kind in counts for each in views]
        table.add_row(group if group != last else "", name, *row)
        last = group
    return table


def _cell(found: Found | None) -> str:
    """Returns a count with the interval of its rate; nothing where it was not measured."""
    if found is None:
        return ""
    interval = wilson(found.counted, found.n)
    return f"{found.counted} ({interval.low:.0%} to {interval.high:.0%})"


def _views_option(text: str) -> Views:
    if text == "auto":
        return "auto"
    if text.isdecimal() and 1 <= int(text) <= 64:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not auto or a number from 1 to 64")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints a table, and writes JSON where asked to."""
    quick_help = f"{QUICK_EACH} photographs of each kind, fewer manipulations; within 40 s"
    parser = program.new_parser(__doc__, quick=quick_help)
    parser.add_argument("--model", default="starter", help="an encoder, or a checkpoint's folder")
    parser.add_argument("--views", nargs="+", type=_views_option, help="each auto, or 1 to 64")
    given = parser.parse_args(arguments)
    if not PHOTOGRAPHS.is_dir():
        print("../shared/data is not here: its photographs are what is tampered with")
        return 2
    encoder = load_encoder(given.model, ModelOptions())
    views = list(dict.fromkeys(given.views or (VIEWS[:2] if given.quick else VIEWS)))
    found = list(measure(encoder, views, quick=given.quick))
    machine = program.machine()
    setup = (
        f"{encoder.stamp.described}; policies/weapons.yaml; intervals are Wilson's, 95 %; "
        f"Pillow {program.versions('pillow')['pillow']}, Python {machine['python']}, seed {SEED}"
    )
    program.new_console(220).print(found_table(found, setup))
    program.write_json(given.json, {"setup": setup, "found": [each.figures for each in found]})
    return 0


if __name__ == "__main__":
    program.run(main)
