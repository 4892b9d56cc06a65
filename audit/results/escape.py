"""Untrusted texts, such as group names, in Markdown."""

from __future__ import annotations

import re

from moderation.visible_text import lines

#: Characters that Markdown or GitHub read as markup.
_SPECIAL = re.compile(r"([\\`*_\[|~$])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"}


def escaped(text: str) -> str:
    """Returns a text that Markdown shows as it is, on one line."""
    text = " ".join(lines(text).split())
    text = "".join(_ENTITIES.get(char, char) for char in text)
    text = _SPECIAL.sub(r"\\\1", text)
    # GitHub turns bare addresses into links.
    text = text.replace("://", "&#58;//").replace("www.", "www&#46;")
    # Its beginning must not be a heading, a list or a rule.
    text = re.sub(r"^([-+=#])", r"\\\1", text)
    return re.sub(r"^(\d+)([.)])", r"\1\\\2", text)
