"""Opening the log: where it is, its tables and their migrations, and what is refused."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from moderation.decision_log.database import Database
from moderation.decision_log.location import locate_log, make_log_file
from moderation.decision_log.log import DecisionLog, open_log
from moderation.decision_log.tables import (
    metadata,
)
from moderation.decision_log.upgrade import MIGRATIONS, VERSION_TABLE, upgrade_tables
from moderation.errors import (
    LogError,
    LogUnavailable,
    SettingsError,
)
from moderation.settings import Settings, load_settings
from tests.support.command_line import python
from tests.support.decision_samples import (
    answer_to,
    decide_one,
)


def test_the_migrations_make_the_very_tables(log: DecisionLog) -> None:
    with log.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []


def _later_migrations(folder: Path, *revisions: str) -> Path:
    """Returns a copy of the migrations with more of them, each adding a column."""
    shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    before = "0001"
    for revision in revisions:
        (folder / "versions" / f"m{revision}.py").write_text(
            f"revision, down_revision = '{revision}', '{before}'\n"
            "import sqlalchemy as sa\nfrom alembic import op\n"
            "def upgrade():\n"
            f"    op.add_column('submissions', sa.Column('of_{revision}', sa.Integer))\n"
        )
        before = revision
    return folder


def test_older_tables_are_brought_up_to_date_with_their_rows(
    log: DecisionLog, tmp_path: Path
) -> None:
    answer = decide_one(log)
    upgrade_tables(log.database, migrations=_later_migrations(tmp_path / "later", "0002", "0003"))
    names = {column["name"] for column in inspect(log.engine).get_columns("submissions")}
    assert {"of_0002", "of_0003"} <= names
    assert answer_to(log) == answer


def test_a_migration_that_fails_leaves_the_tables_as_they_were(
    log: DecisionLog, tmp_path: Path
) -> None:
    later = _later_migrations(tmp_path / "later", "0002", "0003")
    broken = later / "versions" / "m0003.py"
    broken.write_text(broken.read_text().replace("'submissions'", "'nothing'"))
    with pytest.raises(LogError, match="cannot be used"):
        upgrade_tables(log.database, migrations=later)
    names = {column["name"] for column in inspect(log.engine).get_columns("submissions")}
    assert "of_0002" not in names
    upgrade_tables(log.database)


def test_tables_of_a_newer_version_are_left_alone(
    log: DecisionLog, log_settings: Settings, tmp_path: Path
) -> None:
    upgrade_tables(log.database, migrations=_later_migrations(tmp_path / "later", "0002"))
    with pytest.raises(LogError, match=r"of a newer version \(0002\).*Update evenhand"):
        open_log(log_settings)


def test_tables_of_another_program_are_left_alone(database_url: str) -> None:
    settings = load_settings(database_url=database_url)
    url = locate_log(settings)
    make_log_file(settings, url)
    database = Database(url, threads=1)
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE decisions (mine INTEGER)"))
    with pytest.raises(LogError, match="a database of its own"):
        open_log(settings)
    with database.reading() as connection:
        assert inspect(connection).get_table_names() == ["decisions"]
    database.close()


def test_the_file_is_for_its_owner_alone_and_survives_power_cuts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with open_log(load_settings()) as log:
        decide_one(log)
        file = tmp_path / "state" / "evenhand" / "decisions.db"
        for path in [file, *file.parent.glob("decisions.db-*")]:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with log.engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


@pytest.mark.parametrize(
    "url",
    [
        "mysql://user:hunter2@host/db",
        "postgresql+asyncpg://user:hunter2@host/db",
        "hunter2",
        "postgresql://user:x@host:hunter2/db",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:a?uri=true",
    ],
)
def test_a_url_of_anything_else_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match="MODERATION_DATABASE_URL") as caught:
        open_log(load_settings(database_url=url))
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(LogUnavailable, match="No such file or directory"):
        open_log(load_settings(database_url=f"sqlite:///{tmp_path}/none/decisions.db"))


def test_without_its_driver_postgresql_is_refused_with_the_name_of_the_extra() -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from moderation.decision_log.log import open_log\n"
        "from moderation.settings import load_settings\n"
        "open_log(load_settings(database_url='postgresql://host/db'))"
    )
    done = python(code, check=False)
    assert "SettingsError" in done.stderr
    assert "evenhand[postgresql]" in done.stderr
