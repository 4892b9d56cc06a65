"""Connections to PostgreSQL that cannot hang for ever: not in a statement, a lock or a server."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine
from sqlalchemy import event as events

LOCK_SECONDS, CONNECT_SECONDS, STATEMENT_SECONDS = 20, 5, 30
#: A running server enforces its own limits; one that is stopped cannot, so we stop waiting here.
ANSWER_SECONDS = STATEMENT_SECONDS + 5

OPTIONS: dict[str, Any] = {
    "isolation_level": "READ COMMITTED",  # whatever the server's default is
    "pool_recycle": 1800,
    "pool_pre_ping": True,
    "connect_args": {
        "connect_timeout": CONNECT_SECONDS,
        # So that a host that vanishes is noticed, while sending and while waiting.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": STATEMENT_SECONDS * 1000,
        # A pooler in between may give each transaction another connection.
        "prepare_threshold": None,
    },
}


def prepare_postgresql(engine: Engine, *, seconds: float) -> None:
    """Makes the engine's connections keep the limits.

    Args:
        engine: of the decision log.
        seconds: how long a server may take to answer.
    """
    import psycopg

    class BoundedPostgresql(psycopg.Connection[Any]):
        def wait(self, *args: Any, **options: Any) -> Any:
            """Waits for PostgreSQL no longer than `seconds`."""
            try:
                return super().wait(*args, **{"timeout": seconds, **options})
            except psycopg.errors._WaitTimeout as error:
                self.close()  # a late answer would be taken for that of the next statement
                raise psycopg.OperationalError(f"no answer within {seconds:g} s") from error

    @events.listens_for(engine, "do_connect")
    def connect_postgresql(_dialect: object, _record: object, args: Any, options: Any) -> Any:
        return BoundedPostgresql.connect(*args, **options)

    @events.listens_for(engine, "connect")
    def set_postgresql_limits(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'")
            cursor.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
            cursor.execute(f"SET idle_in_transaction_session_timeout = '{2 * STATEMENT_SECONDS}s'")
        connection.commit()  # otherwise a rollback would undo the limits


def sqlstate(error: BaseException | None) -> str:
    """Returns PostgreSQL's SQLSTATE; "" without one."""
    return getattr(error, "sqlstate", None) or ""
