"""Results -> report.html, report.md, results.json and the CSV files, in a folder."""

from __future__ import annotations

from pathlib import Path

from audit.report.csv_tables import csv_files
from audit.report.document import make_document
from audit.report.html import html
from audit.report.markdown import markdown
from audit.results.results import Results
from moderation.whole_file import whole_file


def write_report(results: Results, folder: Path) -> list[Path]:
    """Writes every format of the report of results, and returns the files.

    Equal results give equal files. A file is there whole or not at all.

    Args:
        results: what all formats are written from.
        folder: made if missing; files of the same names are replaced.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    document = make_document(results)
    texts = {
        "report.html": html(document),
        "report.md": markdown(document),
        "results.json": results.to_json(),
        **csv_files(results),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        with whole_file(folder / name) as file:
            # A name with a lone surrogate, which odd file systems have, must not stop a report.
            file.write(text.encode(errors="backslashreplace"))
    return [folder / name for name in texts]
