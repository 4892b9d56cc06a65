"""One spelling for each group and class, so that one group is counted as one.

The same text can be made of different characters: é is one character, or e and an accent, as macOS
writes file names. Unicode calls both equal, and so do we; and no text is another by its spaces.
Texts that differ in invisible characters, or in case, are for the auditor to put right: codes may
differ in case alone.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from audit.plurals import agreeing, counted

#: Up to this many values get a note.
_NOTED = 20


@lru_cache(maxsize=2**14)  # a million rows have few values
def composed(text: str) -> str:
    """Returns the one spelling of texts that Unicode calls equal (NFC), whatever their spaces."""
    return " ".join(unicodedata.normalize("NFC", text).split())


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
        several = [(key, ways) for key, ways in self.counts.items() if len(ways) > 1]
        for (column, value), ways in several[:_NOTED]:
            shown = ", ".join(f"{text!a} ({n:,})" for text, n in sorted(ways.items()))
            yield f"{column} {value} was spelt in {len(ways)} ways, counted as one: {shown}."
        if more := len(several[_NOTED:]):
            values = f"{counted(more, 'more value')} {agreeing(more, 'was', 'were')}"
            yield f"{values} spelt in several ways, each counted as one."


def alike_spellings(values: Iterable[str]) -> tuple[str, str] | None:
    """Returns two values that look the same and are not, or None; case can be seen."""
    first: dict[str, str] = {}
    for value in sorted(values):
        if (other := first.setdefault(_seen_spelling(value), value)) != value:
            return other, value
    return None


def alike_but_for_case(values: Iterable[str]) -> list[tuple[str, ...]]:
    """Returns the values that look the same but for case, those that are alike together."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for value in sorted(values):
        found[_seen_spelling(value).casefold()].append(value)
    return [tuple(alike) for alike in found.values() if len(alike) > 1]


def _seen_spelling(text: str) -> str:
    """Returns what is seen of a text: plain letters and spaces, no control or format characters."""
    words = unicodedata.normalize("NFKC", composed(text))
    return composed("".join(c for c in words if unicodedata.category(c) not in ("Cc", "Cf")))
