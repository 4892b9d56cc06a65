"""The database under the decision log: connections, transactions, and what becomes of failures.

SQLite's writers take turns in this process, where those that wait share a transaction (`turns`),
and between processes by BEGIN IMMEDIATE: a reader that turns writer half-way could lose its turn
with what it had read.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine, PoolProxiedConnection, QueuePool, create_engine
from sqlalchemy import event as events
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from moderation.decision_log import postgresql, sqlite
from moderation.decision_log.failures import is_contested, is_read_only, told
from moderation.decision_log.location import shown
from moderation.decision_log.turns import Turns
from moderation.errors import LogError, LogUnavailable

T = TypeVar("T")

#: How long to wait for a connection, in seconds.
_POOL_SECONDS = 5
_MOST_CONNECTIONS = 10
#: How often a transaction is run that another one gets in the way of.
_TRIES = 8


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
            pool_timeout=_POOL_SECONDS,
            pool_use_lifo=True,
            hide_parameters=True,
            **(sqlite.OPTIONS if self.is_sqlite else postgresql.OPTIONS),
        )
        self._turns = Turns(self.where)
        self._files: sqlite.LogFiles | None = None
        _listen(self.engine, self.where)
        if self.is_sqlite:
            self._files = sqlite.LogFiles(Path(url.database or ""), self.where)
            sqlite.listen(self.engine, self._files)
        else:
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
        if self._files is not None:
            self._files.close()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """Yields a connection in a transaction that writes; on SQLite, for who has the turn."""
        with (
            self.engine.connect() as connection,
            connection.execution_options(**{sqlite.WRITES: True}).begin(),
        ):
            yield connection
        if self._files is not None:
            self._files.check()  # only now is it known that it was kept where it can be found


def _pool_class(where: str) -> type[QueuePool]:
    class Pool(QueuePool):
        def connect(self) -> PoolProxiedConnection:
            try:
                return super().connect()
            except PoolTimeout as error:
                what = f"no free connection within {_POOL_SECONDS} s"
                raise LogUnavailable(what, where, "Check what keeps the database busy") from error

    return Pool


def _listen(engine: Engine, where: str) -> None:
    """Has failures told in our words wherever they arise."""

    @events.listens_for(engine, "handle_error")
    def tell(context: ExceptionContext) -> None:
        error = context.sqlalchemy_exception
        if context.is_pre_ping or not isinstance(error, DBAPIError):
            return
        instead = told(error, where, lost=context.is_disconnect)
        if instead is not None:
            raise instead
