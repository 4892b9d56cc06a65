"""A policy's plain data as rules read it: parts of the wrong type are passed over."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any, NamedTuple

from moderation.policy.yaml_source import Location


class BrokenRule(NamedTuple):
    """A rule that the data breaks, and where."""

    location: Location
    message: str
    remedy: str


def policy_items(data: dict[str, Any], key: str) -> list[Any]:
    """Returns a list of the policy; none where it is of the wrong type, which the rules skip."""
    found = data.get(key)
    return found if isinstance(found, list) else []


def policy_texts(data: dict[str, Any], key: str) -> list[tuple[int, str]]:
    """Returns the texts of a list, each with its place."""
    return [(i, text) for i, text in enumerate(policy_items(data, key)) if isinstance(text, str)]


def label_has(label: dict[str, Any], key: str) -> bool:
    """Whether an author gave a label the key that a rule is about."""
    return label.get(key) is not None


def label_number(label: dict[str, Any], key: str) -> float | None:
    """Returns a number of a label; None where it is of the wrong type, which the rules skip."""
    value = label.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def compared_text(text: str) -> str:
    """Returns a text as rules compare it, since models read it so: lower case, single spaces."""
    return " ".join(unicodedata.normalize("NFC", text.casefold()).split())


def repetition_rule(
    location: Location, what: str, texts: list[tuple[int, str]]
) -> Iterator[BrokenRule]:
    """Yields a broken rule for each text that most models read as one before it."""
    seen: set[str] = set()
    for i, text in texts:
        if compared_text(text) in seen:
            message = f"the {what} {text!r} is given twice"
            yield BrokenRule((*location, i), message, "Remove one: it would count double")
        seen.add(compared_text(text))
