"""What is found along a picture 3:1, wherever it lies, with one view and by default."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import program
from benchmarks.judging import Judge
from benchmarks.photographs import PHOTOGRAPHS, find_jpegs
from benchmarks.views_decisions import FACES, FLAGS, WEAPONS
from moderation.encoders.encoder import Encoder
from moderation.images.looks import Looking
from moderation.images.views import Views
from moderation.policy import load_policy
from moderation.scoring.classifier import Classifier
from moderation.scoring.verdict import ACTIONS

POLICY = Path(__file__).parent.parent / "policies" / "weapons.yaml"
SIZE = (900, 300)
#: Its longer side over the picture's height; where it begins, from 0 at the left to 1.
SCALES = (1.0, 0.75, 0.5)
PLACES = tuple(i / 8 for i in range(9))
VIEWS: tuple[Views, ...] = (1, "auto")
BLOCK = ACTIONS.index("block")
COUNTS = {"revolvers": 40, "other objects": 20, "faces": 20}


@dataclass(frozen=True)
class RowCoverage:
    """Of n pictures with a photograph of a kind and scale in all places, how many were found."""

    kind: str
    scale: float
    views: Views
    n: int
    blocked: int
    flagged: int


def panorama(photo: Image.Image, scale: float, place: float, ground: Image.Image | None) -> bytes:
    """Returns a JPEG 3:1 with a photograph in it, half way up, on white or on another one."""
    scene = ImageOps.fit(ground, SIZE) if ground else Image.new("RGB", SIZE, "white")
    side = round(scale * SIZE[1])
    small = ImageOps.contain(photo, (side, side), Image.Resampling.LANCZOS)
    at = (round((SIZE[0] - small.width) * place), (SIZE[1] - small.height) // 2)
    scene.paste(small, at)
    buffer = io.BytesIO()
    scene.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def coverage(encoder: Encoder, quick: bool) -> list[RowCoverage]:
    """Returns what is found of revolvers, and flagged of other objects and faces, by views."""
    judge = Judge(encoder, [Classifier.of(load_policy(POLICY), encoder)])
    kinds, found = _photographs(20 if quick else 1), []
    for kind, photos in kinds.items():
        for scale in SCALES:
            shown = track(photos, f"{kind}, {scale:g}", console=Console(stderr=True))
            severities = [
                judge.severities(content, [Looking(views=views) for views in VIEWS])[:, 0]
                for number, photo in enumerate(shown)
                for content in _panoramas(photo, scale, kinds["other objects"], number)
            ]
            for views, row in zip(VIEWS, np.stack(severities, axis=1), strict=True):
                blocked, flagged = int((row >= BLOCK).sum()), int((row >= FLAGS).sum())
                found.append(RowCoverage(kind, scale, views, len(row), blocked, flagged))
    return found


def _photographs(every: int) -> dict[str, list[Image.Image]]:
    """Returns photographs by kind, evenly spread over those at hand; not all, in a quick run."""
    objects = find_jpegs(PHOTOGRAPHS)
    kinds = {
        "revolvers": [path for path in objects if path.parent.name == "revolver"],
        "other objects": [path for path in objects if path.parent.name not in WEAPONS],
        "faces": find_jpegs(FACES),
    }
    return {
        kind: [
            Image.open(paths[i * len(paths) // COUNTS[kind]]).convert("RGB")
            for i in range(0, COUNTS[kind], every)
        ]
        for kind, paths in kinds.items()
    }


def _panoramas(
    photo: Image.Image, scale: float, grounds: Sequence[Image.Image], number: int
) -> Iterator[bytes]:
    """Yields pictures with a photograph at all places, by turns on white and on another one."""
    for i, place in enumerate(PLACES):
        ground = grounds[(number + i + 1) % len(grounds)]
        yield panorama(photo, scale, place, None if (number + i) % 2 else ground)


def coverage_table(found: Sequence[RowCoverage]) -> Table:
    """Returns what was found as a table for people."""
    left, right = ("photographs", "of the height", "views"), ("n", "blocked", "flagged")
    title = f"In pictures 3:1, at {len(PLACES)} places along them"
    table = program.new_table(left, right, title)
    for each in found:
        counts = (f"{count} ({count / each.n:.1%})" for count in (each.blocked, each.flagged))
        table.add_row(each.kind, f"{each.scale:g}", str(each.views), str(each.n), *counts)
    return table
