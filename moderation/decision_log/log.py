"""The decision log as a worker uses it: one final answer for each request, whoever asks and when.

The answers of a batch are one transaction: the requests, their decisions or quarantine, and their
webhooks are written together or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, delete, select, update
from sqlalchemy.exc import IntegrityError, StatementError

from moderation.decision_log.answers import KnownAnswer, find_answers, find_verdicts
from moderation.decision_log.batch import Batch
from moderation.decision_log.database import Database
from moderation.decision_log.location import (
    locate_log,
    located_file,
    make_log_file,
    shown_location,
)
from moderation.decision_log.quarantine import OPEN
from moderation.decision_log.records import Answer, Outcome, Submission
from moderation.decision_log.tables import quarantine, submissions
from moderation.decision_log.upgrade import upgrade_tables
from moderation.errors import LogUnavailable, RequestError
from moderation.messages import Verdict
from moderation.scoring.verdict import DecisionKey
from moderation.settings import Settings

#: How long PostgreSQL may take to change large tables.
_UPGRADE_SECONDS = 3600.0
#: What is wrong with a value: said by the database, or by its driver.
_MISFITS = (RequestError, StatementError, ValueError, TypeError, OverflowError)


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
        #: Hashes of policies that are in the table, unless they were purged meanwhile.
        self._policies: frozenset[str] = frozenset()

    @property
    def engine(self) -> Engine:
        """The connections, whose failures are LogUnavailable and LogError too."""
        return self.database.engine

    def answers(self, submissions: Sequence[Submission]) -> dict[str, Answer | RequestError]:
        """Returns the final answers of those requests that have one, by the request's id.

        It is the same each time. The answer to a request whose id is that of another is the error
        that says so; an id that stands for two requests here is left out, for `record` to decide.
        """
        asked: dict[str, set[str]] = {}
        for submission in submissions:
            asked.setdefault(submission.request_id, set()).add(submission.request_sha256)
        clear = {
            submission.request_id: submission
            for submission in submissions
            if len(asked[submission.request_id]) == 1
        }
        if not clear:
            return {}
        with self.database.reading() as connection:
            found = find_answers(connection, clear)
        where = self.database.where
        return {name: known.answer_to(clear[name], where) for name, known in found.items()}

    def recall(
        self, images: Sequence[tuple[str, Sequence[DecisionKey]]]
    ) -> list[list[Verdict | None]]:
        """Returns the decision on each image for each of its keys, None if there is none.

        Their request id, timings and rendition are those of the first request that led to them.

        Args:
            images: the hash of each with its keys.
        """
        wanted = {(image, key) for image, keys in images for key in keys}
        if not wanted:
            return [[] for _ in images]
        with self.database.reading() as connection:
            found = find_verdicts(connection, wanted)
        return [[found.get((image, key)) for key in keys] for image, keys in images]

    def record(self, outcomes: Sequence[Outcome]) -> list[Answer | RequestError]:
        """Returns the final answer of each request: this one, unless another was there first.

        All are written together or none is. A decision on an image that the log already has
        replaces the one given here. The answer of an outcome that is wrong by itself, since its id
        is that of another request or a value does not fit, is the error; it costs no other.

        Args:
            outcomes: what became of the requests; of several with one id the first counts.
        """
        if not outcomes:
            return []
        try:
            return self._recorded_together(outcomes)
        except _MISFITS as error:
            if len(outcomes) == 1:
                return [error if isinstance(error, RequestError) else self._misfit(error)]
        half = len(outcomes) // 2
        return self.record(outcomes[:half]) + self.record(outcomes[half:])

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

    def _recorded_together(self, outcomes: Sequence[Outcome]) -> list[Answer | RequestError]:
        batch = Batch(outcomes, endpoints=self._endpoints)

        def record_batch(connection: Connection) -> dict[str, KnownAnswer]:
            try:
                return batch.add(connection, self._policies)
            except IntegrityError:  # a policy was purged that we take to be there
                self._policies = frozenset()
                raise

        known = self.database.write(record_batch)
        self._policies |= batch.policies
        return [
            known[outcome.submission.request_id].answer_to(outcome.submission, self.database.where)
            for outcome in outcomes
        ]

    def _misfit(self, error: Exception) -> RequestError:
        """Returns the error for an outcome that the database's driver does not take."""
        what = f"a value does not fit in the decision log ({type(error).__name__})"
        return RequestError(what, self.database.where, "Send plain text and numbers")

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
