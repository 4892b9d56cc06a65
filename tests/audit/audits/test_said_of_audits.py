"""What run, compare and ablate say of made images agrees with their rows, whoever is flagged."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from audit import EmbeddedDataset, Named, Results, Study, Subject
from audit.audits.ablate import ablate_audit
from audit.audits.compare import compare_audit
from audit.audits.run import run_audit
from audit.datasets.groups import CROSS, OVERALL
from audit.errors import AuditError
from audit.metrics.predictions import predict
from audit.metrics.rates import FALSE_POSITIVE, FLAG, MISCLASSIFIED, TRUE_POSITIVE
from audit.metrics.variants import Synonym
from audit.report.document import make_document
from audit.report.inline import quoted_line
from audit.results.ablation_rows import Ablation
from audit.results.largest_claim import Row
from audit.results.rows import Difference
from moderation.policy import Label, Policy
from tests.support.policy_texts import policy
from tests.support.reference_counts import dataset_of
from tests.support.stub_encoder import StubEncoder, random_features

OLD = policy(decision="top_label", id="old")
NEVER = re.compile(r"\b(alike|equal|the same)\b|\b1 images\b|\b0 of 0\b|\bOf 0\b|\bnan\b")
CLAIMED = re.compile(r"often than|^(At one overall flag rate, s|S)hown to ")
DONE = "blocked or sent to review"
UNSHOWN = re.compile(r"^No group is shown|it is not shown that any|their true rates may|may hide")


def _newer() -> Policy:
    """Returns a policy that knows dogs, for which a cat should be flagged, and a thing nothing."""
    labels = OLD.model_dump(mode="json")["labels"]
    labels = [label for label in labels if label["id"] != "thing"]
    labels[-1] |= {"action": "block", "category": "weapons/guns"}
    more = {"id": "dog", "prompts": ["a dog"]}
    return policy(decision="top_label", id="new", labels=[*labels, more])


NEW = _newer()
TRUTHS = ("gun", "knife", "cat", "dog", "thing", "allow", "whatever", None)
#: How often an image of each class has to be flagged: None where a policy does not know.
FLAGGED_UNDER = {
    "old": {"gun": 1, "knife": 1, "cat": 0, "thing": 0, "allow": 0},
    "new": {"gun": 1, "knife": 1, "cat": 1, "dog": 0, "allow": 0},
}


def _subject(n: int, seed: int, leaning: float = 0.0) -> Subject:
    """Returns n images of any truth; the flagged ones lean to the group a, the others to b."""
    rng = np.random.default_rng(seed)
    features = random_features(n, seed)
    flagged = predict(OLD, StubEncoder(), features).flagged
    group = np.where(rng.random(n) < leaning, flagged, rng.random(n) < 0.4)
    values = {
        "group": ["a" if mark else "b" for mark in group],
        "kind": list(rng.choice(["x", "y", "z"], n, p=[0.6, 0.3, 0.1])),
    }
    truth = list(rng.choice(np.array(TRUTHS, object), n))
    dataset = replace(dataset_of(values, truth), benign=bool(seed % 4 == 3))
    ids = tuple(dataset.table["image_id"])
    return Subject.of(EmbeddedDataset(dataset, features, ids, 0, 0), StubEncoder(), seed=seed)


#: What `_subject` is made of.
DRAWN = (
    st.sampled_from([1, 45, 70, 400]),
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.3, 1.0]),
)


def _check_order_and_words(results: Results) -> None:
    head = results.headline
    everything = (*results.summary, *results.not_known, *head.practice, *head.meaning)
    everything += (*head.next_steps, *head.cautions)
    assert not [sentence for sentence in everything if NEVER.search(sentence)]
    assert not [sentence for sentence in results.summary[1:] if UNSHOWN.search(sentence)]
    assert not [sentence for sentence in results.not_known if CLAIMED.search(sentence)]
    assert results.summary[0] == head.finding
    # Every format says all of it, and the finding first.
    opening = make_document(results).opening
    assert opening.finding == quoted_line(head.finding)
    told = [line for part in opening.parts for line in part.lines]
    assert sorted(map(str, told)) == sorted(str(quoted_line(each)) for each in everything[1:])
    _check_headline(results)


def _check_headline(results: Results) -> None:
    """Checks that a claimed row is behind the headline, and that none is wherever it has none."""
    head = results.headline
    tested: tuple[Row, ...] = (*results.differences, *results.shifts, *results.ablations)
    rows = [row for row in tested if row.claim]
    shared = {"label:gun", "label:knife", "label:cat"}
    said = [
        row
        for row in rows
        if not (row.metric.startswith("label:") and row.metric not in shared)
        and not (isinstance(row, Ablation) and row.kind == "without")
    ]
    if not head.claimed:
        assert said == []
        assert head.kind == "none"
        assert "shown" in head.finding or "Nothing could be tested" in head.finding
        return
    own = [r for r in rows if (r.by, r.group, r.metric) == (head.by, head.group, head.metric)]
    assert own, head.finding
    counts = {
        f"{row.count:,} of {row.n:,} images" if isinstance(row, Difference) else f"{row.n:,} image"
        for row in own
    }
    assert any(count in head.finding for count in counts), head.finding
    assert f"; {results.correction.hypotheses:,} difference" in head.finding  # type: ignore[union-attr]


def _check_claims_of_groups(results: Results) -> None:
    """Checks that each sentence on who is flagged more often has its claimed row."""
    for text in results.summary:
        for found in re.finditer(
            r"by ([\w × ]+), (?:groups are shown to differ: |the claim that )?([\w × ]+) is "
            r"([\w/ -]+) (more|less) "
            r"often than (all others|[\w × ]+)",
            text[:1].lower() + text[1:],
        ):
            by, group, done, direction, other = found.groups()
            metrics = {
                "flagged": FLAG, "falsely flagged": FALSE_POSITIVE,
                "rightly flagged": TRUE_POSITIVE, "misclassified": MISCLASSIFIED,
            }  # fmt: skip
            kind, name = re.split(r" as | by the label ", f"{done} as ")[:2]
            label = " by the label " in done
            metric = metrics.get(done) or f"{'fired' if label else 'category'}:{name}"
            assert kind in (
                "flagged",
                "blocked",
                "sent to review",
                "blocked or sent to review",
                done,
            )
            pair = {group, OVERALL if other == "all others" else other}
            rows = [
                row
                for row in results.differences
                if (row.by, row.metric, {row.group, row.reference}) == (by, metric, pair)
                if len(results.header.policies) == 1
                or row.policy in re.findall(r"\w+", text.partition(", by ")[0])
            ]
            assert any(row.claim for row in rows), text
            sign = 1 if rows[0].group == group else -1
            assert (sign * (rows[0].difference or 0.0) > 0) == (direction == "more"), text


def _check_gaps(results: Results) -> None:
    """Checks that the groups of each feature are denied exactly where no claim is made of them."""
    for gap in results.gaps:
        if gap.metric != FLAG or CROSS in gap.by:
            continue
        sentences = (*results.summary[1:], *results.not_known)
        said = [each for each in sentences if re.match(rf"By {gap.by}( nothing|, )", each)]
        other = re.compile(
            r"((flagged|review|blocked) as .*|by the label .*|falsely flagged|rightly flagged|"
            r"misclassified) \w+ often|, the claim "
        )
        told = [each for each in said if not other.search(each)]
        if not told:  # the headline says it of these groups
            assert (results.headline.by, results.headline.metric) == (gap.by, FLAG)
            continue
        [text] = told
        claimed = any(
            row.claim
            for row in results.differences
            if (row.policy, row.by, row.metric) == (gap.policy, gap.by, gap.metric)
        )
        assert claimed == bool(CLAIMED.search(text)), text
        # Groups that are too small to be compared may be the only ones that differ.
        assert gap.claim == claimed or (claimed and gap.left_out), text
        if not claimed and gap.difference and gap.p is not None and gap.p < 0.05:
            assert "by itself, gives p" in text


@given(*DRAWN)
# Benign images of which y_true says that some should be flagged: a claim of the wrong flags alone.
@example(400, 6263, 0.0)
@settings(max_examples=25)
@pytest.mark.slow
def test_a_run_says_what_it_claims(n: int, seed: int, leaning: float) -> None:
    results = run_audit(_subject(n, seed, leaning), Named({"old": OLD}, {}))
    _check_order_and_words(results)
    _check_claims_of_groups(results)
    _check_gaps(results)


@given(*DRAWN)
@settings(max_examples=20)
@pytest.mark.slow
def test_a_comparison_says_what_it_claims(n: int, seed: int, leaning: float) -> None:
    results = compare_audit(_subject(n, seed, leaning), Named({"old": OLD, "new": NEW}, {}))
    _check_order_and_words(results)
    _check_claims_of_groups(results)
    said = " ".join((*results.summary, *results.not_known))
    for metric, what in ((FLAG, "the share flagged"), (FALSE_POSITIVE, "false positives"),
                         (TRUE_POSITIVE, "true positives")):  # fmt: skip
        rows = [r for r in results.shifts if r.metric == metric and not r.matched]
        groups = [row for row in rows if row.by != OVERALL]
        stands = any(row.claim for row in groups)
        head = results.headline  # which tells of one group alone
        told = head.kind == "shift" and head.metric == metric and head.by != OVERALL
        assert stands == (told or f"Shown to change in {what} under new" in said)
        denied = re.search(rf"No group is shown to change in [\w ]*{what}( or| under)", said)
        assert bool(denied) == (bool(groups) and not stands)


@given(*DRAWN, st.booleans())
@settings(max_examples=15)
@pytest.mark.slow
def test_an_ablation_says_what_it_claims_and_counts_real_changes(
    n: int, seed: int, leaning: float, real: bool
) -> None:
    candidates = [Label(id="cat", prompts=("a tomcat",))]
    candidates += [Label(id="dog", prompts=("a dog",)), Label(id="hound", prompts=("a dog",))]
    synonyms = [Synonym("knife", "a knife"), Synonym("knife", "a dagger"), Synonym("gun", "x")]
    study = Study(candidates if real else candidates[:1], synonyms if real else synonyms[:1],
                  templates=("{}", "a photo of {}.", "{}"))  # fmt: skip
    results = ablate_audit(_subject(n, seed, leaning), Named({"old": OLD}, {}), study)
    _check_order_and_words(results)
    _check_claims_of_groups(results)
    changes = {(row.kind, row.change) for row in results.ablations}
    assert ("with", "cat") not in changes
    assert {change for kind, change in changes if kind == "template"} == {"{}"}
    tried = real and n >= 60
    none_lowers = any("None of 3 changes that were searched" in text for text in results.summary)
    assert tried or not none_lowers
    shown = tried and not none_lowers
    assert [half.searched for half in results.split_halves] == [3, 3] * shown
    assert all(half.lowers for half in results.split_halves if half.half == "chosen on")
    refused = " ".join(results.not_tried)
    assert ("too few images to hold out" in refused) == (real and n < 60)
    assert "`with cat` changes nothing" in refused
    assert "`template a photo of {}.` changes nothing" in refused
    said = (*results.summary, *results.not_known)
    counted = [int(m[1]) for text in said if (m := re.match(r"Of (\d+) change", text))]
    others = changes - {("without", "gun"), ("without", "knife")}
    # Where the headline is of that change, it says how many differences were tested.
    assert counted == [len(others)] or (not counted and results.headline.kind == "change")
    assert {row.wordings for row in results.wordings if row.kind == "template"} == {2}
    assert {row.kind for row in results.wordings} == {
        *("template", "article"), *(["synonym"] if real else [])
    }  # fmt: skip


def _known(subject: Subject, *policies: str) -> dict[str, int]:
    """Returns how many images should be flagged, and should not, as all these policies say."""
    counts = {TRUE_POSITIVE: 0, FALSE_POSITIVE: 0}
    for truth in subject.dataset.table["y_true"]:
        said = {FLAGGED_UNDER[name].get(truth) for name in policies}
        if said in ({0}, {1}):
            counts[TRUE_POSITIVE if said == {1} else FALSE_POSITIVE] += 1
    return counts


def _picked(rows: Any, **wanted: Any) -> Any:
    [row] = [r for r in rows if all(getattr(r, key) == value for key, value in wanted.items())]
    return row


@pytest.mark.slow
def test_rates_that_need_the_truth_are_compared_on_the_images_whose_truth_all_policies_know() -> (
    None
):
    subject = _subject(1200, seed=8, leaning=0.2)
    results = compare_audit(subject, Named({"old": OLD, "new": NEW}, {}))
    common = _known(subject, "old", "new")
    for metric, n in common.items():
        for name in ("old", "new"):
            counted = _picked(results.common_images, policy=name, metric=metric)
            assert (counted.n, counted.common) == (_known(subject, name)[metric], n)
            assert _picked(results.rates, policy=name, metric=metric, by=OVERALL).n == n
        shift = _picked(results.shifts, metric=metric, by=OVERALL)
        assert shift.n == n
        for name, count in (("old", shift.before_count), ("new", shift.after_count)):
            assert _picked(results.rates, policy=name, metric=metric, by=OVERALL).count == count
        groups = [r for r in results.shifts if (r.metric, r.by) == (metric, "group")]
        assert sum(row.n for row in groups) == n
        assert sum(row.entered for row in groups) == shift.entered
        for row in groups:
            rate = _picked(results.rates, policy="new", metric=metric, by="group", group=row.group)
            assert (rate.count, rate.n) == (row.after_count, row.n)
    # A cat should be flagged under one policy alone: it counts for neither.
    cats = int((subject.dataset.table["y_true"] == "cat").sum())
    for metric in (FALSE_POSITIVE, MISCLASSIFIED):
        assert _picked(results.common_images, policy="old", metric=metric).contradicted == cats
    assert {row.n for row in results.rates if (row.metric, row.by) == (FLAG, OVERALL)} == {1200}
    wrong = {r.policy: r.n for r in results.rates if (r.metric, r.by) == (MISCLASSIFIED, OVERALL)}
    guns_and_knives = int(subject.dataset.table["y_true"].isin(["gun", "knife"]).sum())
    assert wrong == {"old": guns_and_knives, "new": guns_and_knives}
    first, second = (
        text
        for text in (*results.summary[1:], *results.not_known)
        if text.startswith("From old to new, of") and "should" in text
    )
    assert first.startswith(f"From old to new, of {common[TRUE_POSITIVE]} images that should be ")
    assert f"of {common[FALSE_POSITIVE]} images that should not be flagged" in second
    assert "and only on these is that compared" in " ".join(results.summary)


@pytest.mark.slow
def test_a_benign_dataset_is_compared_on_all_its_images_and_its_flags_once() -> None:
    subject = _subject(300, seed=3)
    dataset = subject.dataset
    blank = replace(dataset, table=dataset.table.assign(y_true=None))
    embedded = replace(subject.embedded, dataset=blank)
    plain = Subject.of(embedded, StubEncoder())
    results = compare_audit(plain, Named({"old": OLD, "new": NEW}, {}))
    rates = [r for r in results.rates if (r.metric, r.by) == (FALSE_POSITIVE, OVERALL)]
    assert {row.n for row in rates} == {300}
    assert FALSE_POSITIVE not in {row.metric for row in results.shifts}
    assert not any("policy knows" in sentence for sentence in results.summary)


@pytest.mark.parametrize("already", [True, False])
def test_a_search_that_lowers_no_flags_shows_no_best_change(already: bool) -> None:
    features = random_features(900, 0)
    features = features[predict(OLD, StubEncoder(), features).flagged == already][:200]
    dataset = dataset_of({"group": ["a", "b"] * 100}, [None] * 200)
    embedded = EmbeddedDataset(dataset, features, tuple(dataset.table["image_id"]), 0, 0)
    study = Study(synonyms=[Synonym("gun", "an unrelated thing")], templates=("{}",))
    subject = Subject.of(embedded, StubEncoder())
    results = ablate_audit(subject, Named({"old": OLD}, {}), study)
    [said] = [each for each in results.summary if "the half" in each or "one half" in each]
    assert len(results.split_halves) == 2 * already
    assert ("honest gain" in str(make_document(results))) == already
    assert already or said == (
        "The 1 change that was searched does not lower the flags on the half of the images that it "
        "was tried on (100 images)."
    )


@pytest.mark.parametrize(
    ("most", "by", "what", "remedy"),
    [
        (1, None, "no sensitive feature has two groups", "Name a dataset with two or more"),
        (120, None, "looked at has two groups. Not looked at: who (120 groups); one is if",
            "Name one alone, such as --by who"),
        (400, None, "Not looked at: who (400 groups)", "Join the values of one to at most 300"),
        (2, [("who", "kind")], "Not looked at: who (2 groups); one is if", "such as --by who"),
    ],
)  # fmt: skip
def test_a_skew_without_groups_says_what_is_not_looked_at_and_what_to_do(
    most: int, by: list[tuple[str, ...]] | None, what: str, remedy: str
) -> None:
    values = {"who": [f"p{i % most}" for i in range(400)], "kind": ["x"] * 400}
    dataset = dataset_of(values, [None] * 400)
    ids = tuple(dataset.table["image_id"])
    subject = Subject.of(
        EmbeddedDataset(dataset, random_features(400), ids, 0, 0), StubEncoder(), by
    )
    with pytest.raises(AuditError) as refused:
        subject.skews("a gun", k=20, desired="equal")
    assert what in refused.value.what
    assert remedy in refused.value.remedy
