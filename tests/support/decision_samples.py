"""Submissions, bases and verdicts as a worker makes them, without a model; and logs with them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import Table, func, select, update

from moderation.decision_log.log import DecisionLog
from moderation.decision_log.records import (
    Answer,
    Decided,
    Outcome,
    Quarantined,
    Reason,
    Refusal,
    Submission,
    Verdicts,
)
from moderation.decision_log.tables import decisions
from moderation.errors import ModerationError, RequestError
from moderation.images.looks import Look, Looking, Seen
from moderation.messages import ModelStamp, Verdict
from moderation.policy import Policy, load_policy, shipped_policies
from moderation.scoring.classifier import Classifier
from moderation.scoring.conditions import Conditions
from moderation.scoring.verdict import Basis, decide, deciding_look, make_verdict
from moderation.worker.arrival import Arrival, read_arrived_request

T = TypeVar("T")

WEAPONS = load_policy(shipped_policies() / "weapons.yaml")
OTHER = Policy.model_validate({**WEAPONS.model_dump(), "id": "other"})
STAMP = ModelStamp(
    id="stub",
    revision="1",
    fingerprint="f" * 64,
    preprocessing="p" * 64,
    dtype="float32",
    device="cpu",
)
HOST = "images.example.com"
ENDPOINTS = ("https://a.example/hook", "https://b.example/hook")
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def image_sha256(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def submission(
    request_id: str = "r1", *, image: str = "a", policies: Sequence[str] = ()
) -> Submission:
    message = {
        "request_id": request_id,
        "image": {"url": f"https://user:hunter2@{HOST}/{image}.jpg?token=hunter3#hunter4"},
        "policies": list(policies) or ["weapons"],
    }
    arrival = Arrival("task", "interactive", sent_at=1_700_000_000.25)
    return read_arrived_request(message, arrival).submission


def basis(policy: Policy = WEAPONS, *, model: ModelStamp = STAMP, frames: int = 1) -> Basis:
    return Basis(policy, model, Conditions(Looking(frames)), 100.0, None)


def verdict(
    on: Basis, *, request_id: str = "r1", image: str = "a", seed: int = 0, seconds: float = 0.01
) -> Verdict:
    """Returns the verdict on similarities that the seed gives."""
    rows = len(on.policy.labels) + sum(len(label.negatives) for label in on.policy.labels)
    count = (on.conditions.looking.frames, rows)
    cosines = np.random.default_rng(seed).uniform(0.1, 0.3, count).astype(np.float32)
    classifier = Classifier(on.policy, np.empty((0, 0), np.float32), on.logit_scale, on.logit_bias)
    scores = classifier.scores(cosines)
    look = deciding_look(on.policy, cosines, scores)
    return make_verdict(
        on.policy,
        decide(on.policy, cosines[look], scores[look]),
        seen=Seen(Look(look, (0, 0, 640, 480)), len(cosines), True, ()),
        conditions=on.conditions,
        model=on.model,
        request_id=request_id,
        image_sha256=image_sha256(image),
        timings={"encode": seconds},
    )


def decide_one(
    log: DecisionLog,
    request_id: str = "r1",
    *,
    image: str = "a",
    policy: Policy = WEAPONS,
    seed: int = 0,
) -> Decided:
    """Returns the answer to a request with one policy, once the log has decided it."""
    on = basis(policy)
    made = verdict(on, request_id=request_id, image=image, seed=seed)
    return decided(record_verdicts(log, submission(request_id, image=image), [on], [made]))


def record_verdicts(
    log: DecisionLog, asked: Submission, bases: Sequence[Basis], verdicts: Sequence[Verdict]
) -> Answer:
    """Returns the log's answer to one request that was decided; raises if it refuses it."""
    return record_one(log, Verdicts(asked, bases, verdicts))


def record_refusal(
    log: DecisionLog, asked: Submission, reason: Reason, error: ModerationError, **counts: int
) -> Answer:
    """Returns the log's answer to one request without a verdict; raises if it refuses it."""
    return record_one(log, Refusal(asked, reason, error, **counts))


def record_one(log: DecisionLog, outcome: Outcome) -> Answer:
    """Returns the log's answer to one request; raises what is wrong with the outcome."""
    [answer] = log.record([outcome])
    return _answer_or_raise(answer)


def find_logged(log: DecisionLog, asked: Submission) -> Answer | None:
    """Returns the log's answer to a request, if it has one; raises if its id is another's."""
    answer = log.answers([asked]).get(asked.request_id)
    return None if answer is None else _answer_or_raise(answer)


def _answer_or_raise(answer: Answer | RequestError) -> Answer:
    if isinstance(answer, RequestError):
        raise answer
    return answer


def fill(log: DecisionLog, number: int = 4) -> list[str]:
    """Writes decisions, one an hour, of two policies in turn; returns their ids, newest first."""
    ids: list[str] = []
    for i in range(number):
        policy = OTHER if i % 2 else WEAPONS
        [made] = decide_one(log, f"r{i}", image=f"image {i}", policy=policy, seed=i).verdicts
        assert made.decision_id
        at = NOW + timedelta(hours=i)
        set_values(log, decisions, decisions.c.id == made.decision_id, decided_at=at)
        ids.insert(0, made.decision_id)
    return ids


def set_values(log: DecisionLog, table: Table, where: Any, **values: Any) -> None:
    with log.database.writing() as connection:
        connection.execute(update(table).where(where).values(**values))


def answer_to(log: DecisionLog, request_id: str = "r1") -> Answer | None:
    """Returns the log's answer to a request about image "a" with one policy."""
    return find_logged(log, submission(request_id))


def decided(answer: Answer | RequestError | None) -> Decided:
    assert isinstance(answer, Decided)
    return answer


def quarantined(answer: Answer | RequestError | None) -> Quarantined:
    assert isinstance(answer, Quarantined)
    return answer


def count(log: DecisionLog, *tables: Table) -> list[int]:
    """Returns how many rows each table has."""
    with log.engine.connect() as connection:
        return [
            int(connection.scalar(select(func.count()).select_from(table)) or 0) for table in tables
        ]


def at_once(threads: int, act: Callable[[int], T]) -> list[T]:
    """Returns what `act` returns in each of so many threads that begin together."""
    ready = threading.Barrier(threads)

    def begin(number: int) -> T:
        ready.wait()
        return act(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(begin, range(threads)))
