"""The database under the decision log: its connections, its transactions and its failures.

SQLite's writers take turns: those of one process in the order in which they ask, and processes by
BEGIN IMMEDIATE, since a reader that becomes a writer half-way could have its transaction refused,
with all that it had read.

Failures become errors that say whether to try again. They leave out the texts of statements and
their values, which hold what hosts sent.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, PoolProxiedConnection, QueuePool, create_engine
from sqlalchemy import event as events
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from moderation.decision_log import postgresql, sqlite
from moderation.decision_log.location import shown_location
from moderation.decision_log.records import json_of_column
from moderation.decision_log.writers_turn import WritersTurn
from moderation.errors import LogError, LogUnavailable, ModerationError, RequestError

T = TypeVar("T")

#: How long to wait for a connection, in seconds.
_POOL_SECONDS = 5
_MOST_CONNECTIONS = 10
#: How often a transaction is run when others get in its way.
_TRIES = 8

#: SQLite's result codes for a file that is damaged or not a database, and for a missing table.
_BEYOND_HOPE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)

#: PostgreSQL's classes and states that may pass: connection, resources, operator's intervention,
#: system; a server that is read-only since it is a stand-by, locks, two that block each other.
_PASSING = ("08", "53", "57", "58", "25006", "55P03", "40", "3D000", "28")
_CONTESTED = ("40001", "40P01")
#: This server takes no writes: after a fail-over it is the wrong one.
_READ_ONLY = "25006"

_TRY_AGAIN = "Check the database and its disk; MODERATION_DATABASE_URL says where it is"
_REPAIR = (
    "Give the decision log a database of its own, or restore this one from a backup; "
    "docs/decision-log.md"
)


class Vanished(Exception):
    """What a transaction had just seen is gone, so it must run again."""


class Database:
    """Connections to the decision log, for many threads.

    Whatever uses one raises LogUnavailable if the database does not answer, and LogError if it is
    damaged or foreign.
    """

    def __init__(
        self, url: URL, *, threads: int, answer_seconds: float = postgresql.ANSWER_SECONDS
    ) -> None:
        """Prepares connections; each is made when it is needed.

        Args:
            url: from `location`.
            threads: how many will use it at once.
            answer_seconds: how long PostgreSQL may take to answer.
        """
        self.where = shown_location(url)
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self.engine = create_engine(
            url,
            poolclass=_connection_pool(self.where),
            pool_size=min(threads, _MOST_CONNECTIONS),
            max_overflow=0,
            pool_timeout=_POOL_SECONDS,
            pool_use_lifo=True,
            hide_parameters=True,
            json_serializer=json_of_column,
            **(sqlite.OPTIONS if self.is_sqlite else postgresql.OPTIONS),
        )
        self._turn = WritersTurn(self.where)
        self._files: sqlite.SqliteFiles | None = None
        events.listen(self.engine, "handle_error", self._translate_error)
        if self.is_sqlite:
            self._files = sqlite.SqliteFiles(Path(url.database or ""), self.where)
            sqlite.prepare_sqlite(self.engine, self._files)
        else:
            postgresql.prepare_postgresql(self.engine, seconds=answer_seconds)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yields a connection in a transaction that sees one state of the log and only reads."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yields a connection in a transaction that is committed at the end of the block."""
        turn = self._turn.held() if self.is_sqlite else nullcontext()
        with turn, self._transaction() as connection:
            yield connection

    def write(self, work: Callable[[Connection], T]) -> T:
        """Returns what `work` returns, once its transaction is committed.

        The transaction runs again if another one got in its way, so `work` must do nothing else
        and be safe to do twice.

        Raises:
            LogUnavailable: the database does not answer; it may have written all the same.
        """
        for tried in range(_TRIES):
            if tried:
                time.sleep(random.uniform(0, 0.02 * 2**tried))
            try:
                with self.writing() as connection:
                    return work(connection)
            except (Vanished, IntegrityError) as error:
                last: Exception = error
            except LogUnavailable as error:
                if postgresql.sqlstate(error.__cause__) == _READ_ONLY:
                    self.engine.dispose()  # the next connection may lead to the right server
                if not postgresql.sqlstate(error.__cause__).startswith(_CONTESTED):
                    raise
                last = error
        if isinstance(last, IntegrityError):
            remedy = "Restore it from a backup; docs/decision-log.md"
            raise LogError("the tables of the decision log disagree", self.where, remedy) from last
        what = "other transactions got in the way of this one again and again"
        raise LogUnavailable(what, self.where, "Try again") from last

    def close(self) -> None:
        """Closes the connections that are not in use, and the others when they come back."""
        self.engine.dispose()
        if self._files is not None:
            self._files.close()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """Yields a connection in a transaction that writes; SQLite's caller has the turn."""
        with (
            self.engine.connect() as connection,
            connection.execution_options(**{sqlite.WRITES: True}).begin(),
        ):
            yield connection
        if self._files is not None:
            self._files.check()  # only a file that is still there has kept the commit

    def _translate_error(self, context: ExceptionContext) -> None:
        """Raises one of our errors in place of the driver's, wherever that arises."""
        error = context.sqlalchemy_exception
        if context.is_pre_ping or not isinstance(error, DBAPIError):
            return
        if isinstance(error, IntegrityError) and not context.is_disconnect:
            return  # another transaction came first, which is the statement's own matter
        raise _database_error(error, self.where, lost=context.is_disconnect)


def _connection_pool(where: str) -> type[QueuePool]:
    class DatabasePool(QueuePool):
        def connect(self) -> PoolProxiedConnection:
            try:
                return super().connect()
            except PoolTimeout as error:
                what = f"no free connection within {_POOL_SECONDS} s"
                raise LogUnavailable(what, where, "Check what keeps the database busy") from error

    return DatabasePool


def _database_error(error: DBAPIError, where: str, *, lost: bool) -> ModerationError:
    """Returns the error to raise in place of a driver's; `lost`: the connection is gone."""
    # The first line alone: the details that follow it quote values.
    lines = str(error.orig).strip().splitlines() or [type(error).__name__]
    what = lines[0].rstrip(".")
    if state := postgresql.sqlstate(error.orig):
        may_pass = state.startswith(_PASSING)
    elif getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _BEYOND_HOPE:
        may_pass = False
    else:
        may_pass = isinstance(error, OperationalError | InterfaceError)
    if lost or may_pass:
        return LogUnavailable(f"the decision log does not answer ({what})", where, _TRY_AGAIN)
    if isinstance(error, DataError):
        return RequestError("a value does not fit in the decision log", where, "Shorten it")
    return LogError(f"the decision log cannot be used ({what})", where, _REPAIR)
