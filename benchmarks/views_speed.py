"""Images a second with one view and with the default ones, in turns, on the same files."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import program
from benchmarks.manipulations import STAGE, Original, film, panned
from benchmarks.photographs import PHOTOGRAPHS, Shape, find_jpegs, save_photograph
from moderation.encoders.cores import usable
from moderation.encoders.encoder import Encoder
from moderation.images.decode.child import DecodeLimits
from moderation.images.decode.pool import DecoderPool
from moderation.images.looks import Looking
from moderation.policy import load_policy
from moderation.scoring.pipeline import Pipeline
from moderation.settings import load_settings

POLICY = Path(__file__).parent.parent / "policies" / "weapons.yaml"
SHAPES = {
    "640x480 JPEG, 4:3": Shape(640, 480, "JPEG", ""),
    "4000x3000 JPEG, 4:3": Shape(4000, 3000, "JPEG", ""),
    "1920x1080 JPEG, 16:9": Shape(1920, 1080, "JPEG", ""),
    "1080x1920 JPEG, 9:16": Shape(1080, 1920, "JPEG", ""),
    "3000x1000 JPEG, 3:1": Shape(3000, 1000, "JPEG", ""),
}
FRAMES = 20
ANIMATION = f"{STAGE[0]}x{STAGE[1]} GIF, {FRAMES} frames"
DIFFERENT, _IN_HAND = 8, 64


@dataclass(frozen=True)
class Rates:
    """Images per second of one model and shape, one number a round; looks are an image's."""

    model: str
    shape: str
    looks: int
    before: tuple[float, ...]
    now: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """Those now over those before, by round."""
        return [now / before for now, before in zip(self.now, self.before, strict=True)]


class _Side:
    """Our pipeline, without a queue, that looks at so much."""

    def __init__(self, encoder: Encoder, looking: Looking) -> None:
        settings = load_settings()
        limits = DecodeLimits(
            settings.max_image_pixels,
            looking.frames,
            settings.decode_timeout_seconds,
            views=looking.views,
        )
        decoders = DecoderPool(usable(), limits)
        decoders.start()
        policy = load_policy(POLICY)
        self._pipeline = Pipeline(
            {policy.id: policy}, lambda _: encoder, decoders, default_model=""
        )
        self._policies = self._pipeline.served([policy.id])

    def looks(self, content: bytes) -> int:
        """Returns how many looks an image gets."""
        [verdict] = self._pipeline.moderate(content, self._policies, request_id="benchmark")
        return verdict.looks

    def rate(self, contents: Sequence[bytes]) -> float:
        """Returns images per second, many at a time."""
        start = time.perf_counter()
        with ThreadPoolExecutor(_IN_HAND) as threads:
            list(threads.map(self.looks, contents))
        return len(contents) / (time.perf_counter() - start)

    def close(self) -> None:
        """Ends the decoders."""
        self._pipeline.close()


def files(folder: Path) -> dict[str, list[bytes]]:
    """Returns some files of each shape."""
    found = find_jpegs(PHOTOGRAPHS)
    paths = found[:: len(found) // DIFFERENT][:DIFFERENT]
    by_shape = {
        name: [save_photograph(folder / "photo", path, shape).read_bytes() for path in paths]
        for name, shape in SHAPES.items()
    }
    images = [Image.open(path).convert("RGB") for path in paths]
    originals = [Original(image, [image], False, (i,)) for i, image in enumerate(images)]
    by_shape[ANIMATION] = [film(FRAMES, panned, original) for original in originals]
    return by_shape


@contextmanager
def _sides(encoder: Encoder, lookings: Sequence[Looking]) -> Iterator[list[_Side]]:
    sides = [_Side(encoder, looking) for looking in lookings]
    try:
        yield sides
    finally:
        for side in sides:
            side.close()


def rates(
    model: str,
    encoder: Encoder,
    contents: Mapping[str, Sequence[bytes]],
    lookings: tuple[Looking, Looking],
    *,
    rounds: int,
    images: int,
) -> list[Rates]:
    """Returns the rates of both lookings on a model, by shape; each takes the first turn in turn.

    Args:
        model: what the table calls it.
        encoder: the model.
        contents: files by shape.
        lookings: before, and now.
        rounds: how often each is measured.
        images: in one measurement.
    """
    found = {shape: ([0.0] * rounds, [0.0] * rounds) for shape in contents}
    with _sides(encoder, lookings) as sides:
        looks = {shape: sides[1].looks(some[0]) for shape, some in contents.items()}
        for side in sides:
            side.rate([some[0] for some in contents.values()])  # a warm-up
        for number in track(range(rounds), model, console=Console(stderr=True)):
            for shape, some in contents.items():
                many = list(islice(cycle(some), images))
                for i in (0, 1) if number % 2 else (1, 0):
                    found[shape][i][number] = sides[i].rate(many)
    return [
        Rates(model, shape, looks[shape], tuple(before), tuple(now))
        for shape, (before, now) in found.items()
    ]


def rate_table(found: Sequence[Rates]) -> Table:
    """Returns the rates as a table for people."""
    heads = ("looks", "images/s before", "now", "ratio", "lowest", "highest")
    table = program.new_table(("model", "file"), heads, "Images a second against one view")
    for each in found:
        ratios = each.ratios
        table.add_row(
            *(each.model, each.shape, str(each.looks)),
            *(f"{statistics.median(side):.1f}" for side in (each.before, each.now)),
            *(f"{end(ratios):.2f}" for end in (statistics.median, min, max)),
        )
    return table
