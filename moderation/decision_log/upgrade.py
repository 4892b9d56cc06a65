"""Brings the tables of the decision log to this version; `migrations` has the steps."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import NamedTuple

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from moderation.decision_log.database import Database
from moderation.decision_log.sqlite import write_ahead
from moderation.errors import LogError

MIGRATIONS = Path(__file__).parent / "migrations"

#: Not Alembic's own name, since a host that uses Alembic may share the database.
VERSION_TABLE = "decision_log_version"
#: The key of PostgreSQL's advisory lock; any number that nothing else takes.
_LOCK = 0x6576656E

#: Alembic keeps its state in global variables.
_one_at_a_time = threading.Lock()


class TableVersions(NamedTuple):
    """The version that the tables have, if any, and the versions that this program knows."""

    there: str | None
    known: set[str]
    newest: str | None


def read_table_versions(connection: Connection, migrations: Path = MIGRATIONS) -> TableVersions:
    """Returns the version of the tables, and those that they can be upgraded to."""
    options = {"version_table": VERSION_TABLE}
    there = MigrationContext.configure(connection, opts=options).get_current_revision()
    script = ScriptDirectory(str(migrations))
    known = {revision.revision for revision in script.walk_revisions()}
    return TableVersions(there, known, script.get_current_head())


def upgrade_tables(database: Database, *, migrations: Path = MIGRATIONS) -> None:
    """Brings the tables to the newest version; one worker does it, and others wait for it.

    Raises:
        LogError: the tables are of a newer version, or of another program.
        LogUnavailable: the database does not answer.
    """
    if database.is_sqlite:
        write_ahead(database.engine, database.where)
    with _one_at_a_time:
        with database.reading() as connection:
            if _is_upgraded(connection, migrations, database.where):
                return
        with database.writing() as connection:
            if not database.is_sqlite:  # there the transaction alone locks the file
                # Another worker may be at it, which takes time with large tables.
                connection.execute(text("SET LOCAL lock_timeout = 0"))
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            if not _is_upgraded(connection, migrations, database.where):
                _run_upgrade(connection, migrations)


def _is_upgraded(connection: Connection, migrations: Path, where: str) -> bool:
    there, known, newest = read_table_versions(connection, migrations)
    if there is not None and there not in known:
        raise LogError(
            f"the tables of the decision log are of a newer version ({there})",
            where,
            "Update evenhand here; it runs on older tables, and not the other way round",
        )
    return there == newest


def _run_upgrade(connection: Connection, migrations: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["version_table"] = VERSION_TABLE
    command.upgrade(config, "head")
