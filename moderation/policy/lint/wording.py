"""Rules on what a prompt says: a model reads captions, and knows neither rules nor 'not'."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from moderation.policy.lint.linted_policy import LintedPolicy, WrittenText
from moderation.policy.lint.rule import LintRule
from moderation.policy.plain_data import BrokenRule

_NEGATION = re.compile(
    r"\b(?:not|no|non|never|neither|nor|without|except|excluding|lacking|other than|free of|"
    r"instead of|\w+n['\u2019]t|nothing|nobody|none)\b(?! (?:sign|entry|parking|smoking)\b)",
    re.IGNORECASE,
)
#: Things whose names have such words.
_NAMES_OF_THINGS = re.compile(
    r"\b(?:bank safe|safe deposit|legal (?:pad|paper)|(?:can|tin) of spam|wanted poster|"
    r"insurance policy|normal distribution|non-stick|do not (?:enter|disturb))\b",
    re.IGNORECASE,
)
#: What a rule says of a picture, and no picture shows.
_VERDICT = re.compile(
    r"\b(?:un)?(?:safe|acceptable|suitable|authori[sz]ed|wanted|desirable)\b|"
    r"\b(?:il)?legal\b|\b(?:in)?appropriate\b|\b(?:dis)?allowed\b|"
    r"\b(?:nsfw|sfw|forbidden|prohibited|banned|harmful|harmless|offensive|objectionable|obscene|"
    r"indecent|suspicious|controversial|sensitive|policy|violating|violations?|moderated|normal|"
    r"problematic|abusive|spam|ok|okay|anything|everything|miscellaneous|stuff|dangerous|"
    r"disgusting|immoral|(?:other|something|various) (?:things|images|pictures|else)|other$)\b",
    re.IGNORECASE,
)
_UNFINISHED = re.compile(
    r"\b(?:todo|fixme|xxx|tbd|tba|wip|lorem|placeholder|changeme|change me|"
    r"fill in)\b|\?\?|\.\.\.|…|<[^>]*>|\{[^}]*\}|\[[^\]]*\]",
    re.IGNORECASE,
)
_INSTRUCTION = re.compile(
    r"\?$|^(?:is|are|does|do|flag|block|detect|find|check|reject|remove|refuse|report|look for|"
    r"any|all|every|images?|pictures? (?:that|which|with)|photos? (?:that|which)|if)\b",
    re.IGNORECASE,
)
_SEVERAL = re.compile(r",|;|/|\bor\b|\bas well as\b|\betc\b|&", re.IGNORECASE)
_COUNT = re.compile(r"(?<![\w.-])\d+(?![\w.-]*\d*[A-Za-z-])(?: \w+)?")
_TYPOGRAPHIC = re.compile("[“”„‟«»‘’‚‛‹›]")  # noqa: RUF001
_INVISIBLE = re.compile("[\u00a0\u00ad\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff\t\n\r]")


def _each_match(
    linted: LintedPolicy,
    pattern: re.Pattern[str],
    message: str,
    remedy: str,
    *,
    targets_alone: bool = False,
) -> Iterator[BrokenRule]:
    """Yields where a text has what a pattern describes; `{}` in the message is what it found."""
    for each in linted.texts:
        if targets_alone and each.role != "target":
            continue
        if found := pattern.search(_NAMES_OF_THINGS.sub("", each.text)):
            yield BrokenRule(each.location, message.format(found[0].strip()), remedy)


_negations = partial(
    _each_match,
    pattern=_NEGATION,
    message="'{}' does not take away: to the model the text is about what follows",
    remedy="Say what the picture shows instead; what is not meant goes into a context label",
)
_verdicts = partial(
    _each_match,
    pattern=_VERDICT,
    message="'{}' is what a rule says, and nothing that a picture shows",
    remedy="Describe what is to be seen, in the words of a caption",
)
_instructions = partial(
    _each_match,
    pattern=_INSTRUCTION,
    message="this speaks to a reader ('{}'), and the model compares captions",
    remedy="Write what the picture shows, such as 'a handgun'",
)
_several_things = partial(
    _each_match,
    pattern=_SEVERAL,
    message="one prompt of several things ('{}') resembles none of them well",
    remedy="Make a prompt of each, or a label of each where they look different",
    targets_alone=True,
)
_counts = partial(
    _each_match,
    pattern=_COUNT,
    message="the model hardly counts and reads numbers badly: '{}'",
    remedy="Write it in words, or leave the number out",
)
_quotes = partial(
    _each_match,
    pattern=_TYPOGRAPHIC,
    message="a typographic quote ({}) is a sign of its own to the model",
    remedy="Write a straight one, or leave it out",
)


def _invisible_signs(linted: LintedPolicy) -> Iterator[BrokenRule]:
    for each in linted.texts:
        if found := _INVISIBLE.search(each.text):
            message = f"the text has a sign that nobody sees: U+{ord(found[0]):04X}"
            yield BrokenRule(each.location, message, "Write an ordinary space, or remove it")


def _stray_spaces(linted: LintedPolicy) -> Iterator[BrokenRule]:
    for each in linted.texts:
        if each.text != each.text.strip(" ") or "  " in each.text:
            message = f"stray spaces in {each.text!r}"
            yield BrokenRule(each.location, message, "Write single spaces, and none at the ends")


def _unfinished(linted: LintedPolicy) -> Iterator[BrokenRule]:
    places = [(each.location, each.text) for each in linted.texts]
    for location, text in ((("title",), linted.policy.title), *places):
        if found := _UNFINISHED.search(text):
            message = f"'{found[0]}' looks like something to fill in"
            yield BrokenRule(location, message, "Finish it, or remove it")


def _names_of_programs(linted: LintedPolicy) -> Iterator[BrokenRule]:
    for each in linted.texts:
        if re.search(r"\w_\w|\b[a-z]+[A-Z][a-z]|https?:|#\w|\(\S.*:[\d.]+\)", each.text):
            message = f"{each.text!r} is written as a program writes names"
            yield BrokenRule(each.location, message, "Write the words of a caption, with spaces")


def _single_words(linted: LintedPolicy) -> Iterator[BrokenRule]:
    for each in linted.texts:
        if each.role == "target" and len(each.words) == 1 and "_" not in each.text:
            message = f"the single word {each.text!r} can mean several things"
            remedy = "Say more: 'daisy flower' was found better than 'daisy'; articles count too"
            yield BrokenRule(each.location, message, remedy)


def _final_points(linted: LintedPolicy) -> Iterator[BrokenRule]:
    joined = any(re.search(r"\{\}\s*[.!?,;:]", text) for text in linted.policy.templates)
    for each in linted.texts:
        if _ends_doubly(each, joined):
            message = f"the template ends the sentence too: {each.text!r} is followed by two points"
            yield BrokenRule(each.location, message, "End a prompt without a point")


def _ends_doubly(written: WrittenText, joined: bool) -> bool:
    return joined and written.text.rstrip().endswith((".", "!", "?", ",", ";", ":"))


RULES = (
    LintRule("negation", "warning", "a text says what a picture does not show", _negations),
    LintRule("verdict-word", "warning", "a text judges in the place of describing", _verdicts),
    LintRule("instruction", "warning", "a text speaks to a reader", _instructions),
    LintRule("several-things", "info", "one prompt names several things", _several_things),
    LintRule("number", "info", "a text has a number", _counts),
    LintRule("curly-quote", "warning", "typographic quotes inside a text", _quotes),
    LintRule("invisible-sign", "warning", "a sign that nobody sees", _invisible_signs),
    LintRule("stray-space", "warning", "spaces too many in a text", _stray_spaces),
    LintRule("unfinished", "warning", "a text is not finished", _unfinished),
    LintRule("name-of-a-program", "warning", "a text is written as a name", _names_of_programs),
    LintRule("single-word", "info", "a target of one word", _single_words),
    LintRule("final-point", "warning", "prompt and template both end", _final_points),
)
