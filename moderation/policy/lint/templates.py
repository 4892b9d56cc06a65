"""Rules on templates: those without effect, and those that do not fit their prompts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from moderation.policy.lint.linted_policy import LintedPolicy, written_words
from moderation.policy.lint.rule import LintRule
from moderation.policy.plain_data import BrokenRule

_ARTICLES = ("a", "an", "the")
#: What a template says the text stands in. A drawing in a photograph is a thing of its own.
_PHOTO_OF = re.compile(
    r"\b(?:photo|photograph|picture|image|snapshot|shot)s? "
    r"(?:of|that|which|showing|shows|containing|with)\b",
    re.IGNORECASE,
)


def _bare(linted: LintedPolicy) -> Iterator[BrokenRule]:
    for i, template in enumerate(linted.policy.templates):
        if not written_words(template):
            message = f"the template {template!r} adds nothing: captions have words around a thing"
            yield BrokenRule(("templates", i), message, "Remove it, or write a caption around {}")


def _unused(linted: LintedPolicy) -> Iterator[BrokenRule]:
    if not linted.has_prompts and "templates" in linted.policy.model_fields_set:
        message = "templates have no effect: classifiers score all labels"
        yield BrokenRule(("templates",), message, "Remove them")


def _twins(linted: LintedPolicy) -> Iterator[BrokenRule]:
    seen: dict[tuple[str, ...], str] = {}
    for i, template in enumerate(linted.policy.templates):
        key = tuple(word.lower() for word in written_words(template.replace("{}", " PROMPT ")))
        if (first := seen.setdefault(key, template)) != template and len(key) > 1:
            message = f"the templates {first!r} and {template!r} differ in punctuation alone"
            yield BrokenRule(("templates", i), message, "Keep one of them")


def _doubled(linted: LintedPolicy) -> Iterator[BrokenRule]:
    for each in linted.texts:
        for template in linted.policy.templates:
            if _repeats(template.partition("{}")[0], each.text):
                message = f"the prompt repeats the template: {template.replace('{}', each.text)!r}"
                yield BrokenRule(each.location, message, "Leave out what the template says already")
                break


def _repeats(before: str, text: str) -> bool:
    """Returns whether a text begins with what stands before it in a template."""
    said, repeated = _plain_words(before), _plain_words(text)
    both = _PHOTO_OF.search(before) and _PHOTO_OF.match(" ".join(repeated[:2]))
    return bool(both) or (len(said) > 1 and repeated[: len(said)] == said)


def _plain_words(text: str) -> list[str]:
    """Returns the words of a text in lower case, without an article before them."""
    words = [word.lower() for word in written_words(text)]
    return words[words[:1] in ([article] for article in _ARTICLES) :]


def _joined_articles(linted: LintedPolicy) -> Iterator[BrokenRule]:
    ends = [written_words(text.partition("{}")[0])[-1:] for text in linted.policy.templates]
    template_has = [words[0].lower() for words in ends if words and words[0].lower() in _ARTICLES]
    for each in linted.texts:
        words = each.words
        if template_has and words and words[0].lower() in _ARTICLES:
            message = f"two articles: '{template_has[0]} {each.text}'"
            yield BrokenRule(
                each.location, message, "Keep the prompt's, and end the template at of"
            )


RULES = (
    LintRule("bare-template", "warning", "a template that says nothing", _bare),
    LintRule("unused-templates", "warning", "templates without effect", _unused),
    LintRule("twin-templates", "warning", "templates alike but for punctuation", _twins),
    LintRule("repeats-template", "warning", "a prompt repeats its template", _doubled),
    LintRule("two-articles", "warning", "an article in prompt and template", _joined_articles),
)
