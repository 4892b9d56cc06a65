"""Files of texts and their features -> one feature for each text, as it stands there."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from audit.errors import DatasetError, RowProblem
from audit.plurals import counted
from audit.recordings.claims import with_word
from audit.recordings.feature_checks import EXACT_WITHIN, UNIT_WITHIN
from audit.recordings.feature_parts import NPY_SUFFIX, FeaturePart, feature_part
from audit.recordings.feature_source import clip_retrieval, columns_as_text
from moderation.encoders.encoder import Rows

NPZ_SUFFIX, JSON_SUFFIX = ".npz", ".json"

#: Two features of one text that lie closer than this are one, computed in other company.
_SAME_WITHIN = UNIT_WITHIN


class RecordedTexts(NamedTuple):
    """m texts, each once, with (m, d) features of unit length as float32."""

    texts: tuple[str, ...]
    rows: npt.NDArray[np.float32]


class TextOptions(NamedTuple):
    """How texts are read.

    Attributes:
        words: the file of the texts, beside a .npy or .npz of features.
        sets: of a .npz, the arrays that are taken, first those that win.
        column: of the texts, in a file that has columns.
        vector: of the features there, if it has several columns that can be.
        template: makes a text of each word, as "a photo of a {word}".
        normalise: whether features may have any length.
    """

    words: Path | None = None
    sets: Sequence[str] = ()
    column: str = "text"
    vector: str | None = None
    template: str | None = None
    normalise: bool = False


class _TextRow(NamedTuple):
    """A text with its feature, and where it stands."""

    text: str
    feature: Rows
    path: Path
    place: str
    rank: int


def read_texts(path: Path, options: TextOptions) -> RecordedTexts:
    """Returns the texts of a file with their features; a text that stands there twice once.

    Args:
        path: .npz or .npy beside a file of words; Parquet or Arrow; or a clip-retrieval folder,
            whose captions are taken.
        options: how it is read.

    Raises:
        DatasetError: with everything that is wrong with it.
    """
    if not path.exists():
        raise DatasetError.of(path, "there is no such file", "Check the path")
    if path.is_dir():
        rows = _rows_of_captions(path)
    elif path.suffix.lower() == NPZ_SUFFIX:
        rows = _rows_of_npz(path, options)
    elif path.suffix.lower() == NPY_SUFFIX:
        part = feature_part(path)
        rows = _rows_of_part(part, _words(path, options))
    else:
        texts = columns_as_text(path, [options.column]).cells[options.column]
        rows = _rows_of_part(feature_part(path, options.vector), texts)
    return _one_of_each(path, list(rows), options)


def _rows_of_captions(folder: Path) -> Iterator[_TextRow]:
    source = clip_retrieval(folder, "text_emb")
    for part, table in zip(source.parts, source.tables, strict=True):
        captions = columns_as_text(table, ["caption"]).cells["caption"]
        # An image without a caption has the feature of an empty text, which nobody asks for.
        yield from (row for row in _rows_of_part(part, captions) if row.text.strip())


def _rows_of_part(part: FeaturePart, texts: Sequence[str]) -> Iterator[_TextRow]:
    if len(texts) != part.n:
        what = f"it has {counted(part.n, 'feature')}, and there are {counted(len(texts), 'text')}"
        raise DatasetError.of(part.path, what, "Give each feature one text, in their order")
    row = 0
    for block in part.blocks():
        for i, feature in enumerate(block.rows):
            found = np.full(part.d, np.nan, np.float32) if i in block.wrong else feature
            yield _TextRow(texts[row], found, part.path, f"row {row + 1}", 0)
            row += 1


def _rows_of_npz(path: Path, options: TextOptions) -> Iterator[_TextRow]:
    words = _words_of_sets(path, options)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            names = list(options.sets or arrays.files)
            if unknown := [name for name in names if name not in arrays.files]:
                what = f"there is no set {', '.join(unknown)}"
                raise DatasetError.of(path, what, f"It has: {', '.join(arrays.files)}")
            read = {name: np.asarray(arrays[name]) for name in names}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        what = f"it is not a whole .npz file of plain numbers ({error})"
        remedy = "Save arrays of floats: numpy.savez(path, name=features)"
        raise DatasetError.of(path, what, remedy) from error
    for rank, (name, rows) in enumerate(read.items()):
        texts = words.get(name)
        if rows.ndim != 2 or rows.dtype.kind != "f" or texts is None or len(texts) != len(rows):
            shape = " x ".join(map(str, rows.shape))
            listed = "no words" if texts is None else counted(len(texts), "word")
            what = f"the set {name} is {shape} of {rows.dtype.name}, and has {listed}"
            raise DatasetError.of(path, what, "Give each row of floats one word, in their order")
        for i, (text, feature) in enumerate(zip(texts, rows, strict=True), 1):
            yield _TextRow(text, feature, path, f"row {i} of {name}", rank)


def _words_of_sets(path: Path, options: TextOptions) -> dict[str, list[str]]:
    """Returns the words of each set, from a JSON file of lists."""
    if options.words is None or options.words.suffix.lower() != JSON_SUFFIX:
        remedy = "Name a JSON file with a list for each array, with --words"
        raise DatasetError.of(options.words or path, "the words of a .npz are in JSON", remedy)
    content = _read_json(options.words)
    if not isinstance(content, dict):
        what = "it is not a mapping of sets to lists of words"
        raise DatasetError.of(options.words, what, 'Write {"name": ["first", ...], ...}')
    return {
        name: words
        for name, words in content.items()
        if isinstance(words, list) and all(isinstance(word, str) for word in words)
    }


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        what = f"it cannot be read: {error.strerror}"
        raise DatasetError.of(path, what, "Name a file that can be read") from error
    except ValueError as error:
        raise DatasetError.of(path, f"it is not JSON ({error})", "Write it again") from error


def _words(path: Path, options: TextOptions) -> Sequence[str]:
    """Returns the texts of a .npy: of a CSV by its column, a list in JSON, or line by line."""
    if options.words is None:
        remedy = "Name a file with a text a line, or a CSV or JSON file, with --words"
        raise DatasetError.of(path, "a .npy file has no texts", remedy)
    suffix = options.words.suffix.lower()
    if suffix == JSON_SUFFIX:
        content = _read_json(options.words)
        if isinstance(content, list) and all(isinstance(word, str) for word in content):
            return content
        raise DatasetError.of(options.words, "it is not a list of words", 'Write ["first", ...]')
    if suffix in (".csv", ".parquet"):
        return columns_as_text(options.words, [options.column]).cells[options.column]
    try:
        return options.words.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError.of(
            options.words, f"it cannot be read as text ({error})", "Save it as text in UTF-8"
        ) from error


def _one_of_each(path: Path, rows: list[_TextRow], options: TextOptions) -> RecordedTexts:
    """Returns every text once, after all features are checked."""
    problems = [*_wrong_rows(rows, normalise=options.normalise)]
    first: dict[str, _TextRow] = {}
    for row in rows:
        text = with_word(options.template, row.text) if options.template else row.text
        other = first.setdefault(text, row)
        named = bool(options.sets) and other.rank != row.rank
        if other is not row and not named and _differ(other.feature, row.feature):
            what = f"{text!r} of {row.place} has another feature in {other.place}"
            remedy = "Remove one"
            if row.rank != other.rank:
                remedy = "Name the sets with --text-set, first the one that wins; or remove one"
            problems.append(RowProblem(str(row.path), 0, what, remedy))
    if problems:
        raise DatasetError(problems)
    if not first:
        raise DatasetError.of(path, "there is no text in it", "Name a file of texts")
    stacked = np.stack([_of_unit_length(row.feature) for row in first.values()])
    return RecordedTexts(tuple(first), stacked.astype(np.float32))


def _wrong_rows(rows: Iterable[_TextRow], *, normalise: bool) -> Iterator[RowProblem]:
    """Yields what is wrong with texts and features, each by itself."""
    for row in rows:
        length = float(np.linalg.norm(row.feature.astype(np.float64)))
        if not row.text.strip():
            yield RowProblem(str(row.path), 0, f"the text of {row.place} is empty", "Remove it")
        elif not np.isfinite(row.feature).all():
            what = (
                f"the feature of {row.text!r}, {row.place}, is not finite or not as long as others"
            )
            yield RowProblem(str(row.path), 0, what, "Embed the text again")
        elif not row.feature.any():
            what = f"the feature of {row.text!r}, {row.place}, is zero in every place"
            yield RowProblem(str(row.path), 0, what, "Embed the text again")
        elif abs(length - 1) > UNIT_WITHIN and not normalise:
            what = f"the feature of {row.text!r}, {row.place}, is {length:.4g} long, not 1"
            remedy = "Add --normalise if the model gives them so"
            yield RowProblem(str(row.path), 0, what, remedy)


def _of_unit_length(feature: Rows) -> npt.NDArray[np.float64]:
    """Returns a feature at unit length; one that has it but for rounding stays as it is."""
    wide = feature.astype(np.float64)
    if abs(np.linalg.norm(wide) - 1) <= EXACT_WITHIN:
        return wide
    wide /= np.abs(wide).max()  # first, since its square may be too large
    wide /= np.linalg.norm(wide)
    return wide


def _differ(one: Rows, two: Rows) -> bool:
    """Whether two features of a text are not of one direction, as far as half precision shows."""
    if one.shape != two.shape or not (one.any() and two.any()):
        return True
    with np.errstate(all="ignore"):
        apart = np.linalg.norm(_of_unit_length(one) - _of_unit_length(two))
    return not apart <= _SAME_WITHIN
