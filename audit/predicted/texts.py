"""The texts of one column of cells -> what each means, as codes, and those that mean nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from audit.datasets.adapters.annotated_images import Wrong
from audit.datasets.groups import Marks

#: Reads a text: what it means, empty for nothing; or what is wrong with it.
Read = Callable[[str], str | Wrong]

Counts = npt.NDArray[np.int64]


class CodedTexts(NamedTuple):
    """What the text of each of c cells means.

    Attributes:
        codes: (c,) index into `values`; -1 where nothing is known.
        values: in order.
    """

    codes: npt.NDArray[np.int64]
    values: tuple[str, ...]

    def texts(self) -> npt.NDArray[np.object_]:
        """Returns (c,) the values themselves, None where nothing is known."""
        return np.array([*self.values, None], object)[self.codes]

    def take(self, cells: npt.NDArray[np.intp]) -> CodedTexts:
        """Returns the texts of some cells."""
        return CodedTexts(self.codes[cells], self.values)


class WrongText(NamedTuple):
    """Something wrong with texts, as they are written, and how many rows have one of them."""

    wrong: Wrong
    texts: list[str]
    rows: int


class ReadTexts(NamedTuple):
    """A column of c cells after it was read.

    Attributes:
        coded: what each text means.
        wrong: (c,) cells whose text means nothing.
        problems: what is wrong with them.
        spelt: how many rows have each meaning, by the ways in which it is written.
    """

    coded: CodedTexts
    wrong: Marks
    problems: list[WrongText]
    spelt: dict[str, dict[str, int]]

    @property
    def sizes(self) -> dict[str, int]:
        """How many rows have each meaning."""
        return {value: sum(ways.values()) for value, ways in self.spelt.items()}


def read_texts(written: pd.Series, here: Marks, rows: Counts, read: Read) -> ReadTexts:
    """Returns what the texts of cells mean.

    Args:
        written: (c,) texts, as files have them; null where there is none.
        here: (c,) cells that have a row in the file of the column.
        rows: (c,) how many rows each cell is.
        read: what a text means.
    """
    codes, unique = pd.factorize(written)
    texts = [*map(str, unique), ""]  # the last for null, whose code is -1
    counts = np.bincount(codes[here] % len(texts), rows[here], len(texts)).astype(int).tolist()
    meanings = [read(text) if count else "" for text, count in zip(texts, counts, strict=True)]
    problems: dict[Wrong, WrongText] = {}
    spelt: dict[str, dict[str, int]] = {}
    for text, meaning, count in zip(texts, meanings, counts, strict=True):
        if isinstance(meaning, Wrong):
            before = problems.get(meaning, WrongText(meaning, [], 0))
            problems[meaning] = WrongText(meaning, [*before.texts, text], before.rows + count)
        elif meaning:
            spelt.setdefault(meaning, {})[text] = count
    values = tuple(sorted(spelt))
    place = {value: i for i, value in enumerate(values)}
    known = np.array(
        [-1 if isinstance(each, Wrong) else place.get(each, -1) for each in meanings], np.int64
    )
    wrong = np.array([isinstance(each, Wrong) for each in meanings])
    return ReadTexts(
        CodedTexts(np.where(here, known[codes], -1), values),
        np.asarray(wrong[codes] & here),
        list(problems.values()),
        spelt,
    )


def in_texts(column: str, texts: list[str]) -> str:
    """Returns the SQL of whether a column of text is one of some texts; null is the empty one."""
    listed = ", ".join("'" + text.replace("'", "''") + "'" for text in texts)
    return f"coalesce({column}, '') IN ({listed})"


def spelling_notes(column: str, spelt: dict[str, dict[str, int]]) -> Iterator[str]:
    """Yields a note on each meaning of a column that is written in several ways."""
    for value, ways in spelt.items():
        if len(ways) > 1:
            shown = ", ".join(f"{text!a} ({n:,})" for text, n in sorted(ways.items()))
            yield f"{column} {value} was spelt in {len(ways)} ways, counted as one: {shown}."
