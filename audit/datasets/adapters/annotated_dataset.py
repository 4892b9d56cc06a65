"""Annotated images -> a Dataset, after the checks that are the same for every adapter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from audit.datasets.adapters.annotated_images import About, AnnotatedImage
from audit.datasets.adapters.annotation_problems import (
    mark_repeated_annotations,
    wrong_annotations,
)
from audit.datasets.adapters.options import LoadOptions
from audit.datasets.dataset import IMAGE_ID, Y_TRUE, Dataset
from audit.datasets.spelling import Spellings, alike_but_for_case, composed
from audit.errors import DatasetError, RowProblem
from moderation.visible_text import utf8


def build_dataset(
    images: Iterable[AnnotatedImage],
    about: About,
    options: LoadOptions,
    problems: Iterable[RowProblem] = (),
) -> Dataset:
    """Returns the dataset of the annotated images that have nothing wrong with them.

    Of two rows for one image the second is the bad one; where they say different things of it,
    both are. What is known of the bad ones stays with the dataset.

    Args:
        images: the images, in order.
        about: what holds for all of them.
        options: how bad rows are treated, and what y_true means.
        problems: what the adapter found apart from the images.

    Raises:
        DatasetError: with everything that is wrong, unless bad rows may be skipped.
    """
    images, found = list(images), list(problems)
    unread = {(problem.path, problem.row) for problem in found if problem.row}
    wrong = [[*image.wrong, *wrong_annotations(image)] for image in images]
    copies = mark_repeated_annotations(images, wrong)
    for image, each in zip(images, wrong, strict=True):
        found += (RowProblem(str(image.path), image.row, *one) for one in each)
    found.sort(key=lambda problem: (problem.path, problem.row))
    good = [image for image, each in zip(images, wrong, strict=True) if not each]
    alike = _values_alike(images, about, options.as_written)
    if alike or (found and not (options.skip_bad and good)):
        raise DatasetError([*alike, *found])
    classes = {composed(image.y_true) for image in good if image.y_true}
    refuse_unannotated_classes(classes, about.source, options.truth)
    features = about.sensitive_features
    lost = [image for i, image in enumerate(images) if wrong[i] and i not in copies]
    missing = Counter(tuple(image.known_values(features)) for image in lost)
    missing += Counter({(None,) * len(features): len(unread)})
    return _dataset_of_annotated(good, about, options, tuple(found), missing)


def _values_alike(
    images: Sequence[AnnotatedImage], about: About, as_written: Collection[str]
) -> list[RowProblem]:
    """Returns a problem for the values of a sensitive feature that may be one group."""
    problems = []
    for name in about.sensitive_features:
        values = Counter(image.known_values([name])[0] for image in images)
        apart = composed(name) in as_written
        for alike in () if apart else alike_but_for_case(filter(None, values)):
            shown = ", ".join(f"{value!a} ({values[value]:,})" for value in alike)
            what = f"values of {name} differ in case, width or invisible characters alone: {shown}"
            remedy = f"Write them alike; if case tells groups apart, say --as-written {name}"
            problems.append(RowProblem(str(about.source), 0, what, remedy))
    return problems


def refuse_unannotated_classes(
    classes: Iterable[str], source: Path, truth: Mapping[str, str]
) -> None:
    """Raises where a class is said to mean something, and no image has it."""
    present = set(classes)
    if unknown := [name for name in truth if composed(name) not in present]:
        what = f"no image has the class {', '.join(unknown)} that --truth names"
        remedy = f"The classes are: {', '.join(sorted(present)) or 'none'}"
        raise DatasetError.of(source, what, remedy)


def _dataset_of_annotated(
    images: list[AnnotatedImage],
    about: About,
    options: LoadOptions,
    left_out: tuple[RowProblem, ...],
    missing: Mapping[tuple[str | None, ...], int],
) -> Dataset:
    hashes = tuple(image.sha256.lower() or None for image in images)
    spellings = Spellings()
    truth = {composed(name): meant for name, meant in options.truth.items()}
    classes = [spellings.read(Y_TRUE, image.y_true) for image in images]
    columns: dict[str, Sequence[str | None]] = {
        IMAGE_ID: [utf8(image.image_id) for image in images],
        Y_TRUE: [utf8(truth.get(name, name)) or None for name in classes],
    }
    for name in about.sensitive_features:
        cells = (image.values[name] for image in images)
        columns[composed(name)] = [spellings.read(composed(name), str(cell)) for cell in cells]
    notes = (*about.notes, *spellings.notes())
    if left_out:
        rows = len({(problem.path, problem.row) for problem in left_out})
        notes = (*notes, f"Rows left out on request, since something is wrong with them: {rows}.")
    return Dataset(
        name=utf8(about.name),
        adapter=about.adapter,
        source=about.source,
        # Objects, since a column of pandas' own text type has NaN instead of None.
        table=pd.DataFrame(columns, dtype=object),
        references=tuple(image.reference for image in images if image.reference),
        sensitive_features=tuple(map(composed, about.sensitive_features)),
        orders=about.orders,
        benign=about.benign if options.benign is None else options.benign,
        expected_sha256=hashes if any(hashes) else None,
        rows=tuple(image.row for image in images) if all(r.row for r in images) else (),
        left_out=left_out,
        missing=missing,
        notes=notes,
    )
