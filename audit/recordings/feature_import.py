"""Features that others computed -> a recording, once every row of them is checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from audit.datasets.adapters import LoadOptions
from audit.datasets.adapters.annotated_dataset import build_dataset
from audit.datasets.adapters.annotated_images import About
from audit.datasets.adapters.spreadsheet import SpreadsheetDates
from audit.datasets.adapters.table import cell_reader
from audit.datasets.dataset import Dataset
from audit.datasets.image_problems import image_problem, leave_out_images
from audit.datasets.image_references import FeatureRow
from audit.datasets.repeated_images import repeated_images
from audit.errors import DatasetError
from audit.recordings.annotated_features import (
    AnnotatedFeatures,
    LabelColumns,
    annotated_features,
)
from audit.recordings.claims import ModelClaims, RecordingStatement
from audit.recordings.feature_checks import (
    CheckedBlock,
    FeatureCheck,
    Storage,
    chosen_storage,
    hash_of_hashes,
    row_hashes,
)
from audit.recordings.feature_source import FeatureSource, feature_source
from audit.recordings.recording import Recording, hashed_file, read_recording
from audit.recordings.recording_folder import refuse_full_folder, write_recording
from audit.recordings.text_features import RecordedTexts, TextOptions, read_texts
from moderation.encoders.encoder import Rows


@dataclass(frozen=True)
class FeatureImport:
    """What is imported.

    Attributes:
        features: files of features in the order of their rows, or the folder of clip-retrieval.
        columns: the name in the annotations of `id`, `y_true` and each sensitive feature.
        claims: what is said of the features.
        labels: tables of annotations; () where they lie beside the features.
        join: the column of ids beside the features, by which annotations belong to them.
        vector: the column of the features, where there are several that can be.
        texts: a file of texts with their features, or none.
        text_options: how it is read.
        storage: how features are kept; by default as they come, as float32 at most.
        normalise: whether features may have any length, and are brought to unit length.
        reading: whether bad rows are left out, which values are as written, what is benign.
    """

    features: Sequence[Path]
    columns: Mapping[str, str]
    claims: ModelClaims
    labels: Sequence[Path] = ()
    join: str | None = None
    vector: str | None = None
    texts: Path | None = None
    text_options: TextOptions = field(default_factory=TextOptions)
    storage: Storage | None = None
    normalise: bool = False
    reading: LoadOptions = field(default_factory=LoadOptions)


class _Seen(NamedTuple):
    """What was found in (n, d) features: the hash of each row, and what is wrong with some."""

    hashes: list[str]
    wrong: dict[int, str]


def import_features(asked: FeatureImport, out: Path) -> Recording:
    """Returns the recording that is made of features, in a folder that was not there.

    Args:
        asked: what is imported.
        out: the folder.

    Raises:
        DatasetError: with everything that is wrong with features, annotations and texts.
        AuditError: the folder is there already, or cannot be written.
    """
    refuse_full_folder(out)
    source = feature_source(asked.features, asked.vector)
    columns = LabelColumns.of(source.path, asked.columns, asked.join)
    annotated = annotated_features(source, asked.labels, columns)
    check = FeatureCheck(chosen_storage(list(source.parts), asked.storage), asked.normalise)
    texts = _texts_of_width(asked, source)
    seen = _look_at(source, check)
    dataset = _dataset_of_features(asked, annotated, seen, out)
    if problem := check.problem(source.path):
        raise DatasetError([problem, *dataset.left_out])
    dataset, kept = _without_repeats(dataset, seen.hashes, skip_bad=asked.reading.skip_bad)
    stated = _statement(asked, source, check).model_copy(
        update={
            "n": len(dataset),
            "texts": len(texts.texts) if texts else 0,
            "features_sha256": hash_of_hashes([seen.hashes[row] for row in kept]),
        }
    )
    again = FeatureCheck(check.storage, asked.normalise)
    blocks = chain.from_iterable(map(again.blocks, source.parts))
    write_recording(out, stated, dataset, _kept_rows(blocks, kept), texts)
    return read_recording(out)


def _texts_of_width(asked: FeatureImport, source: FeatureSource) -> RecordedTexts | None:
    if asked.texts is None:
        return None
    options = asked.text_options._replace(template=asked.claims.template, normalise=asked.normalise)
    texts = read_texts(asked.texts, options)
    d = source.parts[0].d
    if texts.rows.shape[1] != d:
        what = f"its features have {texts.rows.shape[1]:,} numbers, and those of images {d:,}"
        raise DatasetError.of(asked.texts, what, "Name the texts of the same model")
    return texts


def _look_at(source: FeatureSource, check: FeatureCheck) -> _Seen:
    hashes: list[str] = []
    wrong: dict[int, str] = {}
    for block in chain.from_iterable(map(check.blocks, source.parts)):
        hashes += row_hashes(block.rows)
        wrong |= {block.start + row: what for row, what in block.wrong.items()}
    return _Seen(hashes, wrong)


def _dataset_of_features(
    asked: FeatureImport, annotated: AnnotatedFeatures, seen: _Seen, out: Path
) -> Dataset:
    """Returns the dataset of the rows that have nothing wrong with them."""
    features = annotated.columns.sensitive_features
    path = annotated.source.path
    dates = SpreadsheetDates(asked.reading.repair)
    read = cell_reader(path, features, asked.reading, dates)
    images = list(annotated.images(seen.wrong, read))
    name = f"recorded:{out.resolve().name}"
    about = About("recorded", path, name, tuple(features), notes=dates.notes())
    return build_dataset(images, about, asked.reading, annotated.problems)


def _without_repeats(
    dataset: Dataset, hashes: Sequence[str], *, skip_bad: bool
) -> tuple[Dataset, npt.NDArray[np.intp]]:
    """Returns the dataset without features that are there twice, and which rows are left."""
    rows = [each.row for each in dataset.references if isinstance(each, FeatureRow)]
    own = [hashes[row] for row in rows]
    repeats = repeated_images(dataset, own, ())
    wrong = repeats.wrong() if repeats.too_many else ()
    problems = [image_problem(dataset, index, what) for index, what in wrong]
    if problems and not skip_bad:
        raise DatasetError(problems)
    rest, kept = leave_out_images(dataset, own, problems)
    return replace(rest, references=(), rows=()), np.array(rows, np.intp)[kept]


def _kept_rows(blocks: Iterable[CheckedBlock], kept: npt.NDArray[np.intp]) -> Iterator[Rows]:
    """Yields the rows of blocks that are kept."""
    for block in blocks:
        first, last = np.searchsorted(kept, [block.start, block.start + len(block.rows)])
        yield block.rows[kept[first:last] - block.start]


def _statement(
    asked: FeatureImport, source: FeatureSource, check: FeatureCheck
) -> RecordingStatement:
    """Returns what is known of a recording before it is known which rows are left."""
    texts = [path for path in (asked.texts, asked.text_options.words) if path]
    paths = dict.fromkeys([*(p.path for p in source.parts), *source.tables, *asked.labels, *texts])
    return RecordingStatement(
        claims=asked.claims,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        imported_by=f"evenhand {version('evenhand')}",
        imported_from=tuple(hashed_file(path) for path in paths if path.is_file()),
        n=source.n,
        d=source.parts[0].d,
        dtype=check.storage,
        unit_length=not check.off,
        features_sha256="",
        files=(),
    )
