"""The rule on a and an, within a prompt and between a template and its prompt."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from moderation.policy.lint.linted_policy import LintedPolicy
from moderation.policy.lint.rule import LintRule
from moderation.policy.plain_data import BrokenRule

if TYPE_CHECKING:
    from inflect import engine

#: A capital in the middle is a name: vitamin A.
_ARTICLE = re.compile(r"((?<![\w'\u2019-])an?|^An?) ([\w'\u2018\u2019-]+)")
#: How words begin whose sound may differ from their first letter.
_BY_SOUND = re.compile(r"hour|hon|heir|herb|u|eu|ew|on[ce]|y[^aeiou]", re.IGNORECASE)

#: Letters whose names begin with a vowel; and those of them, with U, where it hangs on how capitals
#: are read: as letters or as a word.
_NAMED_WITH_A_VOWEL, _EITHER = "AEFHILMNORSX", "FHLMNRSUX"


def _wrong_articles(linted: LintedPolicy) -> Iterator[BrokenRule]:
    for each in linted.texts:
        yield from _found_wrong(each.location, each.text)
    for i, template in enumerate(linted.policy.templates):
        before = re.search(r"\b([Aa]n?) \{\}", template)
        yield from _found_wrong(("templates", i), template.replace("{}", ""))
        if before:
            for each in linted.texts:
                yield from _found_wrong(each.location, f"{before[1]} {each.text}")


def _found_wrong(location: tuple[str | int, ...], text: str) -> Iterator[BrokenRule]:
    for article, word in _ARTICLE.findall(text):
        right = _right_article(word)
        if right and article.lower() != right:
            message = f"'{article} {word}' should be '{right} {word}'"
            yield BrokenRule(
                location, message, "An article moves scores: captions have the right one"
            )


def _right_article(word: str) -> str | None:
    """Returns a or an; None where it hangs on whether letters are read out, as of USB or SUV."""
    # Of a quoted or accented word the letter counts: an 'open' sign, an éclair.
    word = unicodedata.normalize("NFKD", word.strip("'\u2018\u2019-"))
    if not word or not word[0].isascii() or word.lower().startswith("ouija"):
        return None
    if word[0].isdigit():
        return "an" if re.match(r"8|(?:11|18)(?!\d)", word) else "a"
    if len(word) == 1 or word[1] == "-" or word[1].isdigit():  # X-ray, e-cigarette, f1
        return "an" if word[0].upper() in _NAMED_WITH_A_VOWEL else "a"
    if word[:2].isupper():
        return None if word[0] in _EITHER else _by_letter(word)
    if _BY_SOUND.match(word):
        return _inflector().a(word).partition(" ")[0].lower()
    return _by_letter(word)


def _by_letter(word: str) -> str:
    return "an" if word[0].lower() in "aeio" else "a"


@cache
def _inflector() -> engine:
    """Returns what knows the sound of words; importing it takes over a second, so few texts do."""
    import inflect

    return inflect.engine()


RULES = (LintRule("article", "warning", "a where an belongs", _wrong_articles),)
