"""Connections to PostgreSQL that nothing can hang for ever: not a statement, a lock or a server."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

from sqlalchemy import Engine
from sqlalchemy import event as events

LOCK_SECONDS, CONNECT_SECONDS, STATEMENT_SECONDS = 20, 5, 30
#: A server that lives keeps its own limit; one that is stopped answers nothing, not even that.
ANSWER_SECONDS = STATEMENT_SECONDS + 5

OPTIONS: dict[str, Any] = {
    "isolation_level": "READ COMMITTED",  # whatever the server's default is
    "pool_recycle": 1800,
    "pool_pre_ping": True,
    "connect_args": {
        "connect_timeout": CONNECT_SECONDS,
        # A host that is gone without a word is noticed, while sending and while waiting.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": STATEMENT_SECONDS * 1000,
        # Poolers between give each transaction another connection.
        "prepare_threshold": None,
    },
}


def listen(engine: Engine, *, seconds: float) -> None:
    """Has the engine's connections keep the limits; `seconds` is how long a server may be mute."""
    events.listen(engine, "connect", _set_limits)

    @events.listens_for(engine, "do_connect")
    def connect(_dialect: object, _record: object, args: Any, options: Any) -> Any:
        return _connection_class(seconds).connect(*args, **options)


def _connection_class(seconds: float) -> Any:
    import psycopg

    class Bounded(psycopg.Connection[Any]):
        def wait(self, gen: Generator[Any, Any, Any], *args: Any, **options: Any) -> Any:
            return super().wait(self._until(time.monotonic() + seconds, gen), *args, **options)

        def _until(
            self, deadline: float, steps: Generator[Any, Any, Any]
        ) -> Generator[Any, Any, Any]:
            """Passes the steps of a wait on until the deadline."""
            ready: Any = None
            while True:
                try:
                    awaited = steps.send(ready)
                except StopIteration as end:
                    return end.value
                ready = yield awaited
                # Not ready is 0: then it was woken only to look at the clock.
                if not ready and time.monotonic() > deadline:
                    self.close()  # what it may still answer would be taken for another answer
                    raise psycopg.OperationalError(f"no answer within {seconds:g} s")

    return Bounded


def _set_limits(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'")
        cursor.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{2 * STATEMENT_SECONDS}s'")
    connection.commit()  # else it ends with the first transaction that is rolled back
