"""Rules on words for people: a prompt finds what it names, so it would find these people."""

from __future__ import annotations

import re
from collections.abc import Iterator

from moderation.policy.lint.linted_policy import LintedPolicy, written_words
from moderation.policy.lint.rule import LintRule
from moderation.policy.lint.vocabulary import (
    ADJECTIVES,
    BEHIND_PEOPLE,
    BELIEFS,
    GIVEN_NAMES,
    JUDGED_PEOPLE,
    KINDS_OF_PEOPLE,
    ORIGINS,
    PERSONS,
)
from moderation.policy.plain_data import BrokenRule

#: Things whose names have such a word, and that show no people by what they are.
_THINGS = re.compile(
    r"\b(?:snow ?m[ae]n|gingerbread m[ae]n|doll|mannequin|statue|baby (?:carrots?|monitor)|"
    r"minor injur(?:y|ies)|lady(?:bird|bug)|child seat|christmas)\b",
    re.IGNORECASE,
)
_NAME = re.compile(
    rf"\b(?:(?:{'|'.join(sorted(GIVEN_NAMES))})|Mr\.?|Mrs\.?|Ms\.?|Dr\.?|President|Pope|Prince|Princess|King|Queen)"
    r" [A-Z][a-z'\u2019-]+(?: [A-Z][a-z'\u2019-]+)?\b"
)


def named_people(text: str, *, beside_targets: bool = False) -> str | None:
    """Returns the words of a text that name people by what they are; None without any.

    Beside targets, as a look-alike or in the context, a temple may be of a belief.
    """
    kinds = KINDS_OF_PEOPLE if beside_targets else KINDS_OF_PEOPLE | BELIEFS
    words = [
        word.lower().removesuffix("'s").removesuffix("\u2019s") for word in written_words(text)
    ]
    if _THINGS.search(text):
        return None
    for place, word in enumerate(words):
        if word in kinds or _is_person(words, place):
            return _with_adjectives(words, place)
    return None


def _is_person(words: list[str], place: int) -> bool:
    """Returns whether a word is a kind of person by the words beside it."""
    before, word, behind = words[place - 1] if place else "", words[place], words[place + 1 :]
    if word in PERSONS:
        return before in ADJECTIVES | BELIEFS
    is_alone = not behind or behind[0] in BEHIND_PEOPLE - {"and"}
    return word in ORIGINS and before in ("a", "an") and is_alone


def _with_adjectives(words: list[str], place: int) -> str:
    first = place
    while first and words[first - 1] in ADJECTIVES | BELIEFS:
        first -= 1
    return " ".join(words[first : place + 1])


def _people_in_targets(linted: LintedPolicy) -> Iterator[BrokenRule]:
    remedy = "Name the thing, the sign or the act that the picture shows"
    for i, label in linted.acting:
        for key, name in (("id", label.id), ("category", label.category or "")):
            if found := named_people(re.sub(r"[-/]", " ", name)):
                message = f"the {key} of an acting label names people: '{found}'"
                yield BrokenRule(("labels", i, key), message, remedy)
    for each in linted.texts:
        if each.role == "target" and (found := named_people(each.text)):
            message = f"an acting label would find people by what they are: '{found}'"
            yield BrokenRule(each.location, message, remedy)


def _people_beside_targets(linted: LintedPolicy) -> Iterator[BrokenRule]:
    for each in linted.texts:
        if each.role != "target" and (found := named_people(each.text, beside_targets=True)):
            what = "a look-alike" if each.role == "look-alike" else "a context label"
            message = f"{what} names people: '{found}' lowers the scores of their pictures alone"
            remedy = "Write 'a person' or 'people', or name the thing"
            yield BrokenRule(each.location, message, remedy)


def _judged_people(linted: LintedPolicy) -> Iterator[BrokenRule]:
    for each in linted.texts:
        words = [word.lower() for word in each.words]
        for word, following in zip(words, [*words[1:], "and"], strict=True):
            if each.role == "target" and word in JUDGED_PEOPLE and following in BEHIND_PEOPLE:
                message = f"'{word}' is a judgement of a person, and nothing that a picture shows"
                yield BrokenRule(each.location, message, "Name the act or the thing that is seen")
                break


def _persons(linted: LintedPolicy) -> Iterator[BrokenRule]:
    for each in linted.texts:
        if found := _NAME.search(each.text):
            message = f"'{found[0]}' looks like the name of a person"
            remedy = "Name what the picture shows; a policy is not for finding somebody"
            yield BrokenRule(each.location, message, remedy)


RULES = (
    LintRule("people-in-target", "warning", "an acting label names people", _people_in_targets),
    LintRule("people-in-context", "info", "context names people", _people_beside_targets),
    LintRule("judged-people", "warning", "a target judges people", _judged_people),
    LintRule("person-name", "warning", "a text names a person", _persons),
)
