"""The decision log as a worker uses it: one final answer for each request, whoever asks and when.

Each answer is one transaction: the request, its decisions or its quarantine, and its webhooks are
written together or not at all. Rows are added in the same order everywhere, the request first, so
that two workers with the same request wait for each other instead of blocking each other.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, delete, insert, select, update

from moderation.decision_log.answers import (
    add_answer_decisions,
    find_answer,
    find_answered_verdicts,
    insert_answer_rows,
)
from moderation.decision_log.database import Database, Vanished
from moderation.decision_log.location import (
    locate_log,
    located_file,
    make_log_file,
    shown_location,
)
from moderation.decision_log.outbox import outbox_rows
from moderation.decision_log.quarantine import OPEN
from moderation.decision_log.records import (
    Answer,
    Decided,
    Quarantined,
    Reason,
    Submission,
    quarantine_values,
    submission_values,
)
from moderation.decision_log.tables import outbox, quarantine, submission_decisions, submissions
from moderation.decision_log.upgrade import upgrade_tables
from moderation.errors import LogUnavailable, ModerationError, RequestError
from moderation.messages import Verdict
from moderation.scoring.verdict import Basis, DecisionKey
from moderation.settings import Settings

#: How long PostgreSQL may take to change large tables.
_UPGRADE_SECONDS = 3600.0


def open_log(settings: Settings, *, make: bool = True) -> DecisionLog:
    """Returns the decision log, with its tables made or brought to this version.

    Args:
        settings: which database, and where webhooks go.
        make: whether to make a missing file; a command that only reads would otherwise take a
            wrong name for an empty log.

    Raises:
        SettingsError: the database's URL is not usable, or its driver is missing.
        LogUnavailable: the database does not answer, or its file is not there.
        LogError: it is damaged, foreign, or of a newer version.
    """
    url = locate_log(settings)
    if make:
        make_log_file(settings, url)
    elif (file := located_file(url)) is not None and not file.exists():
        remedy = "MODERATION_DATABASE_URL names it; the first worker makes it"
        raise LogUnavailable("there is no decision log", shown_location(url), remedy)
    # With its own connections, since changing large tables takes longer than any request may.
    with closing(Database(url, threads=1, answer_seconds=_UPGRADE_SECONDS)) as database:
        upgrade_tables(database)
    database = Database(url, threads=settings.concurrency)
    return DecisionLog(database, endpoints=settings.callback_urls)


class DecisionLog(AbstractContextManager["DecisionLog"]):
    """The decision log, for many threads; made by `open_log`.

    Every method raises LogUnavailable if the database does not answer, and LogError if it is
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
        """The connections, whose failures are LogUnavailable and LogError too."""
        return self.database.engine

    def answer(self, request_id: str, request_sha256: str) -> Answer | None:
        """Returns the final answer to a request, the same each time; None if it has none.

        Raises:
            RequestError: the id is that of another request.
        """
        with self.database.reading() as connection:
            return find_answer(connection, request_id, request_sha256, self.database.where)

    def recall(self, image_sha256: str, keys: Sequence[DecisionKey]) -> list[Verdict | None]:
        """Returns the decision on an image for each key, None if there is none.

        Its request id, timings and rendition are those of the first request that led to it.
        """
        with self.database.reading() as connection:
            found = find_answered_verdicts(connection, image_sha256, keys)
        return [found.get(key) for key in keys]

    def decide(
        self, submission: Submission, bases: Sequence[Basis], verdicts: Sequence[Verdict]
    ) -> Answer:
        """Returns the final answer to a request: this one, unless another was there first.

        A decision on this image that the log already has replaces the one given here.

        Args:
            submission: the request.
            bases: what each verdict rests on, in order.
            verdicts: in the order of the request's policies; all on one image.

        Raises:
            RequestError: the id is that of another request.
        """
        pairs = list(zip(bases, verdicts, strict=True))

        def add_decided(connection: Connection, now: datetime) -> Decided:
            canonical = add_answer_decisions(connection, submission.request_id, pairs, now)
            links = [
                {
                    "request_id": submission.request_id,
                    "position": position,
                    "decision_id": verdict.decision_id,
                    "timings": verdict.timings,
                    "rendition": verdict.rendition and verdict.rendition.model_dump(mode="json"),
                }
                for position, verdict in enumerate(canonical)
            ]
            connection.execute(insert(submission_decisions), links)
            return Decided(submission.request_id, canonical)

        return self._answer_once(submission, "decided", add_decided)

    def quarantine(
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
            reason: why, in one word.
            error: what its host gets.
            deliveries: how often a worker died with it in hand.
            retries: how often it was tried again before.

        Raises:
            RequestError: the id is that of another request.
        """

        def add_quarantined(connection: Connection, now: datetime) -> Quarantined:
            answer = Quarantined(submission.request_id, str(uuid.uuid4()), reason, error)
            row = quarantine_values(answer, now, deliveries=deliveries, retries=retries)
            connection.execute(insert(quarantine), row)
            return answer

        return self._answer_once(submission, "quarantined", add_quarantined)

    def release(self, quarantine_id: str) -> str:
        """Lets a quarantined request be decided again and returns its id; its row stays as history.

        Raises:
            RequestError: nothing in quarantine has that id, or it was released or dropped before.
        """

        def release_logged(connection: Connection) -> str:
            request_id = self._end_quarantine(connection, quarantine_id, "released_at")
            connection.execute(
                delete(submissions).where(
                    submissions.c.request_id == request_id,
                    submissions.c.outcome == "quarantined",
                )
            )
            return request_id

        return self.database.write(release_logged)

    def drop(self, quarantine_id: str) -> None:
        """Notes that a quarantined request will not be tried again; its answer stays.

        Raises:
            RequestError: nothing in quarantine has that id, or it was released or dropped before.
        """
        self.database.write(
            lambda connection: self._end_quarantine(connection, quarantine_id, "dropped_at")
        )

    def close(self) -> None:
        """Closes the decision log."""
        self.database.close()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer_once(
        self,
        submission: Submission,
        outcome: str,
        add: Callable[[Connection, datetime], Answer],
    ) -> Answer:
        """Returns the answer that `add` writes, or the one that was there first."""

        def logged_answer(connection: Connection) -> Answer:
            now = datetime.now(UTC)
            if insert_answer_rows(
                connection, submissions, [submission_values(submission, outcome, now)]
            ):
                answer = add(connection, now)
                if rows := outbox_rows(answer, self._endpoints, now):
                    connection.execute(insert(outbox), rows)
                return answer
            name, digest = submission.request_id, submission.request_sha256
            known = find_answer(connection, name, digest, self.database.where)
            if known is None:  # released in between
                raise Vanished
            return known

        return self.database.write(logged_answer)

    def _end_quarantine(self, connection: Connection, quarantine_id: str, column: str) -> str:
        """Sets the time in this column of an open row of the log, and returns its request's id."""
        row = connection.execute(select(quarantine).where(quarantine.c.id == quarantine_id)).first()
        where, remedy = self.database.where, "`moderation quarantine list` shows what is open"
        if row is None:
            raise RequestError(f"nothing in quarantine is called {quarantine_id}", where, remedy)
        ended = connection.execute(
            update(quarantine)
            .where(quarantine.c.id == quarantine_id, *OPEN)
            .values({column: datetime.now(UTC)})
        )
        if not ended.rowcount:
            what = f"{quarantine_id} was released or dropped before"
            raise RequestError(what, where, remedy)
        return str(row.request_id)
