"""How far scaled decoding is from decoding in full, and what it saves.

    python benchmarks/scaled_decoding.py [--photos FOLDER] [--model starter] [--json FILE] [--quick]

For each SCALE of 1 to 4 (`moderation/images/pixels.py`): pixels, and similarities, scores and
decisions of all shipped policies, against the same JPEG decoded in full and resized as
transformers' processor does. "far" are changed decisions where a label's outcome changed although
its reference score is more than 0.01 from the threshold (under top_label also: and the best label
is more than 0.01 ahead of the second). "±1" is the reference with each value moved by -1, 0 or 1 at
random: what the model makes of next to nothing.

Without --photos the labelled photographs of ../shared/data, 300 pixels wide, are made as large as
cameras': enlarged with Lanczos, with grain, saved at several qualities (`photographs.py`). That is
a fair stand-in for how sizes fall on the decoder's steps (1/2, 1/4, 1/8), with finer grain and
softer edges than a photograph has. --photos reads JPEGs as they are.

The last rows say what converting a colour profile changes, which the reference processors do not
do: photographs at 640 pixels, taken as if in that colour space, against ignoring the profile.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import program
from benchmarks.colour_profiles import SPACES, rgb_profile
from benchmarks.photographs import (
    JPEG_QUALITY,
    PHOTOGRAPHS,
    camera_file,
    camera_files,
    find_jpegs,
)
from moderation.encoders.encoder import Encoder, Float32s
from moderation.encoders.options import ModelOptions
from moderation.encoders.registry import load_encoder
from moderation.images.looks import Pixels
from moderation.images.pixels import SCALE, decode, preprocess, read_sights
from moderation.policy import load_policies, starter_policies
from moderation.scoring.classifier import Classifier
from moderation.scoring.verdict import actions, outcomes

ROOT = Path(__file__).parent.parent
POLICIES = (*starter_policies(), ROOT / "policies" / "variants")
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
class Deviation:
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
    """Returns what the reference and each SCALE make of the files."""
    found = Squares(defaultdict(list), defaultdict(list))
    for file in files:
        for scale in (None, *SCALES):
            name = f"SCALE {scale}" if scale else REFERENCE
            start = time.perf_counter()
            found.pixels[name].append(_decoded_square(file, encoder, scale))
            found.seconds[name].append(time.perf_counter() - start)
        reference = found.pixels[REFERENCE][-1]
        moved = reference + np.random.default_rng(0).integers(-1, 2, reference.shape)
        found.pixels[LAST_BIT].append(moved.clip(0, 255).astype(np.uint8))
        found.seconds[LAST_BIT].append(0.0)
    return found


def _decoded_square(file: bytes, encoder: Encoder, scale: int | None) -> Pixels:
    """Returns the (h, w, 3) pixels of an image; without a scale, as the reference has them."""
    how = encoder.preprocessing
    if scale is None:
        return preprocess(decode(file, max_pixels=MAX_PIXELS), how)
    [sight] = read_sights(file, [how], max_pixels=MAX_PIXELS, scale=scale)
    square: Pixels = sight.squares[0]
    return square


def converted(paths: Sequence[Path], encoder: Encoder, space: str) -> Squares:
    """Returns photographs as if in a colour space: with its profile ignored, and converted."""
    found = Squares(defaultdict(list), defaultdict(list))
    for path in paths:
        for name, profile in ((REFERENCE, None), (space, rgb_profile(space))):
            file = camera_file(path, SIDES[0], JPEG_QUALITY, profile)
            start = time.perf_counter()
            found.pixels[name].append(_decoded_square(file, encoder, SCALE))
            found.seconds[name].append(time.perf_counter() - start)
    return found


def deviations(
    size: str, found: Squares, encoder: Encoder, classifiers: Sequence[Classifier]
) -> Iterator[Deviation]:
    """Yields what the reference itself costs, then how far each way is from it."""
    reference = np.stack(found.pixels[REFERENCE])
    rows = encoder.image_features(reference)
    for name, seconds in found.seconds.items():
        ours = np.stack(found.pixels[name])
        change = abs(ours.astype(np.int16) - reference)
        yield Deviation(
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
    """Returns what a `Deviation` says of similarities, scores and decisions."""
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


def pooled(found: Sequence[Deviation]) -> list[Deviation]:
    """Returns one deviation for each way over all sizes, with the mean of their milliseconds."""
    together = []
    for name in dict.fromkeys(each.name for each in found):
        parts = [each for each in found if each.name == name]
        images = [each.images for each in parts]
        figures: dict[str, Any] = {"size": "all", "name": name}
        for field in fields(Deviation)[2:]:
            values = [getattr(each, field.name) for each in parts]
            if field.name.startswith("largest"):
                figures[field.name] = max(values)
            elif field.type == "int":
                figures[field.name] = sum(values)
            else:
                weights = None if field.name == "milliseconds" else images
                figures[field.name] = float(np.average(values, weights=weights))
        together.append(Deviation(**figures))
    return together


def measure(
    paths: Sequence[Path], sides: Sequence[int | None], spaces: Sequence[str], encoder: Encoder
) -> list[Deviation]:
    """Returns what was measured, by size; then over all sizes, then of colour spaces."""
    policies = load_policies(POLICIES).values()
    classifiers = [Classifier.of(policy, encoder) for policy in policies]
    by_size: list[Deviation] = []
    for side in sides:
        size = str(side or "own")
        files = track(camera_files(paths, side), size, len(paths), console=Console(stderr=True))
        by_size += deviations(size, squares(iter(files), encoder), encoder, classifiers)
    of_spaces = [
        deviation
        for space in spaces
        for deviation in deviations(
            str(SIDES[0]), converted(paths, encoder, space), encoder, classifiers
        )
        if deviation.name != REFERENCE
    ]
    return [*by_size, *pooled(by_size), *of_spaces]


def deviation_table(found: Sequence[Deviation], setup: str) -> Table:
    """Returns what was measured as a table for people."""
    heads = ("side", "way", "images", "ms", "pixel mean", "max", "similarity mean", "max")
    table = program.new_table((), (*heads, "score mean", "max", "decisions changed", "far"))
    table.caption, table.caption_justify = setup, "left"
    for each in found:
        table.add_row(
            *(each.size, each.name, str(each.images), f"{each.milliseconds:.1f}"),
            *(f"{each.mean_pixel:.2f}", str(each.largest_pixel)),
            *(f"{each.mean_similarity:.5f}", f"{each.largest_similarity:.4f}"),
            *(f"{each.mean_score:.5f}", f"{each.largest_score:.4f}"),
            *(f"{each.changed_decisions} of {each.decisions}", str(each.changed_far)),
        )
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints a table, and writes JSON where asked to."""
    parser = program.new_parser(__doc__, quick="every 15th photograph")
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="JPEGs, read as they are")
    parser.add_argument("--model", default="starter", help="an encoder, or a checkpoint's folder")
    given = parser.parse_args(arguments)
    paths = find_jpegs(given.photos or PHOTOGRAPHS, 15 if given.quick else 1)
    if not paths:
        print(f"no JPEG in {given.photos or '../shared/data'}: name a folder with --photos")
        return 2
    encoder = load_encoder(given.model, ModelOptions())
    own, machine = bool(given.photos), program.machine()
    found = measure(paths, [None] if own else SIDES, [] if own else list(SPACES), encoder)
    setup = (
        f"{encoder.stamp.described}; Pillow {program.versions('pillow')['pillow']}, "
        f"Python {machine['python']}, {machine['cores']} cores; "
        "medians of one run an image, ms of reading and preprocessing"
    )
    program.new_console(150).print(deviation_table(found, setup))
    rows = [asdict(each) for each in found]
    program.write_json(given.json, {"setup": setup, "differences": rows})
    return 0


if __name__ == "__main__":
    program.run(main)
