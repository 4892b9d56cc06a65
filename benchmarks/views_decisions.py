"""How decisions on photographs as they are change with how much of a picture is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from audit.statistics.intervals import paired_difference
from audit.statistics.significance import mcnemar_p
from benchmarks import program
from benchmarks.judging import Judge
from benchmarks.photographs import PHOTOGRAPHS, find_jpegs
from moderation.encoders.encoder import Encoder
from moderation.images.looks import Looking
from moderation.policy import load_policies, starter_policies
from moderation.scoring.classifier import Classifier

ROOT = Path(__file__).parent.parent
POLICIES = (*starter_policies(), ROOT / "policies" / "variants")
FACES = PHOTOGRAPHS.parent.parent / "faces"
WEAPONS, BANKNOTES = ("revolver", "cannon"), ("dollar_bill",)
#: The longer side over the shorter, beyond which a picture has several views.
PLAIN = 4 / 3 + 0.01
#: The severity of a decision that flags: review, or block.
FLAGS = 2

Severities = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Change:
    """What looking at more changed in the decisions of one policy on photographs of one kind.

    Attributes:
        long: how many of the n are beyond 4:3.
        flagged_before, flagged: how many were flagged, and how many are.
        entered, left: how many of the n are flagged only now, and were only before.
        raised: how many of those that were flagged before have a more severe action now.
    """

    kind: str
    policy: str
    looking: str
    n: int
    long: int
    flagged_before: int
    flagged: int
    entered: int
    left: int
    raised: int

    @property
    def figures(self) -> dict[str, Any]:
        """All of it for JSON, with the 95 % interval of the change of the rate, and McNemar's p."""
        low, high = paired_difference(self.entered, self.left, self.n)
        return asdict(self) | {
            "change": (self.entered - self.left) / self.n,
            "interval": [float(low), float(high)],
            "p": float(mcnemar_p(self.entered, self.left)),
        }


def photographs(quick: bool) -> dict[str, list[Path]]:
    """Returns the photographs of ../shared/data by kind."""
    objects, every = find_jpegs(PHOTOGRAPHS), 20 if quick else 1
    kinds = {
        "faces": find_jpegs(FACES),
        "weapons": [path for path in objects if path.parent.name in WEAPONS],
        "banknotes": [path for path in objects if path.parent.name in BANKNOTES],
        "other objects": [path for path in objects if path.parent.name not in WEAPONS + BANKNOTES],
    }
    return {kind: paths[::every] for kind, paths in kinds.items()}


def changes(encoder: Encoder, lookings: Sequence[Looking], quick: bool) -> list[Change]:
    """Returns what each of the later lookings changes against the first, by kind and policy."""
    policies = load_policies(POLICIES)
    classifiers = [Classifier.of(policy, encoder) for policy in policies.values()]
    judge, found = Judge(encoder, classifiers), []
    for kind, paths in photographs(quick).items():
        shown = track(paths, kind, console=Console(stderr=True))
        rows = np.stack([judge.severities(path.read_bytes(), lookings) for path in shown])
        long = sum(map(_is_long, paths))
        found += [
            change_of(rows[:, 0, j], rows[:, i, j], kind, policy, lookings[i].text, long)
            for i in range(1, len(lookings))
            for j, policy in enumerate(policies)
        ]
    return found


def change_of(
    before: Severities, now: Severities, kind: str, policy: str, looking: str, long: int
) -> Change:
    """Returns what changed from (n,) severities to others."""
    was, flagged = before >= FLAGS, now >= FLAGS
    return Change(
        *(kind, policy, looking, len(now), long, int(was.sum()), int(flagged.sum())),
        entered=int((flagged & ~was).sum()),
        left=int((was & ~flagged).sum()),
        raised=int((was & (now > before)).sum()),
    )


def _is_long(path: Path) -> bool:
    with Image.open(path) as image:
        return max(image.size) / min(image.size) > PLAIN


def change_table(found: Sequence[Change]) -> Table:
    """Returns the changes as a table for people."""
    heads = ("n", "beyond 4:3", "flagged before", "now", "entered", "left", "raised")
    left = ("looking", "photographs", "policy")
    table = program.new_table(left, (*heads, "change, 95 %", "p"), "Decisions against one view")
    for each in found:
        figures = each.figures
        low, high = figures["interval"]
        counts = (each.n, each.long, each.flagged_before, each.flagged)
        table.add_row(
            *(each.looking, each.kind, each.policy),
            *map(str, (*counts, each.entered, each.left, each.raised)),
            f"{figures['change']:+.1%} ({low:+.1%} to {high:+.1%})",
            f"{figures['p']:.2g}",
        )
    return table
