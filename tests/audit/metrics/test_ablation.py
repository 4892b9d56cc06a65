from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from audit.audits.ablate import Study
from audit.datasets.groups import OVERALL, Groups, overall_group
from audit.metrics.ablation import (
    Trial,
    ablation_carried_table,
    ablation_split_half,
    ablation_table,
    ablation_wording_table,
    run_ablation,
)
from audit.metrics.predictions import PolicyPredictions, predict
from audit.metrics.rates import FLAG
from audit.metrics.variants import (
    TEMPLATES,
    Synonym,
    Variant,
    distinct_variants,
    under_each_template,
    with_each_candidate,
    with_each_synonym,
    with_other_articles,
    without_each_label,
    without_each_negative,
)
from audit.statistics.intervals import paired_difference, wilson
from audit.statistics.significance import holm
from moderation.policy import Label, Policy
from tests.support.policy_texts import policy
from tests.support.reference_counts import confusion, group_of, person_encoder, person_labels, said
from tests.support.stub_encoder import StubEncoder, random_features

CRIME = "category:egregious/crime-related"
TOP = policy(decision="top_label")
CANDIDATES = (Label(id="dog", prompts=("a dog",)), Label(id="tree", prompts=("a tree",)))


def _trials(variants: list[Variant], n: int = 300) -> tuple[PolicyPredictions, list[Trial]]:
    features = random_features(n)
    return predict(TOP, StubEncoder(), features), run_ablation(variants, StubEncoder(), features)


def _rows(table: pd.DataFrame, **keys: str) -> Any:
    for name, value in keys.items():
        table = table[table[name] == value]
    return table


def test_suspicious_person_carries_nine_in_ten_of_the_published_crime_hits() -> None:
    _, features = confusion()
    table = _rows(ablation_carried_table(said(features)), category="egregious/crime-related")
    assert table["label"].tolist() == ["suspicious-person", "thief", "criminal"]
    assert table["count"].tolist() == [311, 24, 12]
    assert (table["n"] == 347).all()
    assert table["share"].iloc[0] == pytest.approx(311 / 347)
    assert (table["low"].iloc[0], table["high"].iloc[0]) == tuple(map(float, wilson(311, 347)))


def test_leaving_suspicious_person_out_lowers_the_published_crime_rate_most() -> None:
    dataset, features = confusion()
    before = said(features)
    trials = run_ablation(without_each_label(person_labels()), person_encoder(), features)
    table = ablation_table(before, trials, dataset.partitions([["race"]]))
    crime = _rows(table, metric=CRIME, by=OVERALL).set_index("change")
    assert len(crime) == 21
    most = crime.loc["suspicious-person"]
    assert crime["net"].idxmin() == "suspicious-person"
    assert (most["entered"], most["left"], most["after_count"]) == (0, 311, 36)
    assert most["net"] == pytest.approx(-311 / 10954)
    assert most["p_adjusted"] < 0.05
    assert crime.loc[["thief", "criminal"], "left"].tolist() == [24, 12]
    # Where a race's own label goes, its images go to others: none of them leaves the category.
    assert (crime["left"].drop(["suspicious-person", "thief", "criminal"]) == 0).all()
    white = _rows(table, metric=CRIME, group="White", change="suspicious-person").iloc[0]
    assert (white["before_count"], white["left"], white["after_count"]) == (147, 130, 17)


def test_an_ablation_corrects_over_all_changes_and_groups_of_a_feature_for_each_metric() -> None:
    variants = [*without_each_label(TOP), *with_each_candidate(TOP, CANDIDATES)]
    before, trials = _trials(variants)
    groups = group_of([0] * 150 + [1] * 121 + [2] * 29)
    table = ablation_table(before, trials, [overall_group(300), groups])
    small = table["group"] == "c"
    assert table.loc[small, "p_adjusted"].isna().all()
    for _, family in table[~small].groupby(["by", "metric"]):
        assert set(family["kind"]) == {"with", "without"}
        assert family["p_adjusted"].to_numpy() == pytest.approx(holm(family["p"].to_numpy()))
    assert ablation_table(before, [], [groups]).empty


def test_an_ablation_leaves_out_each_look_alike_and_articles_of_look_alikes_change_too() -> None:
    labels = policy().model_dump(mode="json")["labels"]
    labels[0]["negatives"] = ["a toy gun", "a hair dryer"]
    labels[1]["negatives"] = ["a comb"]
    alike = policy(scoring="contrast", labels=labels)
    without = list(without_each_negative(alike))
    changes = ["gun: a toy gun", "gun: a hair dryer", "knife: a comb"]
    assert [each.change for each in without] == changes
    left = [
        [label.negatives for label in each.policy.labels[:2]] for each in without if each.policy
    ]
    assert left == [
        [("a hair dryer",), ("a comb",)],
        [("a toy gun",), ("a comb",)],
        [("a toy gun", "a hair dryer"), ()],
    ]
    study = [each for each in Study().variants(alike) if each.kind == "negative"]
    assert [each.change for each in study if each.policy] == changes
    *_, bare = (each.policy for each in with_other_articles(alike))
    assert bare is not None
    assert bare.labels[0].negatives == ("toy gun", "hair dryer")
    # What a look-alike takes from a label, its leaving out gives back, and nothing else moves.
    features = random_features(200)
    before = predict(alike, StubEncoder(), features)
    [first, *_] = run_ablation(without[:1], StubEncoder(), features)
    after = first.predictions
    assert (after.scores[:, 0] > before.scores[:, 0]).all()
    assert (after.scores[:, 1:] == before.scores[:, 1:]).all()


def test_a_refused_variant_says_why_and_is_not_run() -> None:
    lone = policy(labels=policy().model_dump(mode="json")["labels"][:3])
    refused = [each for each in without_each_label(lone) if each.policy is None]
    assert [each.change for each in refused] == ["thing"]
    assert "context label" in refused[0].refused
    assert len(run_ablation(without_each_label(lone), StubEncoder(), random_features(5))) == 2


def test_hits_that_two_labels_fire_together_belong_to_neither() -> None:
    labels = policy().model_dump(mode="json")["labels"]
    labels[1]["category"] = "weapons/guns"
    predictions = predict(policy(labels=labels), StubEncoder(), random_features(6))
    fired = np.array(
        [[3, 2, 0, 0], [2, 0, 0, 0], [0, 2, 0, 0], [0, 2, 0, 0], [0] * 4, [1, 0, 0, 0]]
    )
    table = ablation_carried_table(
        replace(predictions, outcomes=fired.astype(np.int8), name="small")
    )
    assert table[["label", "count", "n"]].to_numpy().tolist() == [["knife", 2, 4], ["gun", 1, 4]]


def test_halves_are_disjoint_stratified_seeded_and_the_held_out_row_uses_the_other_half() -> None:
    before, trials = _trials(list(with_each_candidate(TOP, CANDIDATES)))
    strata = group_of([0] * 200 + [1] * 60 + [2] * 40)
    [chosen, held_out] = ablation_split_half(before, trials, strata, seed=7).to_dict("records")
    assert (chosen["half"], held_out["half"]) == ("chosen on", "held out")
    assert (chosen["n"], held_out["n"]) == (150, 150)
    best = next(t for t in trials if f"{t.variant.kind} {t.variant.change}" == chosen["change"])
    assert held_out["change"] == chosen["change"]
    for name in ("before_count", "after_count", "entered", "left"):
        marks = {
            "before_count": before.flagged,
            "after_count": best.predictions.flagged,
            "entered": best.predictions.flagged & ~before.flagged,
            "left": before.flagged & ~best.predictions.flagged,
        }[name]
        assert chosen[name] + held_out[name] == int(marks.sum())
    bounds = paired_difference(held_out["entered"], held_out["left"], 150)
    assert (held_out["net_low"], held_out["net_high"]) == tuple(map(float, bounds))
    again = ablation_split_half(before, trials, strata, seed=7).to_dict("records")
    others = [
        ablation_split_half(before, trials, strata, seed=s).to_dict("records") for s in range(8)
    ]
    assert again == [chosen, held_out]
    assert any(other[0]["before_count"] != chosen["before_count"] for other in others)
    assert ablation_split_half(before, [], strata, seed=7).empty


@pytest.mark.parametrize(("n", "rows"), [(1, 0), (59, 0), (60, 2)])
def test_nothing_is_held_out_of_too_few_images(n: int, rows: int) -> None:
    before, trials = _trials(list(with_each_candidate(TOP, CANDIDATES)), n=n)
    halves = ablation_split_half(before, trials, overall_group(n), seed=0)
    assert len(halves) == rows


def test_a_change_that_asks_the_model_nothing_new_is_refused_and_not_counted() -> None:
    variants = [
        *with_each_synonym(TOP, [Synonym("knife", "a  knife"), Synonym("knife", "a dagger")]),
        *with_each_synonym(TOP, [Synonym("knife", "a dagger"), Synonym("cow", "a bull")]),
        *with_each_candidate(TOP, [*CANDIDATES, Label(id="hound", prompts=("a dog",))]),
        *under_each_template(TOP, ["a photo of {}.", "{}", "{}"]),
        *with_other_articles(TOP),
    ]
    found = list(distinct_variants(TOP, variants))
    assert [f"{each.kind} {each.change}" for each in found if each.policy] == [
        *("synonym knife: a dagger", "with dog", "with tree", "template {}", "article no article")
    ]
    refused = {f"{v.kind} {v.change}": v.refused for v in found if not v.policy}
    own = "changes nothing: what the model reads is the policy's own"
    assert refused == {
        "synonym knife: a  knife": own,
        "synonym knife: a dagger": (
            "changes nothing: what the model reads is that of `synonym knife: a dagger`"
        ),
        "synonym cow: a bull": own,
        "with hound": "changes nothing: what the model reads is that of `with dog`",
        "template a photo of {}.": own,
        "template {}": "changes nothing: what the model reads is that of `template {}`",
        "article a or an, as English has it": own,
        "article always a": own,
    }
    # One label that acts otherwise is another change, whatever its words.
    acting = policy(decision="top_label").model_dump(mode="json")["labels"]
    acting[2]["action"] = "block"
    variant = Variant("with", "thing", policy(decision="top_label", labels=acting))
    assert next(distinct_variants(TOP, [variant])).policy is not None


def test_each_stratum_is_split_in_two_halves_and_all_images_are() -> None:
    # One stratum alone is flagged, so the counts of the halves show how it was split.
    before, trials = _trials(list(with_each_candidate(TOP, CANDIDATES)))
    strata = group_of(before.flagged.astype(int).tolist())
    for seed in range(5):
        halves = ablation_split_half(before, trials, strata, seed=seed)
        flagged = int(before.flagged.sum())
        assert sorted(halves["before_count"]) == [flagged // 2, flagged - flagged // 2]
        assert halves["n"].tolist() == [150, 150]
    alone = Groups("image", tuple(map(str, range(300))), np.arange(300))
    assert ablation_split_half(before, trials, alone, seed=0)["n"].tolist() == [150, 150]


ANIMALS = Policy.model_validate(
    policy().model_dump(mode="json")
    | {
        "labels": [
            {
                "id": "animal",
                "prompts": ["an animal", "animals"],
                "action": "block",
                "threshold": 0.5,
            },
            {"id": "gorilla", "prompts": ["a gorilla"]},
            {"id": "anchor", "prompts": ["a anchor"]},
        ]
    }
)


def test_article_variants_change_a_leading_article_alone() -> None:
    prompts = {
        variant.change: [p for label in variant.policy.labels for p in label.prompts]
        for variant in with_other_articles(ANIMALS)
        if variant.policy
    }
    assert prompts == {
        "a or an, as English has it": ["an animal", "animals", "a gorilla", "an anchor"],
        "always a": ["a animal", "animals", "a gorilla", "a anchor"],
        "no article": ["animal", "animals", "gorilla", "anchor"],
    }


@pytest.mark.parametrize("prompt", ["a uniform", "an hour", "an X-ray", "a one-way sign", "a 4x4"])
def test_an_article_that_goes_by_sound_stays_as_its_author_wrote_it(prompt: str) -> None:
    labels = [
        {"id": "x", "prompts": [prompt]},
        {"id": "y", "prompts": ["a owl"], "action": "block"},
    ]
    [right, *_] = with_other_articles(policy(labels=labels, decision="top_label"))
    assert right.policy is not None
    assert [label.prompts[0] for label in right.policy.labels] == [prompt, "an owl"]


def test_prompts_that_become_equal_without_their_article_refuse_the_variant() -> None:
    labels = [*ANIMALS.model_dump(mode="json")["labels"], {"id": "x", "prompts": ["anchor"]}]
    variants = {v.change: v for v in with_other_articles(policy(labels=labels))}
    assert variants["no article"].policy is None
    assert "anchor" in variants["no article"].refused


def test_no_article_leaves_the_bare_noun() -> None:
    bare = {v.change: v.policy for v in with_other_articles(TOP)}["no article"]
    assert bare is not None
    assert [label.prompts for label in bare.labels] == [
        ("gun", "pistol"),
        ("knife",),
        ("thing",),
        ("cat",),
    ]
    tried = [v.change for v in distinct_variants(TOP, with_other_articles(TOP)) if v.policy]
    assert tried == ["no article"]


def test_templates_candidates_and_synonyms_are_one_change_each() -> None:
    templates = distinct_variants(TOP, under_each_template(TOP))
    tried = [variant.change for variant in templates if variant.policy]
    assert tried == [t for t in TEMPLATES if t != "a photo of {}."]
    own = Label(id="cat", prompts=("a tomcat",))
    [refused, *added] = with_each_candidate(TOP, [own, *CANDIDATES])
    assert [v.change for v in added if v.policy] == ["dog", "tree"]
    assert (refused.change, refused.policy) == ("cat", None)
    assert refused.refused == "changes nothing: the policy has a label of this id"
    [synonym] = with_each_synonym(TOP, [Synonym("gun", "a firearm")])
    assert synonym.policy is not None
    assert [label.prompts for label in synonym.policy.labels][:2] == [("a firearm",), ("a knife",)]
    assert synonym.policy.labels[0].threshold == 0.8


def test_wording_has_the_range_over_all_templates_and_the_agreement_of_the_order() -> None:
    before, trials = _trials(list(distinct_variants(TOP, under_each_template(TOP))), n=400)
    groups = group_of([0, 1, 2, 3] * 100)
    table = ablation_wording_table(before, trials, [overall_group(400), groups])
    of_groups = _rows(table, by="group")
    rates = np.array(
        [groups.count(p.flagged) / groups.sizes for p in (before, *(t.predictions for t in trials))]
    )
    assert of_groups["lowest"].tolist() == rates.min(axis=0).tolist()
    assert of_groups["highest"].tolist() == rates.max(axis=0).tolist()
    assert of_groups["median"].tolist() == np.median(rates, axis=0).tolist()
    assert (of_groups["wordings"] == len(TEMPLATES)).all()
    taus = [stats.kendalltau(rates[0], row).statistic for row in rates[1:]]
    assert of_groups["kendall_tau"].iloc[0] == pytest.approx(np.mean(taus))
    assert math.isnan(_rows(table, by=OVERALL)["kendall_tau"].iloc[0])


def test_wording_that_changes_nothing_keeps_the_order_of_the_groups() -> None:
    before, _ = _trials([])
    same = Trial(Variant("template", "{}", TOP), before)
    groups = group_of([0] * 50 + [1] * 100 + [2] * 150)
    table = ablation_wording_table(before, [same, same], [groups])
    assert (table["kendall_tau"] == 1).all()
    assert (table["lowest"] == table["highest"]).all()
    assert ablation_wording_table(before, [], [groups]).empty
    assert FLAG not in table
