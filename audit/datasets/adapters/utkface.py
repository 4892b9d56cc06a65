"""UTKFace: age, gender and race in the name of each file."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

from audit.datasets.adapters.annotated_dataset import build_dataset
from audit.datasets.adapters.annotated_images import About, AnnotatedImage, Wrong
from audit.datasets.adapters.fairface import AGE, AGES, GENDER, RACE, SENSITIVE_FEATURES, age_group
from audit.datasets.adapters.options import LoadOptions
from audit.datasets.dataset import Dataset
from audit.errors import DatasetError
from moderation.images.folder import Kind, counts_by_kind, entries

GENDERS = ("Male", "Female")
RACES = ("White", "Black", "Asian", "Indian", "Others")
_OLDEST = 116
_FIELDS = re.compile(r"(\d+)_(\d+)_(\d+)_(\d+)")
_EXAMPLE = (
    "Its name must be like 25_1_2_20170116174525125.jpg: age, gender, race, time. "
    "Or leave such images out with --skip-bad"
)
_NOTES = (
    "Race, gender and age were estimated by a model and checked by one person.",
    "UTKFace is for non-commercial research.",
)

#: How many images of a folder are looked at to see whether it is UTKFace.
_LOOKED_AT = 100


def matches(path: Path) -> bool:
    """Returns whether this is a folder in which most images are named as in UTKFace."""
    images = (entry.path for entry in entries(path, hidden=False) if entry.kind is Kind.IMAGE)
    looked_at = list(islice(images, _LOOKED_AT)) if path.is_dir() else []
    named_so = sum(_FIELDS.fullmatch(_utkface_stem(file)) is not None for file in looked_at)
    return 0 < len(looked_at) <= 2 * named_so


def load(path: Path, options: LoadOptions) -> Dataset:
    """Returns the dataset of all images of UTKFace in a folder and below it.

    Raises:
        DatasetError: with every file whose name cannot be read.
    """
    if not path.is_dir():
        remedy = "Name the folder that holds the images"
        raise DatasetError.of(path, "it is not a folder", remedy)
    found = list(entries(path, hidden=False))
    passed_over = [entry for entry in found if entry.kind is not Kind.IMAGE]
    about = About(
        adapter="utkface",
        source=path,
        name=f"utkface:{path.resolve().name}",
        sensitive_features=SENSITIVE_FEATURES,
        orders={AGE: AGES},
        benign=True,
        notes=(*_NOTES, f"Passed over: {counts_by_kind(passed_over)}.") if passed_over else _NOTES,
    )
    images = sorted(entry.path for entry in found if entry.kind is Kind.IMAGE)
    return build_dataset((_annotated_utkface(file, path) for file in images), about, options)


def _utkface_stem(file: Path) -> str:
    return file.name.split(".")[0]  # the names of cropped faces end in .jpg.chip.jpg


def _annotated_utkface(file: Path, root: Path) -> AnnotatedImage:
    values, wrong = _read_utkface_name(_utkface_stem(file))
    image_id = file.relative_to(root).as_posix()
    return AnnotatedImage(file, 0, image_id, file, values=values, wrong=wrong)


def _read_utkface_name(stem: str) -> tuple[dict[str, str], tuple[Wrong, ...]]:
    """Returns race, gender and age from a file's name, and what is wrong with it."""
    fields = _FIELDS.fullmatch(stem)
    if fields is None:
        lacking = 4 - len(stem.split("_"))
        what = "its name lacks a field" if lacking > 0 else "its name has fields of another kind"
        return {}, (Wrong(what, _EXAMPLE),)
    age, gender, race = (int(fields[i]) for i in (1, 2, 3))
    wrong = tuple(
        Wrong(f"there is no {name} {value}", f"Known are 0 to {most}. {_EXAMPLE}")
        for name, value, most in (
            (AGE, age, _OLDEST),
            (GENDER, gender, len(GENDERS) - 1),
            (RACE, race, len(RACES) - 1),
        )
        if value > most
    )
    if wrong:
        return {}, wrong
    return {RACE: RACES[race], GENDER: GENDERS[gender], AGE: age_group(age)}, ()
