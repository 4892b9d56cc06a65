"""Which columns hold what was asked for: systems, the truth, groups, and what joins the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from audit.datasets.dataset import IMAGE_ID
from audit.datasets.spelling import composed
from audit.errors import AuditError
from audit.predicted.columns import (
    Column,
    FileColumns,
    PredictionOptions,
    named_column,
    star_text,
)
from audit.predicted.files import PredictionFile
from audit.predicted.system_columns import SystemColumns, asked_systems

#: Keys of `PredictionOptions.columns` that are not sensitive features.
_ID, _Y_TRUE = "id", "y_true"

#: Stands for all systems, among the columns of y_true.
EVERY_SYSTEM = ""


@dataclass(frozen=True)
class FoundColumns:
    """The columns of some files by what they hold.

    Attributes:
        files: those that are joined, the one with the groups first.
        systems: whose predictions they hold, in the order of reports.
        ids: the column of ids of each file; () where there is none.
        y_true: the column of classes for all systems, where there is one.
        count: the column of how many images a row stands for, where there is one.
        features: the column of each sensitive feature that was named; None takes all that are left.
    """

    files: tuple[PredictionFile, ...]
    systems: tuple[SystemColumns, ...]
    ids: tuple[Column, ...] = ()
    y_true: Column | None = None
    count: Column | None = None
    features: Mapping[str, Column] | None = None

    @property
    def taken(self) -> set[Column]:
        """The columns that are something else than a sensitive feature."""
        own = {column for system in self.systems for column in system.columns}
        return own | {each for each in (*self.ids, self.y_true, self.count) if each}


def find_columns(
    asked: PredictionOptions,
    files: Sequence[PredictionFile],
    by: Sequence[Sequence[str]] | None = None,
) -> FoundColumns:
    """Returns which columns of the files are what was asked for.

    Args:
        asked: as it was typed.
        files: those that are joined.
        by: sensitive features and intersections that are looked at; None for all.

    Raises:
        AuditError: a column is not there or in several files, or an option is not of its form.
    """
    columns = FileColumns(files)
    keyed = {composed(key): name for key, name in asked.columns.items()}
    systems = asked_systems(asked, columns)
    truths = [*asked.truth_columns, *([keyed[_Y_TRUE]] if _Y_TRUE in keyed else ())]
    y_true, own = _truth_columns(truths, systems, columns)
    implied = _implied_columns(asked.implies, systems, columns)
    return FoundColumns(
        files=tuple(files),
        systems=tuple(
            SystemColumns(
                each.name,
                each.kind,
                each.said,
                each.scores,
                implied.get(each.name),
                own.get(each.name),
            )
            for each in systems
        ),
        ids=_id_columns(keyed.get(_ID), columns),
        y_true=y_true,
        count=columns.one(asked.count, "--count") if asked.count else None,
        features=_feature_columns(keyed, by, columns),
    )


def _truth_columns(
    texts: Sequence[str], systems: Sequence[SystemColumns], columns: FileColumns
) -> tuple[Column | None, dict[str, Column]]:
    """Returns the column of y_true for all systems, and those of single ones."""
    every: Column | None = None
    own: dict[str, Column] = {}
    for text in texts:
        name, typed = named_column(text, columns)
        if name is not None:
            own |= _columns_of_systems(name, typed, "--truth-column", systems, columns)
        elif every is not None:
            what = f"two columns are y_true for all systems: {every.name} and {typed}"
            raise AuditError(what, "--truth-column", "Write NAME=COLUMN for that of one system")
        else:
            every = columns.first(typed, "--truth-column")
    return every, own


def _columns_of_systems(
    name: str,
    typed: str,
    option: str,
    systems: Sequence[SystemColumns],
    columns: FileColumns,
) -> dict[str, Column]:
    """Returns the column of each system that a name means; `*` in both is the same text."""
    found = {}
    for system in systems:
        fits = star_text(name, system.name) if "*" in name else None
        if system.name == name:
            found[system.name] = columns.first(typed, option)
        elif fits is not None:
            found[system.name] = columns.first(typed.replace("*", fits), option)
    if not found:
        called = ", ".join(system.name for system in systems)
        raise AuditError(f"no system is called {name}", option, f"There are: {called}")
    return found


def _implied_columns(
    texts: Sequence[str], systems: Sequence[SystemColumns], columns: FileColumns
) -> dict[str, Column]:
    """Returns the columns that say which class a label implies, by system."""
    found: dict[str, Column] = {}
    labelled = [system for system in systems if system.kind == "labels"]
    for text in texts:
        name, _, typed = (part.strip() for part in text.rpartition("="))
        if not typed.startswith("@"):
            continue  # LABEL=CLASS
        if not labelled:
            raise AuditError(f"no column of labels is named, so {text} says nothing", "--implies")
        if not name and len(labelled) > 1:
            what = f"it is not said whose labels imply {typed}"
            raise AuditError(what, "--implies", f"Write NAME={typed}")
        name = composed(name) or labelled[0].name
        found |= _columns_of_systems(name, typed[1:], "--implies", labelled, columns)
    return found


def _id_columns(typed: str | None, columns: FileColumns) -> tuple[Column, ...]:
    """Returns the column of ids of each file; they may call it by different names.

    Raises:
        AuditError: a file has none, and there are several.
    """
    files = columns.files
    if typed is None:
        if len(files) > 1:
            what = "several files are joined by id, and which column holds it is not said"
            raise AuditError(what, "--predictions", "Add --column id=COLUMN")
        return ()
    names = [typed] if columns.named(typed) else [part.strip() for part in typed.split(",")]
    found: dict[int, Column] = {}
    for name in names:
        columns.first(name, "--column id")  # a misspelt one is an error
        found = {column.file: column for column in columns.named(name)} | found
    if lacking := [file for place, file in enumerate(files) if place not in found]:
        what = f"{lacking[0].path} has no column {typed}, by which the files are joined"
        has = ", ".join(list(lacking[0].columns)[:20])
        remedy = f"Name that of each file, as --column id={typed},OTHER; it has: {has}"
        raise AuditError(what, "--column id", remedy)
    return tuple(found[place] for place in range(len(files)))


def _feature_columns(
    keyed: Mapping[str, str], by: Sequence[Sequence[str]] | None, columns: FileColumns
) -> dict[str, Column] | None:
    """Returns the column of each sensitive feature that is named; None where none is."""
    named = {key: name for key, name in keyed.items() if key not in (_ID, _Y_TRUE)}
    if IMAGE_ID in named:
        what = f"a sensitive feature cannot be called {IMAGE_ID}"
        raise AuditError(what, "--column", "Write --column id=COLUMN")
    found = {key: columns.first(name, f"--column {key}") for key, name in named.items()}
    for name in (composed(name) for part in by or () for name in part):
        if name not in found:
            found[name] = columns.first(name, "--by")
    return found or None
