"""Flips of a dataset: equal to what production decides on each picture, and counted by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from audit.datasets.dataset import Dataset
from audit.embedding.dataset_features import EmbeddedDataset
from audit.flips.dataset_flips import SeenUnder, dataset_flips
from audit.flips.flips import MILDEST_FIRST, Flips
from moderation.encoders.encoder import unit
from moderation.policy import Policy
from moderation.scoring.classifier import Classifier
from moderation.scoring.served import DecidedLook, decided_looks
from tests.support.policy_texts import policy
from tests.support.stub_encoder import WIDTH, StubEncoder

N = 400
GROUPS = ("few", "north", "south")
OLD = policy()
LABELS = OLD.model_dump(mode="json")["labels"]
NEW = policy(
    version=2,
    labels=[
        {**LABELS[0], "prompts": ["a gun", "a rifle"], "threshold": 0.6, "review_threshold": 0.3},
        {**LABELS[1], "id": "blade", "threshold": 0.6},
        *LABELS[2:],
    ],
)


@pytest.fixture(scope="module")
def embedded() -> EmbeddedDataset:
    """Pictures of one to three looks, of two large groups and one small one."""
    random = np.random.default_rng(7)
    looks = random.integers(1, 4, N).astype(np.intp)
    features = unit(random.standard_normal((looks.sum(), WIDTH)).astype(np.float32))
    groups = [GROUPS[0]] * 20 + [GROUPS[1 + place % 2] for place in range(N - 20)]
    table = pd.DataFrame(
        {"image_id": [f"{place}.jpg" for place in range(N)], "y_true": None, "race": groups}
    )
    dataset = Dataset("pictures", "table", Path("p.csv"), table, (), ("race",))
    hashes = tuple(f"{place:064x}" for place in range(N))
    return EmbeddedDataset(dataset, features, hashes, 0, 0, looks)


@pytest.fixture(scope="module")
def flips(embedded: EmbeddedDataset) -> Flips:
    encoder = StubEncoder()
    old, new = (SeenUnder(each, embedded, encoder) for each in (OLD, NEW))
    groups = embedded.dataset.partitions([("race",)])
    return dataset_flips(old, new, groups, {"blade": "knife"})


def _decided(under: Policy, embedded: EmbeddedDataset) -> list[DecidedLook]:
    """Returns what production decides on each picture, one by one."""
    classifier = Classifier.of(under, StubEncoder())
    assert embedded.looks is not None
    ends = np.cumsum(embedded.looks)
    parts = np.split(np.asarray(embedded.features), ends[:-1])
    return [decided_looks(classifier, "it", [{"it": part}])[0] for part in parts]


def test_flips_are_those_of_production(embedded: EmbeddedDataset, flips: Flips) -> None:
    before, after = _decided(OLD, embedded), _decided(NEW, embedded)
    pairs = [
        (was.decision.action, now.decision.action) for was, now in zip(before, after, strict=True)
    ]
    counted = Counter(pairs)
    assert flips.n == N
    for row, was in enumerate(MILDEST_FIRST):
        for column, now in enumerate(MILDEST_FIRST):
            assert flips.matrix[row, column] == counted[was, now]
    flipped = {f"{place}.jpg": pair for place, pair in enumerate(pairs) if pair[0] != pair[1]}
    assert {flip.image: (flip.before, flip.after) for flip in flips.flips} == flipped
    assert {flip.is_stricter for flip in flips.flips} == {True, False}
    for flip in flips.flips:
        place = int(flip.image.removesuffix(".jpg"))
        assert flip.sha256 == embedded.sha256[place]
        old = {label.label: label for label in before[place].decision.labels}
        new = {label.label: label for label in after[place].decision.labels}
        former = {"blade": "knife"}
        changed = {
            name: (old[former.get(name, name)].outcome, label.outcome, label.score, label.prompt)
            for name, label in new.items()
            if old[former.get(name, name)].outcome != label.outcome
        }
        assert changed == {
            each.label: (each.before, each.after, each.score_after, each.prompt)
            for each in flip.labels
        }


def test_groups_are_counted_by_hand_and_the_worst_is_first(
    embedded: EmbeddedDataset, flips: Flips
) -> None:
    race = dict(
        zip(embedded.dataset.table["image_id"], embedded.dataset.table["race"], strict=True)
    )
    flagged = [
        [decided.decision.flagged for decided in _decided(under, embedded)] for under in (OLD, NEW)
    ]
    names = list(race)
    for group in flips.by_group:
        own = [place for place, name in enumerate(names) if race[name] == group.group]
        of_group = [flip for flip in flips.flips if race[flip.image] == group.group]
        assert (group.feature, group.n) == ("race", len(own))
        assert group.stricter == sum(flip.is_stricter for flip in of_group)
        assert group.milder == sum(not flip.is_stricter for flip in of_group)
        shares = [sum(marks[place] for place in own) / len(own) for marks in flagged]
        assert (group.before.value, group.after.value) == pytest.approx(tuple(shares))
        assert group.change.value == pytest.approx(shares[1] - shares[0])
        assert group.change.low <= group.change.value <= group.change.high
        assert group.caution == ("too few pictures to say" if group.group == "few" else "")
    rises = [group.change.value for group in flips.by_group]
    assert rises == sorted(rises, reverse=True)
    assert len(rises) >= 2


def test_the_same_policy_flips_nothing(embedded: EmbeddedDataset) -> None:
    seen = SeenUnder(OLD, embedded, StubEncoder())
    found = dataset_flips(seen, seen, embedded.dataset.partitions([("race",)]), {})
    assert (found.flips, found.by_group, dict(found.by_label)) == ((), (), {})
    assert found.notes == (
        "Doubts about files are not looked for: a scan sends such a picture to review at least",
    )
    assert int(np.trace(found.matrix)) == N
