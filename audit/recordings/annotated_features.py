"""Rows of features and rows of annotations -> annotated images, each with the place of its feature.

They belong together by their order, or by an id where both have one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from audit.datasets.adapters.annotated_images import AnnotatedImage, Wrong, is_empty_annotation
from audit.datasets.adapters.csv_and_parquet import Annotations
from audit.datasets.adapters.options import ID, IMAGE, SHA256, Y_TRUE
from audit.datasets.adapters.table import ReadValue
from audit.datasets.dataset import IMAGE_ID
from audit.datasets.image_references import FeatureRow
from audit.errors import DatasetError, RowProblem
from audit.plurals import counted
from audit.recordings.feature_source import FeatureSource, columns_as_text

_NO_FEATURE = Wrong("no feature has its id", "Add it, or leave the row out with --skip-bad")
_AGAIN = "Embed it again, or leave it out with --skip-bad"

#: Up to this many ids are named.
_NAMED = 5


class LabelColumns(NamedTuple):
    """Which column of the annotations is what.

    Attributes:
        sensitive_features: the column of each.
        y_true: the column of classes, if any.
        id: the column of what images are called; by default they are called by their number.
        join: the column of ids beside the features, if annotations belong to them by id.
    """

    sensitive_features: Mapping[str, str]
    y_true: str | None = None
    id: str | None = None
    join: str | None = None

    @classmethod
    def of(cls, path: Path, columns: Mapping[str, str], join: str | None = None) -> LabelColumns:
        """Returns the columns of KEY=NAME pairs.

        Raises:
            DatasetError: a key is of images, which there are none of; or an id is needed to join.
        """
        if unfit := [key for key in (IMAGE, SHA256, IMAGE_ID) if key in columns]:
            what = f"{', '.join(unfit)} is not taken: features are imported, and no images"
            raise DatasetError.of(path, what, "Write --column id=NAME for what images are called")
        if join is not None and ID not in columns:
            what = "which column of the annotations has the ids is not said"
            raise DatasetError.of(path, what, "Add --column id=NAME")
        features = {key: name for key, name in columns.items() if key not in (ID, Y_TRUE)}
        return cls(features, columns.get(Y_TRUE), columns.get(ID), join)

    @property
    def names(self) -> list[str]:
        """The names of all columns that are read."""
        named = (*self.sensitive_features.values(), self.y_true, self.id)
        return list(dict.fromkeys(name for name in named if name))


class _Row(NamedTuple):
    """A row of annotations; without a place among the cells where it could not be read."""

    table: Annotations
    row: int
    place: int | None

    def cell(self, column: str | None) -> str:
        if column is None or self.place is None:
            return ""
        text = self.table.cells[column][self.place].strip()
        return "" if is_empty_annotation(text) else text


class AnnotatedFeatures(NamedTuple):
    """Rows of annotations in the order of the features, None where a feature has none.

    Attributes:
        source: the features.
        columns: which column is what.
        rows: (n,) the row of each feature.
        problems: what cannot be read, and features without annotations.
        unmet: rows of annotations without a feature.
    """

    source: FeatureSource
    columns: LabelColumns
    rows: Sequence[_Row | None]
    problems: tuple[RowProblem, ...]
    unmet: Sequence[_Row] = ()

    def images(self, wrong: Mapping[int, str], read: ReadValue) -> Iterator[AnnotatedImage]:
        """Yields the annotated image of each feature, then those that have none.

        Args:
            wrong: what is wrong with the features of some rows.
            read: reads the cells of sensitive features.
        """
        index = 0
        for part in self.source.parts:
            for number in range(1, part.n + 1):
                row = self.rows[index]
                if row is not None and row.place is not None:
                    found = self._wrong_feature(part.path, number, wrong.get(index))
                    yield self._image(row, index, found, read)
                index += 1
        for row in self.unmet:
            yield self._image(row, index, (_NO_FEATURE,), read)
            index += 1

    def _image(
        self, row: _Row, index: int, wrong: tuple[Wrong, ...], read: ReadValue
    ) -> AnnotatedImage:
        columns = self.columns
        cells = {name: row.table.cells[c][row.place or 0] for name, c in self._features}
        return AnnotatedImage(
            path=row.table.path,
            row=row.row,
            image_id=row.cell(columns.id) if columns.id else str(index + 1),
            reference=FeatureRow(row.table.path, index),
            y_true=row.cell(columns.y_true),
            values={name: read(name, cell) for name, cell in cells.items()},
            wrong=wrong,
        )

    @property
    def _features(self) -> Iterable[tuple[str, str]]:
        return self.columns.sensitive_features.items()

    def _wrong_feature(self, path: Path, number: int, what: str | None) -> tuple[Wrong, ...]:
        if what is None:
            return ()
        return (Wrong(f"its feature, row {number} of {path.name}, {what}", _AGAIN),)


def annotated_features(
    source: FeatureSource, labels: Sequence[Path], columns: LabelColumns
) -> AnnotatedFeatures:
    """Returns which row of annotations each feature has.

    Args:
        source: the features.
        labels: tables of annotations; () where those beside the features have them.
        columns: which column is what.

    Raises:
        DatasetError: there are no annotations, they cannot be read, they are not as many as the
            features, or no id of them is one of the features'.
    """
    if not labels and not source.tables:
        what = "a .npy file has no annotations"
        raise DatasetError.of(source.path, what, "Name a table of them with --labels")
    if columns.join and not (labels and source.tables):
        what = "there are no two tables to join"
        remedy = "Leave out --join; or name --labels, and features in Parquet or Arrow"
        raise DatasetError.of(source.path, what, remedy)
    tables = [columns_as_text(path, columns.names) for path in labels or source.tables]
    problems = tuple(problem for table in tables for problem in table.problems)
    rows = [row for table in tables for row in _rows_in_order(table)]
    if columns.join:
        return _joined(source, columns, rows, problems)
    if len(rows) != source.n:
        what = f"it has {counted(len(rows), 'row')}, and there are {counted(source.n, 'feature')}"
        remedy = "Name the table of these features, in their order; or join them by id"
        raise DatasetError.of(tables[0].path, what, remedy)
    return AnnotatedFeatures(source, columns, rows, problems)


def _rows_in_order(table: Annotations) -> list[_Row]:
    """Returns the rows of a table in its order, with those that could not be read."""
    rows = [_Row(table, row, place) for place, row in enumerate(table.rows)]
    unread = [_Row(table, problem.row, None) for problem in table.problems]
    return sorted((*rows, *unread), key=lambda row: row.row) if unread else rows


def _joined(
    source: FeatureSource,
    columns: LabelColumns,
    rows: Sequence[_Row],
    problems: tuple[RowProblem, ...],
) -> AnnotatedFeatures:
    """Returns the rows of annotations joined to the features by id."""
    assert columns.join
    by_id: dict[str, _Row] = {}
    found = list(problems)
    for row in rows:
        if row.place is None:
            continue
        name = row.cell(columns.id)
        if (first := by_id.setdefault(name, row)) is not row:
            what = f"the id {name} is also in row {first.row}"
            found.append(RowProblem(str(row.table.path), row.row, what, "Keep one of the two rows"))
    joined: list[_Row | None] = []
    for path in source.tables:
        table = columns_as_text(path, [columns.join])
        for number, name in zip(table.rows, table.cells[columns.join], strict=True):
            joined.append(by_id.get(name.strip()))
            if joined[-1] is None:
                what = f"no row of the annotations has the id of this feature, {name.strip()}"
                found.append(RowProblem(str(path), number, what, "Annotate it, or use --skip-bad"))
    used = {id(row) for row in joined}
    unmet = [row for row in by_id.values() if id(row) not in used]
    if len(unmet) == len(by_id):
        some = ", ".join(list(by_id)[:_NAMED])
        what = f"no id of it is in {columns.join} of the features: {some}"
        raise DatasetError.of(rows[0].table.path, what, "Name the columns that have the same ids")
    return AnnotatedFeatures(source, columns, joined, tuple(found), unmet)
