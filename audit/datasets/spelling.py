"""One spelling for each group and class, so that one group is counted as one.

The same text can be made of different characters: é is one character, or e and an accent, as macOS
writes file names. Unicode calls both equal, and so do we. Texts that only look the same, because
of spaces or invisible characters, are for the auditor to put right.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


def composed(text: str) -> str:
    """Returns the one spelling of all texts that Unicode calls equal (NFC)."""
    return unicodedata.normalize("NFC", text)


@dataclass(frozen=True)
class Spellings:
    """Reads values by their one spelling, and counts how each was written, by column and value."""

    counts: defaultdict[tuple[str, str], Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )

    def read(self, column: str, written: str) -> str:
        """Returns the one spelling of a value."""
        value = composed(written)
        self.counts[column, value][written] += 1
        return value

    def notes(self) -> Iterator[str]:
        """Yields a note on each value that was written in several ways."""
        for (column, value), ways in self.counts.items():
            if len(ways) > 1:
                shown = ", ".join(f"{text!a} ({n:,})" for text, n in sorted(ways.items()))
                yield f"{column} {value} was spelt in {len(ways)} ways, counted as one: {shown}."


def alike_spellings(values: Iterable[str]) -> tuple[str, str] | None:
    """Returns two values that look the same and are not, or None.

    Case is a difference, since codes may differ in case alone.
    """
    first: dict[str, str] = {}
    for value in sorted(values):
        if (other := first.setdefault(_seen_spelling(value), value)) != value:
            return other, value
    return None


def _seen_spelling(text: str) -> str:
    """Returns what is seen of a text: single spaces, and no control or format characters."""
    words = " ".join(composed(text).split())
    return "".join(char for char in words if unicodedata.category(char) not in ("Cc", "Cf"))
