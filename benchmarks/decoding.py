"""How far scaled decoding is from decoding in full, and what it saves.

    python benchmarks/decoding.py [--photos FOLDER] [--model starter] [--json FILE] [--quick]

For each SCALE of 1 to 4 (`moderation/images/pixels.py`): pixels, and similarities, scores and
decisions of all shipped policies, against the same JPEG decoded in full and resized as
transformers' processor does. "far" are changed decisions where a label's outcome changed although
its reference score is more than 0.01 from the threshold (under top_label also: and the best label
more than 0.01 ahead of the second). "±1" is the reference with each value moved by -1, 0 or 1 at
random: what the model makes of next to nothing.

Without --photos the labelled photographs of ../shared/data, 300 pixels wide, are made as large as
cameras': enlarged with Lanczos, with grain, saved at several qualities (`camera_files.py`). That is
a fair stand-in for how sizes fall on the decoder's steps (1/2, 1/4, 1/8), with finer grain and
softer edges than a photograph has. --photos reads JPEGs as they are.

The last rows say what converting a colour profile changes, which the reference processors do not
do: photographs at 640 pixels as if in that colour space, against ignoring it.
"""
# ruff: noqa: E402

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

# Run as a program, the benchmark of the audit would be imported in place of the package.
sys.path[:] = [folder for folder in sys.path if Path(folder) != Path(__file__).parent]
sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import PIL
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.camera_files import QUALITIES, contents, enlarged, photographs
from benchmarks.colour_profiles import SPACES, rgb_profile
from moderation.encoders.encoder import Encoder, Float32s
from moderation.encoders.options import LoadOptions
from moderation.encoders.registry import load_encoder
from moderation.images.pixels import SCALE, Pixels, decode, preprocess, read_squares
from moderation.policy import load_policies
from moderation.scoring.classifier import Classifier
from moderation.scoring.verdict import actions, outcomes

ROOT = Path(__file__).parent.parent
OBJECTS = ROOT.parent / "shared" / "data" / "objects" / "images"
POLICIES = (ROOT / "policies", ROOT / "policies" / "variants")
SCALES, SIDES, MAX_PIXELS = (1, 2, 3, 4), (640, 1280, 2560, 4000), 10**9
REFERENCE, LAST_BIT = "reference", "±1"
#: A reference score this near to its threshold may fall on its other side.
NEAR = 0.01


class Squares(NamedTuple):
    """What the reference and each way made of n images, and the seconds that each image took.

    Attributes:
        pixels: n squares of (h, w, 3) by name.
        seconds: n by name.
    """

    pixels: defaultdict[str, list[Pixels]]
    seconds: defaultdict[str, list[float]]


@dataclass(frozen=True)
class Difference:
    """How far one way is from the reference over some images; scores are of all policies."""

    size: str
    name: str
    images: int
    milliseconds: float
    mean_pixel: float
    largest_pixel: int
    mean_similarity: float
    largest_similarity: float
    mean_score: float
    largest_score: float
    decisions: int
    changed_decisions: int
    changed_far: int


def squares(files: Iterator[bytes], encoder: Encoder) -> Squares:
    """Returns what each SCALE makes of the files, beside the reference."""
    found = Squares(defaultdict(list), defaultdict(list))
    for file in files:
        for scale in (None, *SCALES):
            name = f"SCALE {scale}" if scale else REFERENCE
            start = time.perf_counter()
            found.pixels[name].append(_square(file, encoder, scale))
            found.seconds[name].append(time.perf_counter() - start)
        reference = found.pixels[REFERENCE][-1]
        moved = reference + np.random.default_rng(0).integers(-1, 2, reference.shape)
        found.pixels[LAST_BIT].append(moved.clip(0, 255).astype(np.uint8))
        found.seconds[LAST_BIT].append(0.0)
    return found


def _square(file: bytes, encoder: Encoder, scale: int | None) -> Pixels:
    """Returns the (h, w, 3) pixels of an image; without a scale, as the reference has them."""
    how = encoder.preprocessing
    if scale is None:
        return preprocess(decode(file, max_pixels=MAX_PIXELS), how)
    [squares] = read_squares(file, [how], max_pixels=MAX_PIXELS, scale=scale)
    square: Pixels = squares[0]
    return square


def converted(paths: Sequence[Path], encoder: Encoder, space: str) -> Squares:
    """Returns photographs as if in a colour space: with its profile ignored, and converted."""
    found = Squares(defaultdict(list), defaultdict(list))
    for path in paths:
        for name, profile in ((REFERENCE, None), (space, rgb_profile(space))):
            file = enlarged(path, SIDES[0], QUALITIES[0], profile)
            start = time.perf_counter()
            found.pixels[name].append(_square(file, encoder, SCALE))
            found.seconds[name].append(time.perf_counter() - start)
    return found


def differences(
    size: str, found: Squares, encoder: Encoder, classifiers: Sequence[Classifier]
) -> Iterator[Difference]:
    """Yields how far each way is from the reference, and first what the reference itself costs."""
    reference = np.stack(found.pixels[REFERENCE])
    rows = encoder.image_features(reference)
    for name, seconds in found.seconds.items():
        ours = np.stack(found.pixels[name])
        change = abs(ours.astype(np.int16) - reference)
        yield Difference(
            size,
            name,
            len(ours),
            statistics.median(seconds) * 1000,
            float(change.mean()),
            int(change.max()),
            *_score_change(encoder.image_features(ours), rows, classifiers),
        )


def _score_change(
    ours: Float32s, reference: Float32s, classifiers: Sequence[Classifier]
) -> tuple[float, float, float, float, int, int, int]:
    """Returns what a `Difference` says of similarities, scores and decisions."""
    similarity, score = [], []
    decisions = changed = far = 0
    for classifier in classifiers:
        policy = classifier.policy
        before, after = (classifier.similarities(rows) for rows in (reference, ours))
        was, now = (classifier.scores(each) for each in (before, after))
        fired, fires = outcomes(policy, before, was), outcomes(policy, after, now)
        similarity.append(abs(after - before).ravel())
        score.append(abs(now - was).ravel())
        decisions += len(was)
        differ = actions(fired) != actions(fires)
        changed += int(differ.sum())
        apart = ((fired != fires) & (margins(classifier, was) > NEAR)).any(axis=1)
        far += int((differ & apart).sum())
    similarities, scores = np.concatenate(similarity), np.concatenate(score)
    return (
        *(float(similarities.mean()), float(similarities.max())),
        *(float(scores.mean()), float(scores.max())),
        *(decisions, changed, far),
    )


def margins(classifier: Classifier, scores: Float32s) -> Float32s:
    """Returns (n, k) how far a score is from where its label's outcome changes."""
    found = np.full(scores.shape, np.inf, np.float32)
    for j, label in enumerate(classifier.policy.labels):
        for threshold in (label.threshold, label.review_threshold):
            if threshold is not None:
                found[:, j] = np.minimum(found[:, j], abs(scores[:, j] - threshold))
    if classifier.policy.decision == "top_label":
        second, first = np.sort(scores, axis=1)[:, -2:].T
        found = np.minimum(found, (first - second)[:, np.newaxis])
    return found


def pooled(found: Sequence[Difference]) -> list[Difference]:
    """Returns one for each name over all sizes; milliseconds are the mean of the sizes' medians."""
    together = []
    for name in dict.fromkeys(each.name for each in found):
        parts = [each for each in found if each.name == name]
        images = [each.images for each in parts]
        figures: dict[str, Any] = {"size": "all", "name": name}
        for field in fields(Difference)[2:]:
            values = [getattr(each, field.name) for each in parts]
            if field.name.startswith("largest"):
                figures[field.name] = max(values)
            elif field.type == "int":
                figures[field.name] = sum(values)
            else:
                weights = None if field.name == "milliseconds" else images
                figures[field.name] = float(np.average(values, weights=weights))
        together.append(Difference(**figures))
    return together


def measure(
    paths: Sequence[Path], sides: Sequence[int | None], spaces: Sequence[str], encoder: Encoder
) -> list[Difference]:
    """Returns what was measured, by size; then over all sizes, then of colour spaces."""
    policies = load_policies(POLICIES).values()
    classifiers = [Classifier.of(policy, encoder) for policy in policies]
    by_size: list[Difference] = []
    for side in sides:
        size = str(side or "own")
        files = track(contents(paths, side), size, len(paths), console=Console(stderr=True))
        by_size += differences(size, squares(iter(files), encoder), encoder, classifiers)
    of_spaces = [
        difference
        for space in spaces
        for difference in differences(
            str(SIDES[0]), converted(paths, encoder, space), encoder, classifiers
        )
        if difference.name != REFERENCE
    ]
    return [*by_size, *pooled(by_size), *of_spaces]


def difference_table(found: Sequence[Difference], setup: str) -> Table:
    """Returns what was measured as a table for people."""
    table = Table(caption=setup, caption_justify="left")
    for head in ("side", "way", "images", "ms", "pixel mean", "max", "similarity mean", "max"):
        table.add_column(head, justify="right")
    for head in ("score mean", "max", "decisions changed", "far"):
        table.add_column(head, justify="right")
    for each in found:
        table.add_row(
            *(each.size, each.name, str(each.images), f"{each.milliseconds:.1f}"),
            *(f"{each.mean_pixel:.2f}", str(each.largest_pixel)),
            *(f"{each.mean_similarity:.5f}", f"{each.largest_similarity:.4f}"),
            *(f"{each.mean_score:.5f}", f"{each.largest_score:.4f}"),
            *(f"{each.changed_decisions} of {each.decisions}", str(each.changed_far)),
        )
    return table


def _parser() -> argparse.ArgumentParser:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="JPEGs, read as they are")
    parser.add_argument("--model", default="starter", help="an encoder, or a checkpoint's folder")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="every 15th photograph")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints a table, and writes JSON where asked to."""
    given = _parser().parse_args(arguments)
    paths = photographs(given.photos or OBJECTS, 15 if given.quick else 1)
    if not paths:
        print(f"no JPEG in {given.photos or '../shared/data'}: name a folder with --photos")
        return 2
    encoder = load_encoder(given.model, LoadOptions())
    own = bool(given.photos)
    found = measure(paths, [None] if own else SIDES, [] if own else list(SPACES), encoder)
    setup = (
        f"{encoder.stamp.described}; Pillow {PIL.__version__}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores; medians of one run an image, ms of reading and preprocessing"
    )
    Console(width=None if sys.stdout.isatty() else 150).print(difference_table(found, setup))
    if given.json:
        rows = [asdict(each) for each in found]
        given.json.write_text(json.dumps({"setup": setup, "differences": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
