"""Shares as texts of a finding; and untrusted texts, such as group names, in Markdown."""

from __future__ import annotations

import re

from audit.plurals import agreeing, counted
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
    if share is None:
        return "an unknown number"
    return "less than 1" if 0 < share < 0.5 / 10_000 else f"{share * 10_000:,.0f}"


def percent(share: float | None, digits: int = 1) -> str:
    """Formats a share in percent."""
    return "undefined" if share is None else f"{100 * share:.{digits}f} %"


def points(share: float | None) -> str:
    """Formats a difference of shares in percentage points."""
    if share is None:
        return "an unknown number of"
    text = f"{100 * share:.1f}"
    return "0.0" if text == "-0.0" else text.replace("-", "−")


def signed_points(share: float | None) -> str:
    """Formats a difference of shares in percentage points, with its sign."""
    text = points(share)
    return f"+{text}" if share is not None and share > 0 and text != "0.0" else text


def group_named(group: str) -> str:
    """Formats the name of a group; one without a letter is called a group: group 20-29."""
    return group if any(map(str.isalpha, group)) else f"group {group}"


def images(n: int) -> str:
    """Formats a number of images: 1 image, 2 images."""
    return counted(n, "image")


def moved(entered: int, left: int, become: str = "flagged") -> str:
    """Formats how many of some images come to be flagged and how many no longer are."""
    come, no_longer = agreeing(entered, "comes", "come"), agreeing(left, "is", "are")
    return f"{entered:,} {come} to be {become} and {left:,} no longer {no_longer}"


def p_text(p: float) -> str:
    """Formats a p: p = 0.011, or p < 0.0001."""
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.4f}" if p < 0.01 else f"p = {p:.3f}"


def net_of_10000(net: float | None, low: float | None, high: float | None) -> str:
    """Formats a change of a rate, with its interval, as how many more or fewer of 10,000 images."""
    if net is None or low is None or high is None:
        return "an unknown change"
    bounds = f"[{signed_of_10000(low)} to {signed_of_10000(high)}]"
    if not net:
        return f"no net change {bounds}"
    return f"{of_10000(abs(net))} {'more' if net > 0 else 'fewer'} of every 10,000 {bounds}"


def signed_of_10000(share: float) -> str:
    """Formats a change of a rate as how many more or fewer of 10,000 images: +120, −7, 0."""
    text = f"{share * 10_000:+,.0f}"
    return "0" if text in ("+0", "-0") else text.replace("-", "−")
