"""Makes the tables of the decision log, or brings older ones to this version."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from moderation.decision_log.engine import Database
from moderation.errors import LogError, LogUnavailable

MIGRATIONS = Path(__file__).parent / "migrations"

#: Not Alembic's own name: a host that uses Alembic too may share the database.
VERSION_TABLE = "decision_log_version"
#: Of PostgreSQL's advisory lock; any number that nothing else takes.
_LOCK = 0x6576656E
_WAL_SECONDS = 20.0
#: SQLite's result codes where another has the file for a moment.
_HELD = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

#: Alembic keeps what it works on in global variables.
_one_at_a_time = threading.Lock()


def migrate(database: Database, *, migrations: Path = MIGRATIONS) -> None:
    """Brings the tables to the newest version; of several workers at once, one does it.

    Raises:
        LogError: the tables are of a newer version, or of another program.
        LogUnavailable: the database does not answer.
    """
    script = ScriptDirectory(str(migrations))
    if database.is_sqlite:
        _write_ahead(database)
    with _one_at_a_time:
        with database.reading() as connection:
            if _is_newest(connection, script, database.where):
                return
        with database.writing() as connection:
            if not database.is_sqlite:  # there, the transaction alone locks the file
                _lock(connection)
            if not _is_newest(connection, script, database.where):
                _upgrade(connection, migrations)


def _lock(connection: Connection) -> None:
    """Waits until no other worker migrates; that, and a migration of large tables, takes time."""
    connection.execute(text("SET LOCAL lock_timeout = 0"))
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _is_newest(connection: Connection, script: ScriptDirectory, where: str) -> bool:
    options = {"version_table": VERSION_TABLE}
    there = MigrationContext.configure(connection, opts=options).get_current_revision()
    known = {revision.revision for revision in script.walk_revisions()}
    if there is not None and there not in known:
        raise LogError(
            f"the tables of the decision log are of a newer version ({there})",
            where,
            "Update evenhand here; it runs on older tables, and not the other way round",
        )
    return there == script.get_current_head()


def _upgrade(connection: Connection, migrations: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["version_table"] = VERSION_TABLE
    command.upgrade(config, "head")


def _write_ahead(database: Database) -> None:
    """Turns SQLite's write-ahead log on, for good: readers and the writer do not wait then.

    It takes the file for itself for a moment, and SQLite does not wait for that.
    """
    deadline = time.monotonic() + _WAL_SECONDS
    while True:
        try:
            raw = database.engine.raw_connection()
            try:
                raw.cursor().execute("PRAGMA journal_mode = WAL")
                return
            finally:
                raw.close()
        except sqlite3.Error as error:
            if not isinstance(error, sqlite3.OperationalError):
                raise LogError(
                    f"the file is no decision log ({error})", database.where, "Name another file"
                ) from error
            if error.sqlite_errorcode & 0xFF not in _HELD or time.monotonic() > deadline:
                what = f"the file cannot be used ({error})"
                raise LogUnavailable(what, database.where, "Check its folder and disk") from error
        time.sleep(0.05)
