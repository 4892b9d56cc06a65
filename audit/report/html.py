"""The document as one HTML page that needs no other file: no script, no font, no image."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from audit.report.document import Document
from audit.report.inline import quoted_line
from moderation.visible_text import lines


def html(document: Document) -> str:
    """Returns the HTML of a document; everything in it except the drawings is escaped."""
    environment = Environment(
        loader=PackageLoader("audit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible_in_html,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "drawing": Markup,
        "kind": lambda it: type(it).__name__,
        "quoted": quoted_line,
    }
    template = environment.get_template("page.html.j2")
    return template.render(document=document, numbers=document.numbers())


def _visible_in_html(value: Any) -> Any:
    """Writes out the invisible characters of what is printed, unless it is finished HTML."""
    return lines(value) if isinstance(value, str) and not isinstance(value, Markup) else value
