"""A count of one is said in the singular, in every sentence that counts something."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from audit.datasets.coverage import Coverage, GroupSize
from audit.datasets.spelling import Spellings
from audit.gate.counts import GateCounts
from audit.gate.reasons import some_named, too_few_reason, too_near_reason
from audit.metrics.rates import FALSE_POSITIVE, FLAG
from audit.plurals import counted
from audit.results.ablation_rows import Ablation, Carried, SplitHalf
from audit.results.ablation_sentences import (
    carried_sentences,
    held_out_sentences,
    largest_move_findings,
)
from audit.results.headline_sentences import claim_sentence, no_claim_sentence
from audit.results.largest_claim import Claimable, SizedClaim
from audit.results.left_out import left_out_finding, left_out_summary
from audit.results.next_steps import next_steps
from audit.results.practice_sentences import harm_summary, meaning_sentences, practice_sentences
from audit.results.results import DatasetRecord
from audit.results.rows import CommonImages, Correction, Power, Rate, Shift
from audit.results.shift_sentences import (
    common_images_sentences,
    group_changes,
    harm_changes,
    truth_changes,
)
from tests.support.sample_header import header
from tests.support.sample_results import shift

#: A plural after a count of one, and a verb that takes no single image.
WRONG = re.compile(
    r"\b1 (more |other )?(images|groups|changes|labels|cells|hits|others|values|intersections"
    r"|policies|classes|problems|come|are|were|have)\b"
    r"|\b1 of 1 images|\b1 of [\d,]+( \([\d.]+ %\))?( images)? (are|were|come)\b"
)

POLICY = header(("one",)).policies[0]


def _of_one(record: type, **changes: Any) -> Any:
    """Returns a record whose every number is one."""
    texts: dict[str, Any] = dict.fromkeys(record.model_fields)  # type: ignore[attr-defined]
    for name, field in record.model_fields.items():  # type: ignore[attr-defined]
        if field.annotation is int:
            texts[name] = 1
        elif field.annotation is str:
            texts[name] = "one"
        elif field.annotation is bool:
            texts[name] = False
    return record.model_validate(texts | changes)  # type: ignore[attr-defined]


def _dataset(left_out: int, n: int) -> DatasetRecord:
    whole = header(("one",)).dataset
    groups = (whole.groups[1].model_copy(update={"left_out": left_out, "n": n}),)
    changes = {"left_out": left_out, "n": n, "groups": groups, "unplaced": {"race": 1}}
    return whole.model_copy(update=changes)


def _sentences_of_one() -> Iterator[str]:
    for n in (0, 1, 6):
        yield from left_out_summary(_dataset(1, n))
        yield from left_out_finding(_dataset(1, n))
    many = [_dataset(1, 1).groups[0].model_copy(update={"group": f"g{i}"}) for i in range(13)]
    yield from left_out_summary(_dataset(13, 13).model_copy(update={"groups": tuple(many)}))
    yield from carried_sentences([_of_one(Carried)])
    halves = [_of_one(SplitHalf, half=half, net=-1.0, net_low=-1.0, net_high=0.5, entered=0)
              for half in ("chosen on", "held out")]  # fmt: skip
    yield from held_out_sentences(halves)
    yield from held_out_sentences([half.model_copy(update={"entered": 1}) for half in halves])
    row = {"by": "overall", "group": "overall", "metric": FLAG, "support": "suppressed"}
    change = _of_one(Ablation, **row, kind="with", policy="one", net=0.0)
    yield from (each.text for each in largest_move_findings(POLICY, [change]))
    still = change.model_copy(update={"entered": 0, "left": 0})
    yield from (each.text for each in largest_move_findings(POLICY, [still]))
    twice = [change, change.model_copy(update={"change": "two"})]
    yield from (each.text for each in largest_move_findings(POLICY, twice))
    for metric in (FLAG, FALSE_POSITIVE):
        moved = shift("overall", "overall", 1, matched=False)
        moved = moved.model_copy(update={"metric": metric, "entered": 1, "left": 1})
        groups = [
            _of_one(Shift, by="race", group=f"g{i}", metric=metric, support="full", claim=True,
                    matched=False, net=1.0, before_policy="a", after_policy=moved.after_policy)
            for i in range(7)
        ]  # fmt: skip
        yield from (each.text for each in truth_changes("a", [moved, *groups]))
        yield from (each.text for each in harm_changes("a", [moved, *groups], FLAG))
        yield from (each.text for each in group_changes(moved.after_policy, groups, set()))
    common = [
        CommonImages(policy=name, metric=FALSE_POSITIVE, n=2, common=1, contradicted=1)
        for name in "ab"
    ]
    yield from common_images_sentences(common)
    whole = _of_one(Rate, policy="one", by="overall", group="overall", metric=FLAG, rate=1.0,
                    low=0.2, high=1.0, support="suppressed")  # fmt: skip
    yield harm_summary("one", [whole], header(("one",)))


def _headlines_of_one() -> Iterator[str]:
    found = header(("one",))
    correction = Correction(hypotheses=1, draws=1, critical_p=0.05)
    yield no_claim_sentence(found, correction)
    for kind in ("selection_rate", "label:thief", "category:x"):
        change = _of_one(Ablation, by="race", group="a", metric=kind, kind="with", net=1.0,
                         support="indicative")  # fmt: skip
        own = shift("race", "a", 1, matched=True).model_copy(update={"entered": 1, "left": 1})
        whole = own.model_copy(update={"by": "overall", "group": "overall", "n": 2, "entered": 2})
        for row in (change, own, own.model_copy(update={"matched": False})):
            claim = SizedClaim(row, 1.0, 0.5, 1.0, ("one",), others=1)
            yield claim_sentence(claim, found, correction, Claimable([], [whole]))
            yield from next_steps(found, claim, [], [])
    power = _of_one(Power, policy="one", by="race", group="a", support="indicative")
    yield from next_steps(found, None, [], [power])
    acts = [_of_one(Rate, policy="one", by="overall", group="overall", metric=f"action:{action}",
                    rate=0.0001, low=0.0, high=0.0001, support="full")
            for action in ("block", "review")]  # fmt: skip
    yield from practice_sentences(found, acts, None)
    yield from meaning_sentences(found)


def _sentences_of_datasets_and_gates() -> Iterator[str]:
    size = GroupSize("a", 1, 0.5, 1)
    yield from Coverage("race", (size, GroupSize("b", 900, 0.5, 0)), 1, 1).warnings()
    spellings = Spellings()
    for i in range(40):
        for written in (f"v{i}", f"v{i} "):
            spellings.read("race", written)
            notes = list(spellings.notes())
            yield from notes
    one = np.ones(1)
    counts = GateCounts(
        "race", ("a",), one, one, one, one, one, too_small={"b": 1}, needed=1,
        left_out={"a": (1, 1), "b": (1, 9)}, unplaced=1,
    )  # fmt: skip
    yield too_few_reason(FLAG, counts)
    yield too_near_reason(counts, ["a"], showable=True)
    yield some_named([str(i) for i in range(40)][: 1 + len(some_named(["x"] * 30))])


def test_a_count_of_one_is_singular_in_every_sentence() -> None:
    said = [*_sentences_of_one(), *_headlines_of_one(), *_sentences_of_datasets_and_gates()]
    assert len(said) > 30
    assert [text for text in said if WRONG.search(text)] == []
    assert any(re.search(r"\b1 more (group|value)\b", text) for text in said)


def test_a_noun_follows_its_count() -> None:
    assert counted(1, "image") == "1 image"
    assert counted(0, "image") == "0 images"
    assert counted(2085, "class", "classes") == "2,085 classes"
