"""The shipped policies of what is not to be seen: what they name, and what they must not name."""

from __future__ import annotations

import re

import pytest

from moderation.policy import Label, Policy, load_policy
from tests.conftest import POLICIES
from tests.support.policy_family import FAMILY, PARTS

#: Words for people by what they are: a prompt with one would find these people.
PEOPLE = re.compile(
    r"\b(?:"
    r"man|men|woman|women|boy|boys|girl|girls|child|children|kid|kids|baby|teenager|"
    r"black|white|asian|african|arab|arabs|muslim|muslims|jew|jews|hindu|immigrant|"
    r"refugee|gay|lesbian|trans|disabled|homeless|fat|old|young"
    r")\b"
)
#: Where such a word is a colour of a thing.
COLOURS = ("white hoods", "white drug powder", "black sun symbol")

#: What OpenAI and the Digital Services Act call a category, by what it begins with.
MAPPED: dict[str, tuple[set[str | None], set[str | None]]] = {
    "sexual": ({"sexual"}, {"STATEMENT_CATEGORY_OTHER_VIOLATION_TC"}),
    "violence": (
        {"violence", "violence/graphic"},
        {
            "STATEMENT_CATEGORY_VIOLENCE",
            "STATEMENT_CATEGORY_ANIMAL_WELFARE",
            "STATEMENT_CATEGORY_OTHER_VIOLATION_TC",
        },
    ),
    "hate": (
        {"hate"},
        {
            "STATEMENT_CATEGORY_ILLEGAL_OR_HARMFUL_SPEECH",
            "STATEMENT_CATEGORY_RISK_FOR_PUBLIC_SECURITY",
        },
    ),
    "self-harm": ({"self-harm"}, {"STATEMENT_CATEGORY_SELF_HARM"}),
    "drugs": ({"illicit"}, {"STATEMENT_CATEGORY_UNSAFE_AND_PROHIBITED_PRODUCTS"}),
    "regulated": ({None}, {"STATEMENT_CATEGORY_OTHER_VIOLATION_TC"}),
}


def shipped(name: str) -> Policy:
    return load_policy(POLICIES / f"{name}.yaml")


def acting(name: str) -> list[Label]:
    return [label for label in shipped(name).labels if label.acts]


@pytest.mark.parametrize("name", FAMILY)
def test_each_acting_label_has_look_alikes_and_what_others_call_it(name: str) -> None:
    policy = shipped(name)
    assert policy.scoring == "contrast"
    assert policy.fitted is None
    for label in acting(name):
        assert label.classifier or len(label.negatives) >= 6
        assert label.severity is not None
        assert label.taxonomy is not None
        openai, dsa = MAPPED[label.reported_category.partition("/")[0]]
        assert label.taxonomy.openai in openai
        assert label.taxonomy.dsa in dsa
        assert label.taxonomy.rekognition is not None


def test_labels_that_others_have_names_for_have_these() -> None:
    found = {
        label.id: (label.taxonomy.openai, label.taxonomy.rekognition, label.taxonomy.dsa)
        for label in acting("community-standard")
        if label.taxonomy
    }
    terms = "STATEMENT_CATEGORY_OTHER_VIOLATION_TC"
    speech = "STATEMENT_CATEGORY_ILLEGAL_OR_HARMFUL_SPEECH"
    harm = "STATEMENT_CATEGORY_SELF_HARM"
    goods = "STATEMENT_CATEGORY_UNSAFE_AND_PROHIBITED_PRODUCTS"
    expected = {
        "nudity": ("sexual", "Explicit Nudity", terms),
        "sex-toy": ("sexual", "Sex Toys", terms),
        "suggestive": ("sexual", "Swimwear or Underwear", terms),  # its prompts are of underwear
        "gore": ("violence/graphic", "Graphic Violence", "STATEMENT_CATEGORY_VIOLENCE"),
        "dead-body": ("violence/graphic", "Death and Emaciation", "STATEMENT_CATEGORY_VIOLENCE"),
        "nazi-symbol": ("hate", "Nazi Party", speech),
        "terrorist-flag": ("hate", "Extremist", "STATEMENT_CATEGORY_RISK_FOR_PUBLIC_SECURITY"),
        "self-injury": ("self-harm", "Graphic Violence", harm),
        "thinness-as-a-goal": ("self-harm", "Death and Emaciation", harm),
        "drug-injection": ("illicit", "Drugs & Tobacco Paraphernalia & Use", goods),
        "gambling": (None, "Gambling", terms),
    }
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("name", PARTS)
def test_no_target_is_a_word_for_people(name: str) -> None:
    for label in acting(name):
        text = " ; ".join(label.prompts).lower()
        for colour in COLOURS:
            text = text.replace(colour, "")
        assert not PEOPLE.search(text), label.id


def test_no_picture_of_children_lowers_a_sexual_score() -> None:
    children = {"child", "children", "kid", "baby", "boy", "girl", "teenager", "family", "school"}
    for label in acting("sexual"):
        assert not children & set(re.findall(r"[a-z]+", " ".join(label.negatives))), label.id


@pytest.mark.parametrize("name", ["hate-symbols", "self-harm", "drugs", "alcohol-tobacco-gambling"])
def test_where_context_decides_a_person_does(name: str) -> None:
    assert {label.action for label in acting(name)} == {"review"}


def test_the_standard_is_made_of_the_other_files_and_differs_in_what_it_only_reports() -> None:
    whole = acting("community-standard")
    parts = [label for name in PARTS for label in acting(name)]
    assert [label.id for label in whole] == [label.id for label in parts]
    reported = {label.id for label in acting("alcohol-tobacco-gambling")}
    reported |= {"suggestive", "crash", "medicine"}
    for label, part in zip(whole, parts, strict=True):
        expected = "allow" if label.id in reported else part.action
        assert label == part.model_copy(update={"action": expected})


def test_all_have_one_context_so_that_a_label_scores_alike_in_each() -> None:
    contexts = [tuple(label for label in shipped(name).labels if not label.acts) for name in FAMILY]
    assert len(set(contexts)) == 1
    assert len({shipped(name).templates for name in FAMILY}) == 1
