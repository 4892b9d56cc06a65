"""The tables of results.json as CSV, for spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from audit.results.results import Results
from audit.results.rows import Record

#: A spreadsheet takes a text that begins like this for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_files(results: Results) -> dict[str, str]:
    """Returns the text of a CSV file by its name, for each table that has rows."""
    return {f"{name}.csv": _csv_text(rows) for name, rows in csv_tables(results).items()}


def csv_tables(results: Results) -> dict[str, Sequence[Record]]:
    """Returns the rows of each table that has any, by the name of its CSV file."""
    fields = {name: getattr(results, name) for name in type(results).model_fields}
    return {
        name: rows
        for name, rows in fields.items()
        if isinstance(rows, tuple) and rows and isinstance(rows[0], Record)
    }


def _csv_text(rows: Sequence[Record]) -> str:
    columns = list(type(rows[0]).model_fields)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_csv_cell(getattr(row, column)) for column in columns] for row in rows)
    return stream.getvalue()


def _csv_cell(value: Any) -> str:
    """Returns a value as a cell: undefined is empty, and no text is a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    text = "; ".join(value) if isinstance(value, tuple) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
