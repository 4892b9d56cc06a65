"""Results -> report.html, report.md, results.json and the CSV files, in a folder."""

from __future__ import annotations

import os
from pathlib import Path

from audit.report.markdown import markdown
from audit.report.outline import document
from audit.report.page import page
from audit.report.tables import table_files
from audit.results.results import Results


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
    return [_replace(folder / name, text) for name, text in texts.items()]


def _replace(path: Path, text: str) -> Path:
    """Writes a file under another name first, so that an interruption leaves no half of it."""
    unfinished = path.with_name(f".{path.name}.part")
    try:
        # A name with a lone surrogate, as odd file systems have them, must not stop a report.
        unfinished.write_bytes(text.encode(errors="backslashreplace"))
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path
