"""Opens the decision log that the settings name, with its tables at this version."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from moderation.decision_log.database import Database
from moderation.decision_log.location import file_of, find_database, make_file, shown
from moderation.decision_log.log import DecisionLog
from moderation.decision_log.sqlite import write_ahead
from moderation.errors import LogError, LogUnavailable
from moderation.settings import Settings

MIGRATIONS = Path(__file__).parent / "migrations"

#: Not Alembic's own name, since a host that uses Alembic may share the database.
VERSION_TABLE = "decision_log_version"
#: The key of PostgreSQL's advisory lock; any number that nothing else takes.
_LOCK = 0x6576656E
_MIGRATION_SECONDS = 3600.0

#: Alembic keeps its state in global variables.
_one_at_a_time = threading.Lock()


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
    url = find_database(settings)
    if make:
        make_file(settings, url)
    elif (file := file_of(url)) is not None and not file.exists():
        remedy = "MODERATION_DATABASE_URL names it; the first worker makes it"
        raise LogUnavailable("there is no decision log", shown(url), remedy)
    # With its own connections, since changing large tables takes longer than any request may.
    with closing(Database(url, threads=1, answer_seconds=_MIGRATION_SECONDS)) as database:
        migrate(database)
    database = Database(url, threads=settings.concurrency)
    return DecisionLog(database, endpoints=settings.callback_urls)


def migrate(database: Database, *, migrations: Path = MIGRATIONS) -> None:
    """Brings the tables to the newest version; one worker does it, and others wait for it.

    Raises:
        LogError: the tables are of a newer version, or of another program.
        LogUnavailable: the database does not answer.
    """
    script = ScriptDirectory(str(migrations))
    if database.is_sqlite:
        write_ahead(database.engine, database.where)
    with _one_at_a_time:
        with database.reading() as connection:
            if _is_newest(connection, script, database.where):
                return
        with database.writing() as connection:
            if not database.is_sqlite:  # there the transaction alone locks the file
                _lock(connection)
            if not _is_newest(connection, script, database.where):
                _upgrade(connection, migrations)


def _lock(connection: Connection) -> None:
    """Waits until no other worker migrates: with large tables that takes time."""
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
