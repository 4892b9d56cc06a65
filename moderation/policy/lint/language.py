"""Rules on the language of prompts: what the model was trained on, and words that are misspelt."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

from moderation.policy.lint.linted_policy import LintedPolicy, WrittenText
from moderation.policy.lint.rule import LintRule
from moderation.policy.lint.vocabulary import ENGLISH_ALONE, KNOWN_WORDS
from moderation.policy.plain_data import BrokenRule

if TYPE_CHECKING:
    from spellchecker import SpellChecker

#: Parts of the names of models that were trained on many languages.
_MULTILINGUAL = ("siglip2", "multilingual", "xlm", "nllb", "m-clip", "mclip", "jina-clip-v2")
#: Languages in Latin letters of which there is a dictionary.
_OTHERS = {
    "de": "German",
    "es": "Spanish",
    "fr": "French",
    "it": "Italian",
    "nl": "Dutch",
    "pt": "Portuguese",
}
_ENGLISH = "Write it in English, or use a model of many languages, such as SigLIP 2"


def reads_many_languages(model: str) -> bool:
    """Returns whether a model's name says that it was trained on many languages."""
    return any(part in model.lower() for part in _MULTILINGUAL)


def _other_scripts(linted: LintedPolicy) -> Iterator[BrokenRule]:
    if reads_many_languages(linted.decided_by):
        return
    for each in linted.texts:
        if found := next(filter(_is_foreign, each.text), None):
            script = unicodedata.name(found, "unknown").split()[0].lower()
            what = "a symbol" if unicodedata.category(found)[0] == "S" else f"a {script} letter"
            message = f"the model was hardly trained on this: {found!r} is {what}"
            yield BrokenRule(each.location, message, _ENGLISH)


def _is_foreign(sign: str) -> bool:
    kind = unicodedata.category(sign)
    if kind in ("So", "Sk") and ord(sign) > 0x7F:  # pictures among signs
        return True
    return kind[0] == "L" and not unicodedata.name(sign, "").startswith("LATIN ")


def _other_languages(linted: LintedPolicy) -> Iterator[BrokenRule]:
    if reads_many_languages(linted.decided_by):
        return
    for each in linted.texts:
        if found := _language(each):
            message = f"{each.text!r} reads like {found}, on which the model was hardly trained"
            yield BrokenRule(each.location, message, _ENGLISH)


def _unknown_words(linted: LintedPolicy) -> Iterator[BrokenRule]:
    if reads_many_languages(linted.decided_by):
        return
    said: set[str] = set()
    for each in linted.texts:
        for word in () if _language(each) else _missing(_plain_words(each), "en"):
            if word in said:
                continue
            said.add(word)
            close = sorted((_dictionary("en").candidates(word) or {word}) - {word})[:3]
            hint = f"Did you mean {' or '.join(close)}? " if close else ""
            message = f"the word '{word}' is not in the dictionary"
            remedy = f"{hint}A word that is rare in captions says little to the model"
            yield BrokenRule(each.location, message, remedy)


def _language(written: WrittenText) -> str | None:
    """Returns the language other than English that knows all words, where English lacks many."""
    if {word.lower() for word in written.words} & ENGLISH_ALONE:
        return None
    words = _plain_words(written)
    missing = _missing(words, "en")
    if not missing or 3 * len(missing) < len(words):
        return None
    return next((name for code, name in _OTHERS.items() if not _missing(words, code)), None)


def _plain_words(written: WrittenText) -> list[str]:
    """Returns the words that a dictionary can know: without names, abbreviations and numbers."""
    found = re.findall(r"(?<!\d)[^\W\d_]+(?!\d)", written.text)
    titles = sum(word.istitle() for word in found)
    return [
        word.lower()
        for place, word in enumerate(found)
        if len(word) > 1 and (word.islower() or (word.istitle() and place == 0 and titles == 1))
    ]


def _missing(words: Sequence[str], language: str) -> list[str]:
    return [word for word in words if not _is_known(word, language)]


def _is_known(word: str, language: str) -> bool:
    dictionary = _dictionary(language)
    if language != "en":
        return word in dictionary
    # The dictionary is American, and policies may be British.
    american = re.sub(r"our(?=$|s|ed|ful|ing)", "or", re.sub(r"is(?=e|ing|ation)", "iz", word))
    return word in KNOWN_WORDS or word in dictionary or american in dictionary


@cache
def _dictionary(language: str) -> SpellChecker:
    from spellchecker import SpellChecker

    return SpellChecker(language=language, distance=1)


RULES = (
    LintRule("other-script", "warning", "letters of another script", _other_scripts),
    LintRule("other-language", "warning", "a language other than English", _other_languages),
    LintRule("unknown-word", "info", "a word of no dictionary", _unknown_words),
)
