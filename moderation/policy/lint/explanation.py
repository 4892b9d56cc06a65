"""The page that explains every finding, of which a command prints a part."""

from __future__ import annotations

import re
from pathlib import Path

#: The page, as a reader of the documentation finds it.
PAGE = "docs/lint.md"


def explanation(code: str) -> str:
    """Returns the section of the page on a code, as Markdown."""
    found = re.search(
        rf"^### `{re.escape(code)}`\n.*?(?=^###? |\Z)", _page(), re.MULTILINE | re.DOTALL
    )
    if found is None:
        raise KeyError(code)
    return found[0].strip()


def _page() -> str:
    """Returns the page: beside this file where it was installed, otherwise among the docs."""
    inside = Path(__file__).with_name("lint.md")
    page = inside if inside.is_file() else Path(__file__).parents[3] / PAGE
    return page.read_text(encoding="utf-8")
