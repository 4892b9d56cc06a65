"""The database under the decision log: connections, transactions, and what becomes of failures.

SQLite's writers take turns in this process, where those that wait share a transaction (`turns`),
and between processes by BEGIN IMMEDIATE: a reader that turns writer half-way could lose its turn
with what it had read.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, PoolProxiedConnection, QueuePool, create_engine
from sqlalchemy import event as events
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from moderation.decision_log import postgresql
from moderation.decision_log.failures import is_contested, is_read_only, told
from moderation.decision_log.location import shown
from moderation.decision_log.turns import Turns
from moderation.errors import LogError, LogUnavailable

T = TypeVar("T")

#: How long to wait for a lock or a connection, in seconds.
_LOCK_SECONDS = 5
_MOST_CONNECTIONS = 10
#: How often a transaction is run that another one gets in the way of.
_TRIES = 8
_WRITES = "decision_log_writes"


class Vanished(Exception):
    """What a transaction had just seen is gone; it is to be run again."""


class Database:
    """Connections to the decision log, for many threads."""

    def __init__(
        self, url: URL, *, threads: int, answer_seconds: float = postgresql.ANSWER_SECONDS
    ) -> None:
        """Prepares connections; the first is made when it is needed.

        Args:
            url: from `location`.
            threads: how many will ask at once.
            answer_seconds: how long a server may say nothing.
        """
        self.where = shown(url)
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self.engine = create_engine(
            url,
            poolclass=_pool_class(self.where),
            pool_size=min(threads, _MOST_CONNECTIONS),
            max_overflow=0,
            pool_timeout=_LOCK_SECONDS,
            pool_use_lifo=True,
            hide_parameters=True,
            **(_SQLITE if self.is_sqlite else postgresql.OPTIONS),
        )
        self._turns = Turns(self.where)
        _listen(self.engine, self.where, is_sqlite=self.is_sqlite)
        if not self.is_sqlite:
            postgresql.listen(self.engine, seconds=answer_seconds)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yields a connection in a transaction that sees one state of the log, and writes nothing.

        Raises:
            LogUnavailable: the database does not answer. LogError: it is damaged or foreign.
        """
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yields a connection in a transaction that is committed at the end of the block.

        Raises:
            LogUnavailable: the database does not answer. LogError: it is damaged or foreign.
        """
        turn = self._turns.turn() if self.is_sqlite else nullcontext()
        with turn, self._transaction() as connection:
            yield connection

    def write(self, work: Callable[[Connection], T]) -> T:
        """Returns what `work` returns, once its transaction is committed.

        It is run again where another transaction got in its way, so it must do nothing else and be
        safe to do twice. Those that wait for SQLite share one: each commit waits for the disk.

        Raises:
            LogUnavailable: the database does not answer; it may be written all the same.
            LogError: it is damaged or foreign.
        """
        for tried in range(_TRIES):
            if tried:
                time.sleep(random.uniform(0, 0.02 * 2**tried))
            try:
                if self.is_sqlite:
                    return self._turns.share(work, self._transaction)
                with self._transaction() as connection:
                    return work(connection)
            except (Vanished, IntegrityError) as error:
                last: Exception = error
            except LogUnavailable as error:
                if is_read_only(error.__cause__):
                    self.engine.dispose()  # the next connection may lead to the right server
                if not is_contested(error.__cause__):
                    raise
                last = error
        if isinstance(last, IntegrityError):
            remedy = "Restore it from a backup; docs/decision-log.md"
            raise LogError("the tables of the decision log disagree", self.where, remedy) from last
        what = "other transactions got in the way of one again and again"
        raise LogUnavailable(what, self.where, "Try again") from last

    def close(self) -> None:
        """Closes the connections that are not in use, and the others when they come back."""
        self.engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """Yields a connection in a transaction that writes; on SQLite, for who has the turn."""
        with (
            self.engine.connect() as connection,
            connection.execution_options(**{_WRITES: True}).begin(),
        ):
            yield connection


_SQLITE: dict[str, Any] = {
    # No transactions of the driver's own: it would begin them late.
    "connect_args": {"timeout": _LOCK_SECONDS, "isolation_level": None},
}


def _pool_class(where: str) -> type[QueuePool]:
    class Pool(QueuePool):
        def connect(self) -> PoolProxiedConnection:
            try:
                return super().connect()
            except PoolTimeout as error:
                what = f"no free connection within {_LOCK_SECONDS} s"
                raise LogUnavailable(what, where, "Check what keeps the database busy") from error

    return Pool


def _listen(engine: Engine, where: str, *, is_sqlite: bool) -> None:
    """Has failures told in our words wherever they arise, and transactions begun in time."""

    @events.listens_for(engine, "handle_error")
    def tell(context: ExceptionContext) -> None:
        error = context.sqlalchemy_exception
        if context.is_pre_ping or not isinstance(error, DBAPIError):
            return
        instead = told(error, where, lost=context.is_disconnect)
        if instead is not None:
            raise instead

    if is_sqlite:
        events.listen(engine, "connect", _set_up_sqlite)
        events.listen(engine, "begin", _begin_sqlite)


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # FULL: what was acknowledged outlives a power cut.
    for pragma in ("synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
