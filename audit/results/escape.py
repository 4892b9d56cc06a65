"""Untrusted texts, as group names are, in Markdown."""

from __future__ import annotations

import re

from moderation.visible_text import lines

#: Signs that Markdown or GitHub read as more than themselves.
_SPECIAL = re.compile(r"([\\`*_\[|~$])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"}


def escaped(text: str) -> str:
    """Returns a text that Markdown shows as it is, on one line."""
    text = " ".join(lines(text).split())
    text = "".join(_ENTITIES.get(char, char) for char in text)
    text = _SPECIAL.sub(r"\\\1", text)
    # GitHub makes links of bare addresses.
    text = text.replace("://", "&#58;//").replace("www.", "www&#46;")
    # Nor is its beginning a heading, a list or a rule.
    text = re.sub(r"^([-+=#])", r"\\\1", text)
    return re.sub(r"^(\d+)([.)])", r"\1\\\2", text)
