"""What a database says went wrong -> an error that says whether to try again.

Texts of statements and their values stay out of it: they hold what hosts sent.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from moderation.errors import LogError, LogUnavailable, ModerationError, RequestError

#: SQLite's result codes of a file that is none, or is damaged; and of a table that is not there.
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_FOREIGN = (sqlite3.SQLITE_ERROR,)

#: PostgreSQL's classes and states that may pass: connection, resources, operator's intervention,
#: system; a server that is only read since it is a stand-by, locks, two that block each other.
_PASSING = ("08", "53", "57", "58", "25006", "55P03", "40", "3D000", "28")
_CONTESTED = ("40001", "40P01")

_TRY_AGAIN = "Check the database and its disk; MODERATION_DATABASE_URL says where it is"
_REPAIR = (
    "Give the decision log a database of its own, or restore this one from a backup; "
    "docs/decision-log.md"
)


def told(error: DBAPIError, where: str, *, lost: bool) -> ModerationError | None:
    """Returns what to raise instead of a database's error; None where it is for the caller.

    Args:
        error: as SQLAlchemy wraps it.
        where: the database, without its password.
        lost: whether the connection is gone.
    """
    what = _first_line(error)
    if lost or _may_pass(error):
        return LogUnavailable(f"the decision log does not answer ({what})", where, _TRY_AGAIN)
    name = type(error).__name__
    if name == "IntegrityError":  # another transaction came first: the statement's own matter
        return None
    if name == "DataError":
        return RequestError("a value does not fit in the decision log", where, "Shorten it")
    return LogError(f"the decision log cannot be used ({what})", where, _REPAIR)


def is_contested(error: BaseException | None) -> bool:
    """Whether another transaction got in the way, so that the same one again may succeed."""
    return _state(error).startswith(_CONTESTED)


def is_read_only(error: BaseException | None) -> bool:
    """Whether this server takes no writes: after a fail-over it is the wrong one."""
    return _state(error) == "25006"


def _may_pass(error: DBAPIError) -> bool:
    if state := _state(error.orig):
        return state.startswith(_PASSING)
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in (*_DAMAGED, *_FOREIGN):
        return False
    return isinstance(error, OperationalError | InterfaceError)


def _state(error: BaseException | None) -> str:
    """Returns PostgreSQL's SQLSTATE; "" where there is none."""
    return getattr(error, "sqlstate", None) or ""


def _first_line(error: DBAPIError) -> str:
    """Returns the driver's own words, without the details: those quote values."""
    lines = str(error.orig).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
