"""The final answers and the decisions in the tables: found for many requests and images at once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Text, cast, select, tuple_

from moderation.decision_log.records import Answer, Decided, Submission, quarantined_of
from moderation.decision_log.tables import (
    decisions,
    quarantine,
    submission_decisions,
    submissions,
)
from moderation.errors import RequestError
from moderation.messages import Rendition, Verdict
from moderation.scoring.verdict import DecisionKey

#: An image with what else a decision on it depends on.
ImageKey = tuple[str, DecisionKey]

_KEY = tuple_(
    decisions.c.policy_sha256,
    decisions.c.model_fingerprint,
    decisions.c.preprocessing,
    decisions.c.conditions,
)
#: As text, which pydantic reads in one step.
_VERDICT = cast(decisions.c.verdict, Text).label("verdict_text")


class KnownAnswer(NamedTuple):
    """The final answer in the log, and the hash of the request that has it."""

    request_sha256: str
    answer: Answer

    def answer_to(self, submission: Submission, where: str) -> Answer | RequestError:
        """Returns the answer, or the error for another request of the same id."""
        if submission.request_sha256 == self.request_sha256:
            return self.answer
        what = "this request id was used before, for another request"
        return RequestError(what, where, "Give each request an id of its own")


def find_answers(connection: Connection, request_ids: Collection[str]) -> dict[str, KnownAnswer]:
    """Returns the final answers of those requests that have one, by the request's id."""
    if not request_ids:
        return {}
    columns = submissions.c
    known = select(columns.request_id, columns.request_sha256, columns.outcome).where(
        columns.request_id.in_(sorted(request_ids))
    )
    rows = connection.execute(known).all()
    decided = [row.request_id for row in rows if row.outcome == "decided"]
    refused = [row.request_id for row in rows if row.outcome != "decided"]
    answers: dict[str, Answer] = {}
    if decided:
        answers |= _decided_answers(connection, decided)
    if refused:
        answers |= _quarantined_answers(connection, refused)
    return {
        row.request_id: KnownAnswer(row.request_sha256, answers[row.request_id])
        for row in rows
        if row.request_id in answers
    }


def _decided_answers(connection: Connection, request_ids: Sequence[str]) -> dict[str, Answer]:
    links = submission_decisions.c
    asked = (
        select(links.request_id, decisions.c.id, _VERDICT, links.timings, links.rendition)
        .join(submission_decisions, links.decision_id == decisions.c.id)
        .where(links.request_id.in_(request_ids))
        .order_by(links.request_id, links.position)
    )
    verdicts: dict[str, list[Verdict]] = {}
    for row in connection.execute(asked):
        verdicts.setdefault(row.request_id, []).append(_verdict_of_answer(row))
    return {name: Decided(name, tuple(found)) for name, found in verdicts.items()}


def _verdict_of_answer(row: Row[Any]) -> Verdict:
    """Returns a verdict with what the answer to a request had of its own."""
    own = {
        "request_id": row.request_id,
        "timings": row.timings,
        "rendition": row.rendition and Rendition.model_validate(row.rendition),
    }
    return _logged_verdict(row.id, row.verdict_text).model_copy(update=own)


def _quarantined_answers(connection: Connection, request_ids: Sequence[str]) -> dict[str, Answer]:
    still = (
        select(quarantine)
        .where(quarantine.c.request_id.in_(request_ids), quarantine.c.released_at.is_(None))
        .order_by(quarantine.c.quarantined_at)
    )
    # Of several the last one.
    return {row.request_id: quarantined_of(row) for row in connection.execute(still)}


def find_verdicts(connection: Connection, wanted: Collection[ImageKey]) -> dict[ImageKey, Verdict]:
    """Returns the verdicts that answers gave on images, as they were given first."""
    if not wanted:
        return {}
    found = select(decisions.c.id, decisions.c.image_sha256, *_KEY, _VERDICT).where(
        decisions.c.image_sha256.in_(sorted({image for image, _ in wanted})),
        _KEY.in_(sorted({key for _, key in wanted})),
    )
    verdicts: dict[ImageKey, Verdict] = {}
    for row in connection.execute(found):
        key = DecisionKey(
            row.policy_sha256, row.model_fingerprint, row.preprocessing, row.conditions
        )
        if (row.image_sha256, key) in wanted:
            verdicts[row.image_sha256, key] = _logged_verdict(row.id, row.verdict_text)
    return verdicts


def _logged_verdict(decision_id: str, text: str) -> Verdict:
    """Returns the verdict of a decision."""
    return Verdict.model_validate_json(text).model_copy(update={"decision_id": decision_id})
