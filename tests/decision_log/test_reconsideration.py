"""Another policy on the images of the log: equal to what that policy decides on them itself."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from moderation.decision_log.decisions import WantedDecisions, find_decisions
from moderation.decision_log.log import DecisionLog, open_log
from moderation.decision_log.reconsideration import Reconsidered, reconsider
from moderation.decision_log.replay import decisions_to_replay
from moderation.decision_log.stored_decisions import StoredDecisions
from moderation.encoders.options import ModelOptions
from moderation.features import EmbeddingStore
from moderation.features.stored_models import StoredModels
from moderation.images.decode.child import DecodeLimits
from moderation.images.decode.pool import DecoderPool
from moderation.images.looks import Looking
from moderation.messages import Verdict
from moderation.policy import Policy, parse_policy
from moderation.scoring.conditions import Conditions
from moderation.scoring.pipeline import Pipeline
from moderation.scoring.verdict import Basis
from moderation.settings import load_settings
from tests.support.decision_samples import record_verdicts, submission
from tests.support.stub_encoder import StubEncoder
from tests.support.waiting import PATIENCE_SECONDS

LOOKING = Looking(3, 1)
OLD = """\
schema_version: 1
id: colours
version: 1
title: Colours
templates: ["a photo of {}.", "{}"]
scoring: contrast
labels:
  - {id: red, prompts: [red, crimson], negatives: [a rose], action: block, threshold: 0.6}
  - {id: blue, prompts: [blue], action: review, threshold: 0.5}
  - {id: grey, prompts: [grey]}
  - {id: white, prompts: [white]}
"""
#: Edits of the old policy, and whether its rows are enough for the new one.
EDITS: dict[str, tuple[Callable[[str], str], bool]] = {
    "another threshold": (lambda text: text.replace("0.6", "0.3"), True),
    "another action": (lambda text: text.replace("action: review", "action: block"), True),
    "another id": (lambda text: text.replace("id: blue", "id: sea"), True),
    "a label less": (lambda text: text.replace("  - {id: white, prompts: [white]}\n", ""), True),
    "a label of a look-alike": (
        lambda text: (
            text.replace(" negatives: [a rose],", "")
            + "  - {id: rose, prompts: [a rose], action: review, threshold: 0.7}\n"
        ),
        True,
    ),
    "a look-alike of two labels": (
        lambda text: text.replace("[blue]", "[blue], negatives: [a rose]"),
        True,
    ),
    "another order": (lambda text: text.replace("[red, crimson]", "[crimson, red]"), True),
    "another scoring": (
        lambda text: text.replace("contrast", "softmax").replace(" negatives: [a rose],", ""),
        True,
    ),
    "a prompt more": (lambda text: text.replace("[blue]", "[blue, navy]"), False),
    "another template": (lambda text: text.replace("a photo of {}.", "a picture of {}"), False),
}


def _read(text: str) -> Policy:
    return parse_policy(text.encode(), "colours.yaml")


def _pictures(number: int, frames: int) -> list[bytes]:
    """Returns GIFs of random pixels, each with so many frames."""
    random = np.random.default_rng(frames)
    found = []
    for _ in range(number):
        pixels = random.integers(0, 256, (frames, 8, 8, 3), np.uint8)
        first, *others = map(Image.fromarray, pixels)
        file = io.BytesIO()
        first.save(file, "GIF", save_all=True, append_images=others, duration=100)
        found.append(file.getvalue())
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DecisionLog]:
    file = tmp_path_factory.mktemp("log") / "decisions.db"
    with open_log(load_settings(database_url=f"sqlite:///{file}")) as opened:
        yield opened


def _models(root: Path, looking: Looking = LOOKING) -> StoredModels:
    options = ModelOptions.of(load_settings())
    return StoredModels(EmbeddingStore(root), options, looking, load=lambda *_: StubEncoder())


def _verdicts(policy: Policy, pictures: list[bytes], models: StoredModels) -> list[Verdict]:
    """Returns what production says of pictures, whose features are kept."""
    decoders = DecoderPool(2, DecodeLimits(10**7, 3, PATIENCE_SECONDS, views=1))
    decoders.start()
    decoders.wait_until_ready()
    with (
        models,
        Pipeline(
            {policy.id: policy}, models.encoder, decoders, default_model="starter", stored=models
        ) as pipeline,
    ):
        served = pipeline.served([policy.id])
        return [pipeline.moderate(one, served, request_id="r")[0] for one in pictures]


@pytest.fixture(scope="module")
def pictures(log: DecisionLog, root: Path) -> list[bytes]:
    """Pictures of one frame and of three, which the old policy has decided on in the log."""
    made = [*_pictures(20, 1), *_pictures(20, 3)]
    policy = _read(OLD)
    models = _models(root)
    verdicts = _verdicts(policy, made, models)
    encoder = StubEncoder()
    basis = Basis(policy, encoder.stamp, Conditions(LOOKING), encoder.logit_scale, None)
    for number, verdict in enumerate(verdicts):
        own = verdict.model_copy(update={"request_id": f"r{number}"})
        record_verdicts(log, submission(f"r{number}", image=str(number)), [basis], [own])
    assert {verdict.action for verdict in verdicts} == {"allow", "review", "block"}
    return made


def _reconsidered(
    log: DecisionLog, policy: Policy, models: StoredModels, model: str | None = None
) -> dict[str, Reconsidered]:
    rows = decisions_to_replay(log.database, find_decisions(log.database, WantedDecisions()))
    with models:
        by_features = StoredDecisions(policy, models, "starter").decide
        found = list(reconsider(rows, policy, model=model, by_features=by_features))
    return {each.before.image_sha256: each for each in found}


@pytest.mark.parametrize("edit", EDITS)
def test_it_is_what_the_new_policy_decides_on_the_images(
    edit: str, log: DecisionLog, pictures: list[bytes], root: Path
) -> None:
    change, enough = EDITS[edit]
    new = _read(change(OLD))
    found = _reconsidered(log, new, _models(root))
    assert len(found) == len(pictures)
    for verdict in _verdicts(new, pictures, _models(root)):
        each = found[verdict.image_sha256]
        assert each.way == ("similarities" if enough and verdict.looks == 1 else "features")
        assert each.action == verdict.action
        assert each.after is not None
        # A mean of texts in another order has other last digits.
        scores = [label.score for label in verdict.labels]
        assert [label.score for label in each.after.labels] == pytest.approx(scores, abs=1e-6)
        if each.way == "features":
            prompts = [label.prompt for label in verdict.labels]
            assert [label.prompt for label in each.after.labels] == prompts
        outcomes = [label.outcome for label in verdict.labels]
        assert [label.outcome for label in each.after.labels] == outcomes


def test_without_features_the_deciding_look_stands_for_the_others_or_nothing_is_said(
    log: DecisionLog, pictures: list[bytes], tmp_path: Path
) -> None:
    lower = _read(OLD.replace("0.6", "0.3"))
    found = _reconsidered(log, lower, _models(tmp_path))
    ways = {(each.before.looks, each.way) for each in found.values()}
    assert ways == {(1, "similarities"), (3, "deciding look")}
    exact = _reconsidered(log, _read(OLD), _models(tmp_path))
    assert all(each.action == each.before.action for each in exact.values())
    assert not list(tmp_path.iterdir())  # so no model was opened

    other = _read(OLD.replace("[blue]", "[navy]"))
    said = {each.reason for each in _reconsidered(log, other, _models(tmp_path)).values()}
    assert said == {
        "version 1 of the policy decided: it had not 'navy'; its features are not in the "
        "embedding store"
    }


@pytest.mark.parametrize(
    ("text", "looking", "model", "reason"),
    [
        (OLD.replace("contrast", "sigmoid").replace(" negatives: [a rose],", ""), Looking(2, 1),
         None, "sigmoid scoring does not fit stub, which decided; it was looked at with frames=3 "
         "views=1, and here with frames=2 views=1"),
        (OLD, Looking(2, 1), "other", "stub decided, and other is to decide now; it was looked at"),
        (OLD.replace("a photo", "a drawing"), Looking(2, 1), "stub@1",
         "version 1 of the policy decided: its templates are others; it was"),
        (OLD.replace("[blue]", "[teal]").replace("[grey]", "[ash]"), Looking(2, 1), "stub",
         "version 1 of the policy decided: it had not 'teal' and 1 more; it was"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_has_its_reason(
    log: DecisionLog,
    pictures: list[bytes],
    root: Path,
    text: str,
    looking: Looking,
    model: str | None,
    reason: str,
) -> None:
    found = _reconsidered(log, _read(text), _models(root, looking), model)
    assert len(found) == len(pictures)
    for each in found.values():
        assert each.reason.startswith(reason)
        assert (each.action, each.after, each.way) == (None, None, None)


def test_doubts_of_a_file_stay(log: DecisionLog, pictures: list[bytes], root: Path) -> None:
    harmless = _read(OLD.replace("0.6", "1.0").replace("0.5", "1.0"))
    rows: Any = decisions_to_replay(log.database, find_decisions(log.database, WantedDecisions()))
    each = next(iter(rows))
    doubted = each.verdict.model_copy(update={"doubts": ("trailing-data",), "looks": 1})
    [found] = reconsider(
        [replace(each, verdict=doubted)], harmless, model=None, by_features=lambda *_: ""
    )
    assert found.after is not None
    assert (found.after.action, found.action) == ("allow", "review")
