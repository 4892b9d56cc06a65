"""Shares as texts of a finding; and untrusted texts, such as group names, in Markdown."""

from __future__ import annotations

import re

from moderation.visible_text import lines

#: Characters that Markdown or GitHub read as markup.
_SPECIAL = re.compile(r"([\\`*_\[|~$])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"}


def escaped(text: str) -> str:
    """Formats a text so that Markdown shows it as it is, on one line."""
    text = " ".join(lines(text).split())
    text = "".join(_ENTITIES.get(char, char) for char in text)
    text = _SPECIAL.sub(r"\\\1", text)
    # GitHub turns bare addresses into links.
    text = text.replace("://", "&#58;//").replace("www.", "www&#46;")
    # Its beginning must not be a heading, a list or a rule.
    text = re.sub(r"^([-+=#])", r"\\\1", text)
    return re.sub(r"^(\d+)([.)])", r"\1\\\2", text)


def of_10000(share: float | None) -> str:
    """Formats a share as a count of 10,000 images."""
    return "an unknown number" if share is None else f"{share * 10_000:,.0f}"


def percent(share: float | None, digits: int = 1) -> str:
    """Formats a share in percent."""
    return "undefined" if share is None else f"{100 * share:.{digits}f} %"


def net_of_10000(net: float | None) -> str:
    """Formats a change of a rate as how many more or fewer of 10,000 images."""
    if net is None:
        return "an unknown change"
    if not net:
        return "no change"
    return f"{of_10000(abs(net))} {'more' if net > 0 else 'fewer'}"


def signed_of_10000(share: float | None) -> str:
    """Formats a change of a rate as a signed count of 10,000 images."""
    return "unknown" if share is None else f"{share * 10_000:+,.0f}".replace("-", "−")
