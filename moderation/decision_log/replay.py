"""Decides again what the decision log says was decided, and finds what differs.

A row is enough: from the policy's content, the model's scale and the similarities the same code
computes the scores, and from these the decision. With the image it computes the similarities too.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import sub
from typing import Any

import numpy as np
from pydantic import ValidationError
from sqlalchemy import Row, select

from moderation.decision_log.database import Database
from moderation.decision_log.known_cosines import row_cosines
from moderation.decision_log.tables import policies
from moderation.errors import LogError, RequestError
from moderation.images.looks import Look, Seen
from moderation.messages import LabelScore, ModelStamp, Verdict
from moderation.policy import Policy
from moderation.scoring.classifier import Classifier
from moderation.scoring.conditions import Conditions
from moderation.scoring.pipeline import Pipeline
from moderation.scoring.verdict import decide, make_verdict

#: Policies held in memory while decisions are read.
_MOST_POLICIES = 100
#: Fields of the verdict that must be as they were.
_COMPARED = (
    *("frame", "box", "background", "looks", "exhaustive", "oddities", "doubts"),
    *("action", "flagged", "categories", "policy"),
)
_RESTORE = "Restore the log from a backup"

#: Fields of a label that need not be as they were: numbers may be off by the tolerance, and which
#: prompt was nearest is not in a row, and can be another where numbers are.
_NOT_COMPARED = {"similarity", "score", "negatives", "prompt"}

#: How far a score may be off on another processor, which rounds exponentials differently.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class DecisionToReplay:
    """A row of the table `decisions` to be replayed, with its policy's content.

    Attributes:
        id: of the decision.
        verdict: as it was answered.
        content: of the policy.
        conditions: it was made under.
        logit_scale: of the model.
        logit_bias: of the model, if it has one.
        columns: the row's columns that repeat parts of the verdict, by name.
    """

    id: str
    verdict: Verdict
    content: Mapping[str, Any]
    conditions: Conditions
    logit_scale: float
    logit_bias: float | None
    columns: Mapping[str, Any]

    def policy(self) -> Policy:
        """Returns the policy to replay the decision with.

        Raises:
            LogError: this version cannot read it.
        """
        try:
            return Policy.model_validate(self.content)
        except ValidationError as error:
            problems = f"{error.error_count()} problem{'s' * (error.error_count() != 1)}"
            what = f"its policy cannot be read by this version ({problems})"
            remedy = "Replay it with the version of evenhand that decided"
            raise LogError(what, self.id, remedy) from error


@dataclass(frozen=True)
class Replay:
    """The result of deciding again.

    Attributes:
        id: of the decision.
        differences: what differs, in words; empty if nothing does.
        furthest: the most that a score or similarity is off.
    """

    id: str
    differences: tuple[str, ...]
    furthest: float


def decisions_to_replay(database: Database, rows: Iterable[Row[Any]]) -> Iterator[DecisionToReplay]:
    """Yields the decisions of rows, each with its policy.

    Raises:
        LogError: a policy is missing, or a verdict cannot be read.
    """
    contents: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row.policy_sha256 not in contents:
            asked = select(policies.c.content).where(policies.c.sha256 == row.policy_sha256)
            with database.reading() as connection:
                content = connection.scalar(asked)
            if content is None:
                raise LogError("its policy is not in the log", row.id, _RESTORE)
            if len(contents) >= _MOST_POLICIES:
                contents.clear()
            contents[row.policy_sha256] = content
        yield _decision_to_replay(row, contents[row.policy_sha256])


def _decision_to_replay(row: Row[Any], content: Mapping[str, Any]) -> DecisionToReplay:
    try:
        verdict = Verdict.model_validate(row.verdict)
    except ValidationError as error:
        raise LogError("its verdict cannot be read", row.id, _RESTORE) from error
    try:
        conditions = Conditions.parse(row.conditions)
    except ValueError as error:
        raise LogError(str(error), row.id, _RESTORE) from error
    columns = {name: getattr(row, name) for name in _replayed_columns(verdict)}
    scale, bias = row.logit_scale, row.logit_bias
    return DecisionToReplay(row.id, verdict, content, conditions, scale, bias, columns)


def replay(decided: DecisionToReplay, *, tolerance: float = TOLERANCE) -> Replay:
    """Returns what differs when the stored similarities are scored and decided again.

    Raises:
        LogError: the policy cannot be read by this version. ModelError: a score is not finite.
    """
    policy, verdict = decided.policy(), decided.verdict
    cosines = row_cosines(policy, verdict)
    if cosines is None:
        return Replay(decided.id, ("its labels are not those of its policy",), math.inf)
    none = np.empty((0, 0), np.float32)
    classifier = Classifier(policy, none, decided.logit_scale, decided.logit_bias)
    again = make_verdict(
        policy,
        decide(policy, cosines, classifier.scores(cosines[np.newaxis])[0]),
        seen=Seen(
            Look(verdict.frame, verdict.box or (0, 0, 0, 0), verdict.background),
            verdict.looks,
            verdict.exhaustive,
            verdict.oddities,
        ),
        conditions=decided.conditions,
        model=verdict.model,
        request_id=verdict.request_id,
        image_sha256=verdict.image_sha256,
        timings=verdict.timings,
    )
    return _replay_of(decided, again, tolerance)


def replay_image(
    decided: DecisionToReplay, content: bytes, pipeline: Pipeline, *, tolerance: float = TOLERANCE
) -> Replay:
    """Returns what differs when the image itself is decided again.

    Args:
        decided: from the log.
        content: of the image's file.
        pipeline: serves only the stored policy.
        tolerance: how far a similarity or score may be off.

    Raises:
        RequestError: it is a different image, or a different model is loaded.
        ImageError: the image is refused. ModelError: the model fails on it.
    """
    verdict = decided.verdict
    if hashlib.sha256(content).hexdigest() != verdict.image_sha256:
        what = f"it is not the image that was decided on (SHA-256 {verdict.image_sha256})"
        raise RequestError(what, decided.id, "Give the very file that was sent")
    [again] = pipeline.moderate(
        content, pipeline.served(pipeline.policies), request_id=verdict.request_id
    )
    _refuse_replay_by(decided, again.model)
    return _replay_of(decided, again, tolerance)


def _refuse_replay_by(decided: DecisionToReplay, loaded: ModelStamp) -> None:
    before = decided.verdict.model
    for field in ("fingerprint", "preprocessing"):
        if getattr(before, field) != getattr(loaded, field):
            raise RequestError(
                f"{before.id} (revision {before.revision}) decided, and {loaded.id} (revision "
                f"{loaded.revision}) is loaded, which differs in its {field}",
                decided.id,
                "Name the model that decided with --model",
            )


def _replay_of(decided: DecisionToReplay, again: Verdict, tolerance: float) -> Replay:
    before = decided.verdict
    found = [*_contradictions(decided)]
    for name in _COMPARED:
        _note_replay_difference(found, name, getattr(before, name), getattr(again, name))
    apart = [0.0]
    apart += [
        abs(score - again.category_scores.get(name, math.inf))
        for name, score in before.category_scores.items()
    ]
    labels = {label.label: label for label in again.labels}
    for label in before.labels:
        other = labels[label.label]
        for name in sorted(LabelScore.model_fields.keys() - _NOT_COMPARED):
            was, now = getattr(label, name), getattr(other, name)
            _note_replay_difference(found, f"{label.label}: {name}", was, now)
        apart += [abs(label.similarity - other.similarity), abs(label.score - other.score)]
        if len(label.negatives) == len(other.negatives):
            apart += map(abs, map(sub, label.negatives, other.negatives))
    furthest = max(apart)
    if not furthest <= tolerance:
        found.append(f"a score or similarity is off by {furthest:.3g}")
    return Replay(decided.id, tuple(found), furthest)


def _contradictions(decided: DecisionToReplay) -> list[str]:
    """Returns where parts of a replayed row contradict each other."""
    found: list[str] = []
    for name, said in _replayed_columns(decided.verdict).items():
        _note_replay_difference(found, f"column {name}", decided.columns[name], said)
    policy = decided.policy()
    if policy.sha256 != decided.verdict.policy.sha256:
        found.append("its policy's content is not that of its hash")
    prompts = {label.id: label.prompts for label in policy.labels}
    for label in decided.verdict.labels:
        own = prompts.get(label.label, ()) if label.fired else ()
        if label.prompt is not None and label.prompt not in own:
            found.append(f"{label.label}: its policy has no such prompt: {label.prompt}")
    return found


def _replayed_columns(verdict: Verdict) -> dict[str, Any]:
    """Returns what a row has in columns and in its verdict."""
    return {
        "id": verdict.decision_id,
        "image_sha256": verdict.image_sha256,
        "policy_sha256": verdict.policy.sha256,
        "policy_id": verdict.policy.id,
        "policy_version": verdict.policy.version,
        "model_fingerprint": verdict.model.fingerprint,
        "preprocessing": verdict.model.preprocessing,
        "action": verdict.action,
        "flagged": verdict.flagged,
        "frame": verdict.frame,
    }


def _note_replay_difference(found: list[str], name: str, before: object, again: object) -> None:
    if before != again:
        found.append(f"{name} was {before}, is {again}")
