"""A database that fails in every way that a real one does: whether to try again, and its return."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, text

from moderation.decision_log.database import Database
from moderation.decision_log.location import locate_log
from moderation.decision_log.log import DecisionLog, open_log
from moderation.decision_log.tables import (
    decisions,
    submissions,
)
from moderation.errors import (
    ImageError,
    LogError,
    LogUnavailable,
)
from moderation.settings import load_settings
from tests.support.database_servers import PostgresServer
from tests.support.decision_samples import (
    answer_to,
    at_once,
    basis,
    decide_one,
    image_sha256,
    record_refusal,
    submission,
)
from tests.support.waiting import until


def test_while_the_server_is_down_the_log_is_unavailable_and_then_goes_on_by_itself(
    postgres: PostgresServer,
) -> None:
    settings = load_settings(database_url=postgres.new_database())
    with open_log(settings) as log:
        before = decide_one(log)
        postgres.stop()
        try:
            for ask in (
                lambda: answer_to(log),
                lambda: log.recall([(image_sha256("a"), [basis().key])]),
                lambda: decide_one(log, "r2"),
                lambda: record_refusal(log, submission("r3"), "fault", ImageError("failed")),
                lambda: log.release("q"),
                lambda: open_log(settings),
            ):
                with pytest.raises(LogUnavailable) as caught:
                    ask()
                assert "p4ss-word" not in str(caught.value)
                assert caught.value.where.startswith("postgresql://evenhand:***@127.0.0.1")
        finally:
            postgres.start()
        assert answer_to(log) == before
        decide_one(log, "r2")


def test_a_connection_that_is_cut_in_a_transaction_may_pass(
    postgres: PostgresServer, postgres_log: DecisionLog
) -> None:
    def work(connection: Connection) -> None:
        process = connection.scalar(text("SELECT pg_backend_pid()"))
        postgres.sql("postgres", f"SELECT pg_terminate_backend({process})")
        connection.execute(select(decisions))

    with pytest.raises(LogUnavailable, match="does not answer"):
        postgres_log.database.write(work)
    decide_one(postgres_log)


def test_a_server_that_no_longer_answers_may_pass(postgres: PostgresServer) -> None:
    settings = load_settings(database_url=postgres.new_database())
    with open_log(settings):
        pass
    database = Database(locate_log(settings), threads=1, answer_seconds=0.5)
    stopped: list[int] = []

    def work(connection: Connection) -> None:
        stopped.append(int(connection.scalar(text("SELECT pg_backend_pid()")) or 0))
        os.kill(stopped[-1], signal.SIGSTOP)  # it keeps its connection, but does not answer
        connection.execute(select(decisions))

    def hung() -> bool:
        """Whether it answered in time until it was stopped; on a busy machine it may not."""
        with pytest.raises(LogUnavailable, match=r"no answer within 0\.5 s"):
            hasty.database.write(work)
        return bool(stopped)

    def goes_on() -> bool:
        with suppress(LogUnavailable):  # it may be busy
            return bool(decide_one(hasty))
        return False

    with DecisionLog(database) as hasty:
        try:
            until(hung)
        finally:
            for process in stopped:
                os.kill(process, signal.SIGCONT)
        until(goes_on)


def test_a_server_that_became_a_stand_by_may_pass(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    name = url.rsplit("/", 1)[1]
    with open_log(load_settings(database_url=url)) as log:
        postgres.sql("postgres", f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        log.engine.dispose()
        with pytest.raises(LogUnavailable, match="read-only transaction"):
            decide_one(log)
        postgres.sql("postgres", f"ALTER DATABASE {name} SET default_transaction_read_only = off")
        # Without reopening: the connections to the wrong server were given up.
        decide_one(log)


def test_two_transactions_that_block_each_other_run_again(postgres_log: DecisionLog) -> None:
    for name in ("r1", "r2"):
        decide_one(postgres_log, name)
    met, runs = threading.Barrier(2), [0, 0]

    def act(number: int) -> None:
        names = ["r1", "r2"] if number else ["r2", "r1"]

        def work(connection: Connection) -> None:
            runs[number] += 1
            for name in names:
                of_name = submissions.c.request_id == name
                connection.execute(submissions.update().where(of_name).values(queue="bulk"))
                if name == names[0] and runs[number] == 1:
                    met.wait()

        postgres_log.database.write(work)

    at_once(2, act)
    assert max(runs) > 1  # and nobody saw an error


def test_a_file_that_another_process_holds_may_pass(tmp_path: Path) -> None:
    file = tmp_path / "decisions.db"
    with open_log(load_settings(database_url=f"sqlite:///{file}")) as log:
        with log.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout = 50")
        holder = sqlite3.connect(file, isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LogUnavailable, match="locked"):
            decide_one(log)
        holder.close()
        decide_one(log)


def test_a_full_disk_may_pass(tmp_path: Path) -> None:
    with open_log(load_settings(database_url=f"sqlite:///{tmp_path / 'decisions.db'}")) as log:
        with log.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

        def fill() -> None:
            for number in range(100):
                decide_one(log, f"r{number}", image=f"image {number}")

        with pytest.raises(LogUnavailable, match="full"):
            fill()
        with log.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        decide_one(log, "later", image="later")


@pytest.mark.parametrize("content", [b"no database at all, but long enough" * 9, None])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "decisions.db"
    settings = load_settings(database_url=f"sqlite:///{file}")
    if content is None:  # a log of which a part was overwritten
        with open_log(settings) as log:
            decide_one(log)
        content = file.read_bytes()[:4096] + b"\x5a" * (len(file.read_bytes()) - 4096)
    file.write_bytes(content)
    with pytest.raises(LogError), open_log(settings) as log:
        decide_one(log, "r2")
