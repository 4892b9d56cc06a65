"""The decision log as a worker uses it: one final answer for each request, whoever asks and when.

Each answer is one transaction: the request, its decisions or its quarantine, and the webhooks that
tell of it are there together or not at all. Rows go in in one order everywhere, first the request,
so that two workers with the same one wait for each other instead of blocking each other.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Self

from sqlalchemy import Connection, Engine, delete, insert, select, update

from moderation.decision_log.adding import add_decisions, insert_new
from moderation.decision_log.answers import find_outcome, find_verdicts
from moderation.decision_log.engine import Database, Vanished
from moderation.decision_log.records import Answer, Decided, Quarantined, Reason, Submission
from moderation.decision_log.rows import quarantine_values, submission_values
from moderation.decision_log.tables import outbox, quarantine, submission_decisions, submissions
from moderation.decision_log.webhooks import outbox_rows
from moderation.errors import ModerationError, RequestError
from moderation.messages import Verdict
from moderation.scoring.verdict import Basis, DecisionKey


class DecisionLog:
    """The decision log, for many threads; made by `opening.open_log`.

    Every method raises LogUnavailable where the database does not answer, and LogError where it is
    damaged or foreign.
    """

    def __init__(self, database: Database, *, endpoints: Sequence[str] = ()) -> None:
        """Takes a database whose tables are there.

        Args:
            database: closed with the log.
            endpoints: where each final answer is to be sent.
        """
        self.database = database
        self._endpoints = tuple(endpoints)

    @property
    def engine(self) -> Engine:
        """The connections; their failures are LogUnavailable and LogError too."""
        return self.database.engine

    def outcome(self, request_id: str, request_sha256: str) -> Answer | None:
        """Returns the final answer to a request, the same each time; None where it has none.

        Raises:
            RequestError: the id is that of another request.
        """
        with self.database.reading() as connection:
            return find_outcome(connection, request_id, request_sha256, self.database.where)

    def recall(self, image_sha256: str, keys: Sequence[DecisionKey]) -> list[Verdict | None]:
        """Returns the decision on an image for each key, None where there is none.

        Its request id and timings are those of the request that first led to it.
        """
        with self.database.reading() as connection:
            found = find_verdicts(connection, image_sha256, keys)
        return [found.get(key) for key in keys]

    def decide(
        self, submission: Submission, bases: Sequence[Basis], verdicts: Sequence[Verdict]
    ) -> Answer:
        """Returns the final answer to a request: this one, unless another was there first.

        A decision that the log has already on this image stands in for the one given here.

        Args:
            submission: the request.
            bases: what each verdict rests on, in order.
            verdicts: in the order of the request's policies; all on one image.

        Raises:
            RequestError: the id is that of another request.
        """
        pairs = list(zip(bases, verdicts, strict=True))

        def work(connection: Connection) -> Answer:
            now = datetime.now(UTC)
            if not insert_new(
                connection, submissions, [submission_values(submission, "decided", now)]
            ):
                return self._present_outcome(connection, submission)
            canonical = add_decisions(connection, submission.request_id, pairs, now)
            outcome = Decided(submission.request_id, canonical)
            connection.execute(insert(submission_decisions), _links(outcome))
            self._announce(connection, outcome, now)
            return outcome

        return self.database.write(work)

    def set_aside(
        self,
        submission: Submission,
        reason: Reason,
        error: ModerationError,
        *,
        deliveries: int = 0,
        retries: int = 0,
    ) -> Answer:
        """Returns the final answer to a request: quarantine, unless another was there first.

        Args:
            submission: the request.
            reason: why, in a word.
            error: what its host gets.
            deliveries: how often a worker died with it in hand.
            retries: how often it was tried again before.

        Raises:
            RequestError: the id is that of another request.
        """

        def work(connection: Connection) -> Answer:
            now = datetime.now(UTC)
            row = submission_values(submission, "quarantined", now)
            if not insert_new(connection, submissions, [row]):
                return self._present_outcome(connection, submission)
            outcome = Quarantined(submission.request_id, str(uuid.uuid4()), reason, error)
            values = quarantine_values(outcome, now, deliveries=deliveries, retries=retries)
            connection.execute(insert(quarantine), values)
            self._announce(connection, outcome, now)
            return outcome

        return self.database.write(work)

    def release(self, quarantine_id: str) -> str:
        """Lets a request be decided anew, keeps that it was quarantined, and returns its id.

        Raises:
            RequestError: there is no such entry, or it was released or dropped before.
        """

        def work(connection: Connection) -> str:
            request_id = self._end_quarantine(connection, quarantine_id, "released_at")
            connection.execute(
                delete(submissions).where(
                    submissions.c.request_id == request_id,
                    submissions.c.outcome == "quarantined",
                )
            )
            return request_id

        return self.database.write(work)

    def drop(self, quarantine_id: str) -> None:
        """Notes that a request will not be tried again; its answer stays.

        Raises:
            RequestError: there is no such entry, or it was released or dropped before.
        """
        self.database.write(
            lambda connection: self._end_quarantine(connection, quarantine_id, "dropped_at")
        )

    def close(self) -> None:
        """Closes the connections."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _present_outcome(self, connection: Connection, submission: Submission) -> Answer:
        """Returns the answer that kept another one out."""
        known = find_outcome(
            connection, submission.request_id, submission.request_sha256, self.database.where
        )
        if known is None:  # released in between
            raise Vanished
        return known

    def _announce(self, connection: Connection, outcome: Answer, now: datetime) -> None:
        if rows := outbox_rows(outcome, self._endpoints, now):
            connection.execute(insert(outbox), rows)

    def _end_quarantine(self, connection: Connection, quarantine_id: str, column: str) -> str:
        """Marks an open entry and returns its request's id."""
        row = connection.execute(select(quarantine).where(quarantine.c.id == quarantine_id)).first()
        where, remedy = self.database.where, "`moderation quarantine list` shows what is open"
        if row is None:
            raise RequestError(f"nothing in quarantine is called {quarantine_id}", where, remedy)
        still_open = (quarantine.c.released_at.is_(None), quarantine.c.dropped_at.is_(None))
        ended = connection.execute(
            update(quarantine)
            .where(quarantine.c.id == quarantine_id, *still_open)
            .values({column: datetime.now(UTC)})
        )
        if not ended.rowcount:
            what = f"{quarantine_id} was released or dropped before"
            raise RequestError(what, where, remedy)
        return str(row.request_id)


def _links(outcome: Decided) -> list[dict[str, Any]]:
    return [
        {
            "request_id": outcome.request_id,
            "position": position,
            "decision_id": verdict.decision_id,
            "timings": verdict.timings,
        }
        for position, verdict in enumerate(outcome.verdicts)
    ]
