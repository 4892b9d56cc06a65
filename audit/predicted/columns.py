"""What is asked of files of predictions, as it is typed: which column is what, for which system.

In a COLUMN one `*` stands for any text, and the same text stands for `*` in a NAME. Where several
files have a column of a name, KEY:COLUMN says of which file it is.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from audit.datasets.spelling import composed
from audit.errors import AuditError
from audit.predicted.files import PredictionFile
from moderation.visible_text import brief

#: Up to this many columns are named in an error.
_NAMED = 30


@dataclass(frozen=True)
class PredictionOptions:
    """What the columns of files of predictions hold, as it is typed.

    Attributes:
        decisions: [NAME=]COLUMN of decisions: allow, review, block; see `systems.DECISIONS`.
        said: [NAME=]COLUMN of the label that a system said.
        scores: [NAME[/LABEL]=]COLUMN@THRESHOLD[,REVIEW] of scores; a score that reaches one of
            them says the label.
        flags: [CATEGORY/]LABEL[=review|block], the labels that flag, or `none`. By default
            those of scores do, and those of `said` do not.
        implies: LABEL=CLASS, the class of y_true that a label implies, or [NAME=]@COLUMN, where it
            stands in each row.
        truth_columns: [NAME=]COLUMN of y_true.
        truth: what a class of y_true means: a label, `allow`, or `flag`.
        columns: the column of `id`, `y_true`, and of sensitive features, by their names.
        count: the column of how many images a row stands for.
        any_scale: whether scores may be any numbers; otherwise they lie from 0 to 1, or from 0 to
            100 where their threshold is above 1.
        benign: whether nothing in any image should be flagged.
        skip_bad: leaves out rows with something wrong, and counts them, in place of an error.
        as_written: sensitive features, and columns of labels, whose values are taken as they are
            written: case tells them apart, and NA, None or unknown is a group.
    """

    decisions: Sequence[str] = ()
    said: Sequence[str] = ()
    scores: Sequence[str] = ()
    flags: Sequence[str] = ()
    implies: Sequence[str] = ()
    truth_columns: Sequence[str] = ()
    truth: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    count: str | None = None
    any_scale: bool = False
    benign: bool = False
    skip_bad: bool = False
    as_written: frozenset[str] = frozenset()


class Column(NamedTuple):
    """A column of one of the files, by the place of the file."""

    file: int
    name: str


@dataclass(frozen=True)
class FileColumns:
    """The columns of all files, found by what was typed."""

    files: Sequence[PredictionFile]

    @cached_property
    def by_name(self) -> dict[str, list[Column]]:
        """The columns of each name, in the order of the files."""
        found: dict[str, list[Column]] = {}
        for place, file in enumerate(self.files):
            for name in file.columns:
                found.setdefault(composed(name), []).append(Column(place, name))
        return found

    def named(self, typed: str) -> list[Column]:
        """Returns the columns that a name means, one of each file that has it."""
        if found := self.by_name.get(composed(typed)):
            return found
        file, name = self._of_key(typed)
        return [each for each in self.by_name.get(name, ()) if each.file == file]

    def one(self, typed: str, option: str) -> Column:
        """Returns the one column that a name means.

        Raises:
            AuditError: there is none, or several files have one.
        """
        found = self.named(typed)
        if not found:
            raise self._unknown(typed, option)
        if len(found) > 1:
            raise self._ambiguous(typed, option)
        return self._with_values(found[0], option)

    def first(self, typed: str, option: str) -> Column:
        """Returns the first column that a name means; files may share one that says the same.

        Raises:
            AuditError: there is none.
        """
        if found := self.named(typed):
            return self._with_values(found[0], option)
        raise self._unknown(typed, option)

    def matching(self, typed: str, option: str) -> list[tuple[str, Column]]:
        """Returns the columns that a name with one `*` means, each with what it stands for.

        Of a name without `*`, the one column, with its own name.

        Raises:
            AuditError: no column fits, or columns of several files do.
        """
        if typed.count("*") != 1 or self.named(typed):
            column = self.one(typed, option)
            return [(column.name, column)]
        file, pattern = self._of_key(typed)
        found = [
            (text, column)
            for name, columns in self.by_name.items()
            if (text := star_text(pattern, name)) is not None
            for column in columns
            if file is None or column.file == file
            if self.files[column.file].columns[column.name] != "no value"
        ]
        if not found:
            raise self._unknown(typed, option)
        if len({text for text, _ in found}) < len(found):
            raise self._ambiguous(typed, option)
        return found

    def _with_values(self, column: Column, option: str) -> Column:
        """Returns a column that holds values; refuses any other."""
        file = self.files[column.file]
        if file.columns[column.name] != "no value":
            return column
        what = (
            f"the column {column.name} of {file.path} holds lists, records or bytes, and no values"
        )
        raise AuditError(what, option, "Name a column of texts or numbers")

    def _of_key(self, typed: str) -> tuple[int | None, str]:
        """Returns the file whose key stands before a colon, if any does, and the name itself."""
        key, _, name = typed.partition(":")
        for place, file in enumerate(self.files):
            if name and file.key == key.strip():
                return place, composed(name)
        return None, composed(typed)

    def _ambiguous(self, typed: str, option: str) -> AuditError:
        spelt = " or ".join(f"{file.key}:{typed}" for file in self.files)
        paths = ", ".join(f"{file.key} is {file.path}" for file in self.files)
        what = f"several files have a column {typed}"
        return AuditError(what, option, f"Say of which file it is: {spelt} ({paths})")

    def _unknown(self, typed: str, option: str) -> AuditError:
        names = [columns[0].name for columns in self.by_name.values()]
        near = difflib.get_close_matches(typed, names, 1)
        has = ", ".join(names[:_NAMED])
        more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
        remedy = f"Did you mean {near[0]}? " if near else ""
        what = f"no column fits {typed}" if "*" in typed else f"there is no column {typed}"
        return AuditError(brief(what), option, brief(f"{remedy}There are: {has}{more}"))


def star_text(pattern: str, text: str) -> str | None:
    """Returns the text that the one `*` of a pattern stands for; None where it does not fit."""
    before, star, after = pattern.partition("*")
    stands_for = text[len(before) : len(text) - len(after)]
    return stands_for if star and stands_for and before + stands_for + after == text else None


def named_column(typed: str, columns: FileColumns) -> tuple[str | None, str]:
    """Returns the name and the column of [NAME=]COLUMN; a column may have = in its own name."""
    if "=" not in typed or columns.named(typed):
        return None, typed.strip()
    name, _, column = (part.strip() for part in typed.partition("="))
    return composed(name), column
