"""Ages that a spreadsheet turned into dates: 3-9 into 9-Mar, 10-19 into Oct-19."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from audit.datasets.adapters.annotated_images import Wrong

_MONTHS = {
    **dict.fromkeys(("mar", "march", "mär", "märz", "mrz"), 3),
    **dict.fromkeys(("sep", "sept", "september"), 9),
    **dict.fromkeys(("oct", "october", "okt", "oktober"), 10),
}

_DAY_MONTH = re.compile(r"(\d{1,2})[-/. ]+([^\W\d_]+)\.?(?:[-/. ]+(\d{2,4}))?")
_MONTH_DAY = re.compile(r"([^\W\d_]+)\.?[-/. ]+(\d{1,2})")
# A year is needed, since 3.9 may be a number.
_NUMBERS = re.compile(r"(\d{1,2})[/.](\d{1,2})[/.](\d{2,4})")
_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[ T]00:00:00)?")


@dataclass
class SpreadsheetDates:
    """Finds ages that became dates, and puts them right on request.

    Attributes:
        repair: whether they are put right.
        repaired: how many were put right, by what was written and what it had been.
    """

    repair: bool = False
    repaired: Counter[tuple[str, str]] = field(default_factory=Counter)

    def read(self, cell: str) -> str | Wrong:
        """Returns what a cell was before the spreadsheet changed it; any other cell as it is."""
        age = age_of_date(cell)
        if age is None:
            return cell
        if not self.repair:
            what = f"{cell} is {age}, which a spreadsheet turned into a date"
            return Wrong(what, f"Write {age} there, or let --repair put all such ages right")
        self.repaired[cell, age] += 1
        return age

    def notes(self) -> tuple[str, ...]:
        """Returns a note that counts what was put right; no note where nothing was."""
        if not self.repaired:
            return ()
        counts = sorted(self.repaired.items())
        changes = ", ".join(f"{cell} to {age} ({count})" for (cell, age), count in counts)
        n = self.repaired.total()
        return (
            f"Ages that a spreadsheet turned into dates, put right on request: {n}. {changes}.",
        )


def age_of_date(cell: str) -> str | None:
    """Returns the one age group that a spreadsheet turns into this date, or None.

    No other age group of FairFace can become a date: neither 0-2 nor 20-29 has a month in it.
    """
    day_month_year = _spreadsheet_date(cell.strip().casefold())
    if day_month_year is None:
        return None
    one, other, year = day_month_year
    if {one, other} == {3, 9}:
        return "3-9"
    if {one, other} == {10, 19} or ({one, other} == {10, 1} and year == 19):
        return "10-19"  # October 19, or the first of October 2019
    return None


def _spreadsheet_date(cell: str) -> tuple[int, int, int | None] | None:
    """Returns day and month, in any order, and the last two digits of the year."""
    if found := _DAY_MONTH.fullmatch(cell):
        return int(found[1]), _MONTHS.get(found[2], 0), _spreadsheet_year(found[3])
    if found := _MONTH_DAY.fullmatch(cell):
        return int(found[2]), _MONTHS.get(found[1], 0), None
    if found := _NUMBERS.fullmatch(cell):
        return int(found[1]), int(found[2]), _spreadsheet_year(found[3])
    if found := _ISO.fullmatch(cell):
        return int(found[2]), int(found[3]), _spreadsheet_year(found[1])
    return None


def _spreadsheet_year(text: str | None) -> int | None:
    return int(text) % 100 if text else None
