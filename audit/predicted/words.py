"""What the texts of predictions mean: decisions, groups, labels, classes; or what is wrong."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Literal

from audit.datasets.adapters.annotated_images import (
    LONGEST_NAME,
    Wrong,
    is_empty_annotation,
    unknown_annotation,
)
from audit.datasets.spelling import composed
from moderation.visible_text import brief

#: What a system decides on an image.
Decision = Literal["allow", "review", "block"]

#: The words of each decision, in any case. A whole number may have been stored with a point.
DECISIONS: dict[Decision, tuple[str, ...]] = {
    "allow": (
        *("allow", "allowed", "pass", "passed", "accept", "accepted", "approve", "approved"),
        *("keep", "kept", "ok", "safe", "no", "n", "false", "f", "0", "not flagged", "unflagged"),
    ),
    "review": ("review", "in review", "human review", "manual review", "escalate", "escalated"),
    "block": (
        *("block", "blocked", "reject", "rejected", "refuse", "refused", "remove", "removed"),
        *("deny", "denied", "unsafe", "flag", "flagged", "yes", "y", "true", "t", "1"),
    ),
}
_DECISION_OF = {word: decision for decision, words in DECISIONS.items() for word in words}

#: Words of decisions by which groups may be called too.
_MAYBE_GROUPS = {"no", "n", "false", "f", "0", "yes", "y", "true", "t", "1"}

#: What a class says without a label: nothing should be flagged, or something should.
ALLOW, FLAG = "allow", "flag"


def plain_word(text: str) -> str:
    """Returns a word in small letters, with spaces in it, and a whole number without a point."""
    return re.sub(r"(?<=\w)[_-](?=\w)", " ", composed(text)).casefold().removesuffix(".0")


def are_decisions(values: Collection[str]) -> bool:
    """Returns whether values are words that nothing but a decision is; 0 and 1 may be a group."""
    words = {plain_word(value) for value in values}
    return words <= set(_DECISION_OF) and bool(words - _MAYBE_GROUPS)


def read_decision(column: str, text: str) -> str | Wrong:
    """Returns the decision that a text is."""
    if is_empty_annotation(text):
        return empty_prediction(column)
    if decision := _DECISION_OF.get(plain_word(text)):
        return decision
    what = f"{column} says {brief(text, 80)!r}, which is not a known decision"
    remedy = (
        "Name the column with --said, and the words that flag with --flag WORD=review or "
        "--flag WORD=block"
    )
    return Wrong(what, remedy)


def read_label(column: str, text: str) -> str | Wrong:
    """Returns the label that a text is."""
    label = composed(text)
    if is_empty_annotation(label):
        return empty_prediction(column)
    return _of_length(column, label)


def read_group(name: str, text: str, as_written: Collection[str]) -> str | Wrong:
    """Returns the group that a text is."""
    group = composed(text)
    if not (group and name in as_written) and (wrong := unknown_annotation(name, text)):
        return wrong
    return _of_length(name, group)


def read_class(column: str, text: str, truth: Mapping[str, str]) -> str | Wrong:
    """Returns the class of y_true that a text is, or what it means; empty where none is known."""
    name = composed(text)
    if is_empty_annotation(name):
        return ""
    return _of_length(column, composed(truth.get(name, name)))


def empty_prediction(column: str) -> Wrong:
    """Returns what is wrong with a row that lacks what a system said."""
    remedy = "Fill it in, or leave such rows out, counted by group, with --skip-bad"
    return Wrong(f"{column} is empty", remedy)


def class_decisions(classes: Collection[str]) -> dict[str, Decision]:
    """Returns what the classes of y_true that are such words say should be decided.

    A letter or number is one only where all classes are: beside M, F is not false. And -1 is false
    beside 1 alone; beside 0 it mostly means that nobody knows.
    """
    found: dict[str, Decision] = {}
    for name in classes:
        word = plain_word(name)
        if decision := "allow" if word == "-1" else _DECISION_OF.get(word):
            found[name] = decision
    words = {plain_word(name) for name in classes}
    if len(found) < len(classes):
        unclear = {word for word in words if len(word) == 1 or word == "-1"}
    else:
        unclear = {"-1"} if "0" in words else set()
    return {name: each for name, each in found.items() if plain_word(name) not in unclear}


def _of_length(column: str, text: str) -> str | Wrong:
    if len(text) <= LONGEST_NAME:
        return text
    what = f"{column} has {len(text):,} characters, and a name has at most {LONGEST_NAME:,}"
    return Wrong(what, "Name another column, or shorten it")
