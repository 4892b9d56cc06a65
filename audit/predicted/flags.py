"""Which labels flag: `--flag [CATEGORY/]LABEL[=review|block]`."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence

from audit.datasets.spelling import composed
from audit.errors import AuditError
from audit.predicted.columns import star_text
from moderation.visible_text import brief

#: In place of labels: none of them flags.
NO_LABEL = "none"

#: Up to this many labels are named in an error.
_NAMED = 30


def flagged_labels(
    typed: Sequence[str], labels: Collection[str]
) -> Mapping[str, tuple[str, str | None]]:
    """Returns the action and the category of each of the labels that flag.

    Args:
        typed: [CATEGORY/]LABEL[=review|block], where `*` in LABEL stands for any text; or `none`.
        labels: all that some system says.

    Raises:
        AuditError: no system says such a label, or one is named twice.
    """
    if [composed(text) for text in typed] == [NO_LABEL]:
        return {}
    found: dict[str, tuple[str, str | None]] = {}
    for text in map(composed, typed):
        named, action = _action(text, labels)
        category, own = _matching(named, labels)
        if not own:
            raise unknown_label(named, labels, "--flag")
        for label in own:
            before = found.setdefault(label, (action, category))
            if before != (action, category):
                what = f"the label {label} is named twice, and flags in two ways"
                raise AuditError(what, "--flag", "Name each label once")
    return found


def _action(text: str, labels: Collection[str]) -> tuple[str, str]:
    """Returns a label as it is named and what is done where it is said."""
    named, _, action = text.rpartition("=")
    if text in labels or not named:
        return text, "block"
    if action not in ("review", "block"):
        what = f"{text} does not end in =review or =block"
        raise AuditError(what, "--flag", "Write --flag LABEL=review or --flag LABEL=block")
    return named.strip(), action


def _matching(named: str, labels: Collection[str]) -> tuple[str | None, list[str]]:
    """Returns the category that stands before a label, and the labels that it means."""
    if own := matching_labels(named, labels):
        return None, own
    category, _, label = named.rpartition("/")
    return category or None, matching_labels(label, labels)


def matching_labels(named: str, labels: Collection[str]) -> list[str]:
    """Returns the labels that a name means, in which one `*` stands for any text, or all of it."""
    if named in labels:
        return [named]
    if named == "*":
        return list(labels)
    return [label for label in labels if star_text(named, label) is not None]


def unknown_label(named: str, labels: Collection[str], option: str) -> AuditError:
    """Returns the error that no system says a label."""
    near = difflib.get_close_matches(named, labels, 1, 0.5)
    remedy = f"Did you mean {near[0]}? " if near else ""
    said = ", ".join(list(labels)[:_NAMED]) or "none"
    more = f" and {len(labels) - _NAMED:,} more" if len(labels) > _NAMED else ""
    what = f"no system says the label {named}"
    return AuditError(brief(what), option, brief(f"{remedy}The labels are: {said}{more}"))
