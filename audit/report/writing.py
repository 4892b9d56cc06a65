"""Results -> report.html, report.md, results.json and the CSV files, in a folder."""

from __future__ import annotations

from pathlib import Path

from audit.report.markdown import markdown
from audit.report.outline import document
from audit.report.page import page
from audit.report.tables import table_files
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
    outline = document(results)
    texts = {
        "report.html": page(outline),
        "report.md": markdown(outline),
        "results.json": results.to_json(),
        **table_files(results),
    }
    folder.mkdir(parents=True, exist_ok=True)
    return [_write(folder / name, text) for name, text in texts.items()]


def _write(path: Path, text: str) -> Path:
    with whole_file(path) as file:
        # A name with a lone surrogate, which odd file systems have, must not stop a report.
        file.write(text.encode(errors="backslashreplace"))
    return path
