"""Untrusted texts, as group names are, on a terminal and in Markdown."""

from __future__ import annotations

import re
import unicodedata

#: Characters that reorder the text around them.
_REORDERING = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F}

#: Signs that Markdown or GitHub read as more than themselves.
_SPECIAL = re.compile(r"([\\`*_\[|~$])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"}


def clean(text: str) -> str:
    """Returns a text without control characters, which would garble a page or a terminal."""
    return "".join(
        char
        for char in text
        if char in "\n\t" or (unicodedata.category(char) != "Cc" and ord(char) not in _REORDERING)
    )


def escaped(text: str) -> str:
    """Returns a text that Markdown shows as it is, on one line."""
    text = " ".join(clean(text).split())
    text = "".join(_ENTITIES.get(char, char) for char in text)
    text = _SPECIAL.sub(r"\\\1", text)
    # GitHub makes links of bare addresses.
    text = text.replace("://", "&#58;//").replace("www.", "www&#46;")
    # Nor is its beginning a heading, a list or a rule.
    text = re.sub(r"^([-+=#])", r"\\\1", text)
    return re.sub(r"^(\d+)([.)])", r"\1\\\2", text)
