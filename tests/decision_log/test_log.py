"""The decision log on SQLite and PostgreSQL: the same tests on both, with real processes."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Table, func, inspect, select, text

from moderation.decision_log.database import Database
from moderation.decision_log.location import find_database, make_file
from moderation.decision_log.log import DecisionLog
from moderation.decision_log.opening import MIGRATIONS, VERSION_TABLE, migrate, open_log
from moderation.decision_log.records import Decided, Quarantined
from moderation.decision_log.tables import (
    decisions,
    metadata,
    outbox,
    policies,
    quarantine,
    submission_decisions,
    submissions,
)
from moderation.errors import (
    ImageError,
    LogError,
    LogUnavailable,
    PolicyError,
    RequestError,
    SettingsError,
)
from moderation.settings import Settings, load_settings
from moderation.worker.submissions import submission_of
from tests.conftest import ROOT
from tests.support.database_servers import PostgresServer
from tests.support.decision_samples import (
    HOST,
    OTHER,
    STAMP,
    basis,
    image_sha256,
    submission,
    verdict,
)
from tests.support.waiting import until

T = TypeVar("T")
ENDPOINTS = "https://a.example/hook,https://b.example/hook"


@pytest.fixture
def log_settings(database_url: str) -> Settings:
    return load_settings(database_url=database_url, callback_urls=ENDPOINTS)


@pytest.fixture
def log(log_settings: Settings) -> Iterator[DecisionLog]:
    with open_log(log_settings) as opened:
        yield opened


def count(log: DecisionLog, *tables: Table) -> list[int]:
    with log.engine.connect() as connection:
        return [
            int(connection.scalar(select(func.count()).select_from(table)) or 0) for table in tables
        ]


def decided(outcome: object) -> Decided:
    assert isinstance(outcome, Decided)
    return outcome


def quarantined(outcome: object) -> Quarantined:
    assert isinstance(outcome, Quarantined)
    return outcome


def at_once(threads: int, act: Callable[[int], T]) -> list[T]:
    """Returns what `act` returns in each of so many threads that begin together."""
    ready = threading.Barrier(threads)

    def begin(number: int) -> T:
        ready.wait()
        return act(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(begin, range(threads)))


def test_a_decided_request_has_that_answer_for_good(log: DecisionLog) -> None:
    asked, bases = submission(policies=["weapons", "other"]), [basis(), basis(OTHER)]
    verdicts = [verdict(one, seed=seed) for seed, one in enumerate(bases)]
    answer = decided(log.decide(asked, bases, verdicts))
    assert [one.policy.id for one in answer.verdicts] == ["weapons", "other"]
    assert all(one.decision_id for one in answer.verdicts)
    without_id = [one.model_copy(update={"decision_id": None}) for one in answer.verdicts]
    assert without_id == verdicts
    assert log.outcome("r1", asked.request_sha256) == answer
    assert log.outcome("unknown", asked.request_sha256) is None
    # Once more, with other scores: the first answer stands.
    again = [verdict(one, seed=7, seconds=9.0) for one in bases]
    assert log.decide(asked, bases, again) == answer
    assert count(log, submissions, decisions, submission_decisions, policies, outbox) == [
        1,
        2,
        2,
        2,
        2,
    ]


def test_an_image_under_an_equal_basis_is_decided_once(log: DecisionLog) -> None:
    first = decided(log.decide(submission("r1"), [basis()], [verdict(basis())]))
    other = verdict(basis(), request_id="r2", seed=5, seconds=0.5)
    second = decided(log.decide(submission("r2"), [basis()], [other]))
    assert second.verdicts[0].decision_id == first.verdicts[0].decision_id
    assert second.verdicts[0].labels == first.verdicts[0].labels
    assert second.verdicts[0].request_id == "r2"
    assert second.verdicts[0].timings == {"encode": 0.5}
    assert log.outcome("r2", submission("r2").request_sha256) == second
    assert count(log, submissions, decisions) == [2, 1]


def test_what_a_decision_hangs_on_tells_decisions_apart(log: DecisionLog) -> None:
    fingerprint = STAMP.model_copy(update={"fingerprint": "e" * 64})
    preprocessing = STAMP.model_copy(update={"preprocessing": "q" * 64})
    bases = [
        basis(),
        basis(OTHER),
        basis(model=fingerprint),
        basis(model=preprocessing),
        basis(frames=4),
    ]
    for number, one in enumerate(bases):
        log.decide(submission(f"r{number}"), [one], [verdict(one, request_id=f"r{number}")])
    device = basis(model=STAMP.model_copy(update={"device": "cuda", "dtype": "bfloat16"}))
    log.decide(submission("same"), [device], [verdict(device)])
    assert count(log, decisions) == [len(bases)]


def test_recall_gives_the_decisions_there_are_in_order(log: DecisionLog) -> None:
    answer = decided(log.decide(submission(), [basis()], [verdict(basis())]))
    keys = [basis(OTHER).key, basis().key]
    assert log.recall(image_sha256("a"), keys) == [None, answer.verdicts[0]]
    assert log.recall(image_sha256("b"), keys) == [None, None]
    assert log.recall(image_sha256("a"), []) == []


def test_a_request_id_that_is_used_for_another_request_is_refused(log: DecisionLog) -> None:
    log.decide(submission(image="a"), [basis()], [verdict(basis())])
    other = submission(image="b")
    message = "used before, for another request"
    with pytest.raises(RequestError, match=message):
        log.outcome("r1", other.request_sha256)
    with pytest.raises(RequestError, match=message):
        log.decide(other, [basis()], [verdict(basis(), image="b")])
    with pytest.raises(RequestError, match=message):
        log.set_aside(other, "image", ImageError("damaged"))
    assert count(log, submissions, decisions, quarantine, outbox) == [1, 1, 0, 2]


@pytest.mark.parametrize(
    "error",
    [
        ImageError("it is damaged \0 \ud800", f"https://{HOST}/a.jpg", "Send another"),
        PolicyError([("a.yaml", 3, 4, "wrong", "Fix it")]),
        LogUnavailable("away"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_quarantined_request_gets_the_same_error_each_time(
    log: DecisionLog, error: ImageError
) -> None:
    first = quarantined(log.set_aside(submission(), "image", error, deliveries=2, retries=3))
    again = quarantined(log.outcome("r1", submission().request_sha256))
    assert (again.quarantine_id, again.reason) == (first.quarantine_id, "image")
    assert type(again.error) is type(error)
    assert again.error.args == error.args
    late = log.decide(submission(), [basis()], [verdict(basis())])
    assert quarantined(late).quarantine_id == first.quarantine_id
    assert count(log, submissions, quarantine, decisions, policies, outbox) == [1, 1, 0, 0, 2]


def test_an_error_of_a_class_that_is_gone_is_told_all_the_same(log: DecisionLog) -> None:
    log.set_aside(submission(), "fault", ImageError("what", "where", "remedy"))
    with log.database.writing() as connection:
        connection.execute(text("UPDATE quarantine SET error_type = 'OldError'"))
    answer = quarantined(log.outcome("r1", submission().request_sha256))
    assert answer.error.args == ("what", "where", "remedy")


def test_a_released_request_is_decided_anew_and_leaves_its_history(log: DecisionLog) -> None:
    entry = quarantined(log.set_aside(submission(), "unavailable", ImageError("gone")))
    assert log.release(entry.quarantine_id) == "r1"
    assert log.outcome("r1", submission().request_sha256) is None
    for end in (log.release, log.drop):
        with pytest.raises(RequestError, match="was released or dropped before"):
            end(entry.quarantine_id)
        with pytest.raises(RequestError, match="nothing in quarantine is called none"):
            end("none")
    decided(log.decide(submission(), [basis()], [verdict(basis())]))
    assert count(log, submissions, quarantine, decisions) == [1, 1, 1]


def test_a_dropped_request_keeps_its_answer(log: DecisionLog) -> None:
    entry = quarantined(log.set_aside(submission(), "image", ImageError("damaged")))
    log.drop(entry.quarantine_id)
    again = quarantined(log.outcome("r1", submission().request_sha256))
    assert again.quarantine_id == entry.quarantine_id
    with pytest.raises(RequestError, match="was released or dropped before"):
        log.release(entry.quarantine_id)


def test_each_endpoint_gets_a_webhook_that_holds_the_answer(log: DecisionLog) -> None:
    answer = decided(log.decide(submission("r1"), [basis()], [verdict(basis())]))
    log.set_aside(submission("r2"), "image", ImageError("it is damaged", "image", "Send another"))
    with log.engine.connect() as connection:
        rows = connection.execute(select(outbox).order_by(outbox.c.created_at)).all()
    assert sorted(row.endpoint for row in rows[:2]) == ENDPOINTS.split(",")
    assert len({row.id for row in rows}) == 4
    assert all(row.id.startswith("msg_") and row.next_attempt_at == row.created_at for row in rows)
    told, refused = json.loads(rows[0].payload), json.loads(rows[2].payload)
    assert told["type"] == "moderation.decided"
    assert datetime.fromisoformat(told["timestamp"]) == rows[0].created_at
    assert told["timestamp"].endswith("Z")
    assert told["data"]["verdicts"] == [answer.verdicts[0].model_dump(mode="json")]
    assert refused["type"] == "moderation.quarantined"
    assert refused["data"] == {
        "request_id": "r2",
        "reason": "image",
        "error": {
            "type": "ImageError",
            "what": "it is damaged",
            "where": "image",
            "remedy": "Send another",
        },
    }


def test_threads_with_one_request_end_with_one_answer(log: DecisionLog) -> None:
    bases = [basis(), basis(OTHER)]
    asked = submission(policies=["weapons", "other"])

    def act(number: int) -> Decided:
        order = bases if number % 2 else bases[::-1]
        verdicts = [verdict(one, seed=number, seconds=float(number)) for one in order]
        return decided(log.decide(asked, order, verdicts))

    answers = at_once(32, act)
    assert all(answer == answers[0] for answer in answers)
    assert log.outcome("r1", asked.request_sha256) == answers[0]
    assert count(log, submissions, decisions, outbox) == [1, 2, 2]


def test_threads_with_one_image_end_with_one_decision(log: DecisionLog) -> None:
    bases = [basis(OTHER, frames=frames) for frames in range(1, 5)] + [basis()]

    def act(number: int) -> Decided:
        order = bases if number % 2 else bases[::-1]
        name = f"r{number}"
        verdicts = [verdict(one, request_id=name, seed=number) for one in order]
        return decided(log.decide(submission(name), order, verdicts))

    answers = at_once(32, act)
    kept = {
        (one.decision_id, one.model_copy(update={"request_id": ""}).model_dump_json())
        for answer in answers
        for one in answer.verdicts
    }
    assert len(kept) == len(bases)
    assert count(log, submissions, decisions, outbox) == [32, len(bases), 64]


def test_answers_of_both_kinds_at_once_end_with_one_of_them(log: DecisionLog) -> None:
    def act(number: int) -> str:
        if number % 2:
            outcome = log.decide(submission(), [basis()], [verdict(basis())])
        else:
            outcome = log.set_aside(submission(), "fault", ImageError("failed"))
        return type(outcome).__name__

    kinds = set(at_once(16, act))
    assert len(kinds) == 1
    assert count(log, submissions, outbox) == [1, 2]


_PROCESS = """
import sys
from moderation.decision_log.opening import open_log
from moderation.settings import load_settings
from tests.support.decision_samples import OTHER, basis, submission, verdict

settings = load_settings(database_url=sys.argv[1], callback_urls="https://a.example/hook")
print("ready", flush=True)
sys.stdin.readline()
with open_log(settings) as log:
    for number in range(40):
        name = f"r{number}"
        bases = [basis(), basis(OTHER)]
        verdicts = [verdict(one, request_id=name, image=str(number // 2)) for one in bases]
        answer = log.decide(submission(name, image=str(number // 2)), bases, verdicts)
        print(*[one.decision_id for one in answer.verdicts])
"""


def _workers(url: str, number: int) -> list[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _PROCESS, url]
    pipe = subprocess.PIPE
    return [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=ROOT)
        for _ in range(number)
    ]


def test_workers_that_start_at_once_make_the_tables_once_and_agree(database_url: str) -> None:
    running = _workers(database_url, 5)
    for process in running:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in running:  # only now does any of them open the log
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0] * 5, said
    assert len({printed for printed, _ in said}) == 1
    with open_log(load_settings(database_url=database_url)) as log:
        assert count(log, submissions, decisions, outbox) == [40, 40, 40]


def test_a_worker_that_is_killed_leaves_whole_answers(database_url: str) -> None:
    with open_log(load_settings(database_url=database_url)) as log:
        [process] = _workers(database_url, 1)
        assert process.stdin
        assert process.stdout
        process.stdin.write("\n")
        process.stdin.flush()
        for _ in range(10):
            process.stdout.readline()
        process.kill()
        process.communicate()
        whole, linked, told = count(log, submissions, submission_decisions, outbox)
        assert whole >= 9
        assert (linked, told) == (2 * whole, whole)


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
    answer = log.decide(submission(), [basis()], [verdict(basis())])
    migrate(log.database, migrations=_later_migrations(tmp_path / "later", "0002", "0003"))
    names = {column["name"] for column in inspect(log.engine).get_columns("submissions")}
    assert {"of_0002", "of_0003"} <= names
    assert log.outcome("r1", submission().request_sha256) == answer


def test_a_migration_that_fails_leaves_the_tables_as_they_were(
    log: DecisionLog, tmp_path: Path
) -> None:
    later = _later_migrations(tmp_path / "later", "0002", "0003")
    broken = later / "versions" / "m0003.py"
    broken.write_text(broken.read_text().replace("'submissions'", "'nothing'"))
    with pytest.raises(LogError, match="cannot be used"):
        migrate(log.database, migrations=later)
    names = {column["name"] for column in inspect(log.engine).get_columns("submissions")}
    assert "of_0002" not in names
    migrate(log.database)


def test_tables_of_a_newer_version_are_left_alone(
    log: DecisionLog, log_settings: Settings, tmp_path: Path
) -> None:
    migrate(log.database, migrations=_later_migrations(tmp_path / "later", "0002"))
    with pytest.raises(LogError, match=r"of a newer version \(0002\).*Update evenhand"):
        open_log(log_settings)


def test_tables_of_another_program_are_left_alone(database_url: str) -> None:
    settings = load_settings(database_url=database_url)
    url = find_database(settings)
    make_file(settings, url)
    database = Database(url, threads=1)
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE decisions (mine INTEGER)"))
    with pytest.raises(LogError, match="a database of its own"):
        open_log(settings)
    with database.reading() as connection:
        assert inspect(connection).get_table_names() == ["decisions"]
    database.close()


def test_no_image_and_no_secret_of_a_url_gets_into_the_database(
    log: DecisionLog, database_url: str
) -> None:
    log.decide(submission("r1"), [basis()], [verdict(basis())])
    photo = base64.b64encode(b"the very bytes of a photograph").decode()
    message = {"request_id": "r3", "image": {"bytes": photo}, "policies": ["weapons"]}
    sent = submission_of(message, "task", "interactive", None)
    log.decide(sent, [basis()], [verdict(basis(), request_id="r3", image="b")])
    log.set_aside(submission("r2"), "image", ImageError("damaged"))
    content = _everything_in(log, database_url)
    assert HOST.encode() in content
    assert b"r3" in content
    for secret in ("hunter2", "hunter3", "hunter4", photo, "the very bytes"):
        assert secret.encode() not in content


def _everything_in(log: DecisionLog, url: str) -> bytes:
    if url.startswith("sqlite"):
        file = Path(url.removeprefix("sqlite:///"))
        return b"".join(path.read_bytes() for path in file.parent.glob(f"{file.name}*"))
    with log.engine.connect() as connection:
        rows: list[Any] = []
        for table in metadata.sorted_tables:
            rows += connection.execute(text(f"SELECT t::text FROM {table.name} t")).all()
    return repr(rows).encode()


def test_while_the_server_is_down_the_log_says_so_and_comes_back_by_itself(
    postgres: PostgresServer,
) -> None:
    settings = load_settings(database_url=postgres.new_database())
    with open_log(settings) as log:
        before = log.decide(submission("r1"), [basis()], [verdict(basis())])
        postgres.stop()
        try:
            for ask in (
                lambda: log.outcome("r1", submission("r1").request_sha256),
                lambda: log.recall(image_sha256("a"), [basis().key]),
                lambda: log.decide(submission("r2"), [basis()], [verdict(basis())]),
                lambda: log.set_aside(submission("r3"), "fault", ImageError("failed")),
                lambda: log.release("q"),
                lambda: open_log(settings),
            ):
                with pytest.raises(LogUnavailable) as caught:
                    ask()
                assert "p4ss-word" not in str(caught.value)
                assert caught.value.where.startswith("postgresql://evenhand:***@127.0.0.1")
        finally:
            postgres.start()
        assert log.outcome("r1", submission("r1").request_sha256) == before
        decided(log.decide(submission("r2"), [basis()], [verdict(basis())]))


def test_a_connection_that_is_cut_in_a_transaction_is_told_as_passing(
    postgres: PostgresServer,
) -> None:
    url = postgres.new_database()
    with open_log(load_settings(database_url=url)) as log:

        def work(connection: Connection) -> None:
            process = connection.scalar(text("SELECT pg_backend_pid()"))
            postgres.sql("postgres", f"SELECT pg_terminate_backend({process})")
            connection.execute(select(decisions))

        with pytest.raises(LogUnavailable, match="does not answer"):
            log.database.write(work)
        decided(log.decide(submission(), [basis()], [verdict(basis())]))


def test_a_server_that_says_nothing_any_more_is_told_as_passing(postgres: PostgresServer) -> None:
    settings = load_settings(database_url=postgres.new_database())
    with open_log(settings):
        pass
    database = Database(find_database(settings), threads=1, answer_seconds=0.5)
    stopped: list[int] = []

    def work(connection: Connection) -> None:
        stopped.append(int(connection.scalar(text("SELECT pg_backend_pid()")) or 0))
        os.kill(stopped[-1], signal.SIGSTOP)  # it keeps its connection, and answers nothing
        connection.execute(select(decisions))

    def hung() -> bool:
        """Whether it was in time until it was stopped, which a busy machine may not be at once."""
        with pytest.raises(LogUnavailable, match=r"no answer within 0\.5 s"):
            hasty.database.write(work)
        return bool(stopped)

    def goes_on() -> bool:
        with suppress(LogUnavailable):  # it may be busy
            return bool(decided(hasty.decide(submission(), [basis()], [verdict(basis())])))
        return False

    with DecisionLog(database) as hasty:
        try:
            until(hung)
        finally:
            for process in stopped:
                os.kill(process, signal.SIGCONT)
        until(goes_on)


def test_a_server_that_became_a_stand_by_is_told_as_passing(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    name = url.rsplit("/", 1)[1]
    with open_log(load_settings(database_url=url)) as log:
        postgres.sql("postgres", f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        log.engine.dispose()
        with pytest.raises(LogUnavailable, match="read-only transaction"):
            log.decide(submission(), [basis()], [verdict(basis())])
        postgres.sql("postgres", f"ALTER DATABASE {name} SET default_transaction_read_only = off")
        # Without reopening: the connections to the wrong server were given up.
        decided(log.decide(submission(), [basis()], [verdict(basis())]))


def test_two_transactions_that_block_each_other_are_run_again(postgres: PostgresServer) -> None:
    with open_log(load_settings(database_url=postgres.new_database())) as log:
        for name in ("r1", "r2"):
            log.decide(submission(name), [basis()], [verdict(basis(), request_id=name)])
        met, runs = threading.Barrier(2), [0, 0]

        def act(number: int) -> None:
            names = ["r1", "r2"] if number else ["r2", "r1"]

            def work(connection: Connection) -> None:
                runs[number] += 1
                for name in names:
                    connection.execute(
                        submissions.update()
                        .where(submissions.c.request_id == name)
                        .values(queue="bulk")
                    )
                    if name == names[0] and runs[number] == 1:
                        met.wait()

            log.database.write(work)

        at_once(2, act)
        assert max(runs) > 1  # and no one was told of it


def test_a_file_that_another_process_holds_is_told_as_passing(tmp_path: Path) -> None:
    file = tmp_path / "decisions.db"
    with open_log(load_settings(database_url=f"sqlite:///{file}")) as log:
        with log.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout = 50")
        holder = sqlite3.connect(file, isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LogUnavailable, match="locked"):
            log.decide(submission(), [basis()], [verdict(basis())])
        holder.close()
        decided(log.decide(submission(), [basis()], [verdict(basis())]))


def test_a_full_disk_is_told_as_passing(tmp_path: Path) -> None:
    with open_log(load_settings(database_url=f"sqlite:///{tmp_path / 'decisions.db'}")) as log:
        with log.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

        def fill() -> None:
            for number in range(100):
                name = f"r{number}"
                log.decide(submission(name), [basis()], [verdict(basis(), image=name)])

        with pytest.raises(LogUnavailable, match="full"):
            fill()
        with log.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        decided(log.decide(submission("later"), [basis()], [verdict(basis(), image="later")]))


@pytest.mark.parametrize("content", [b"no database at all, but long enough" * 9, None])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "decisions.db"
    settings = load_settings(database_url=f"sqlite:///{file}")
    if content is None:  # a log of which a part was overwritten
        with open_log(settings) as log:
            log.decide(submission(), [basis()], [verdict(basis())])
        content = file.read_bytes()[:4096] + b"\x5a" * (len(file.read_bytes()) - 4096)
    file.write_bytes(content)
    with pytest.raises(LogError), open_log(settings) as log:
        log.decide(submission("r2"), [basis()], [verdict(basis())])


def test_the_file_is_for_its_owner_alone_and_survives_power_cuts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with open_log(load_settings()) as log:
        log.decide(submission(), [basis()], [verdict(basis())])
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


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(LogUnavailable, match="No such file or directory"):
        open_log(load_settings(database_url=f"sqlite:///{tmp_path}/none/decisions.db"))


def test_without_its_driver_postgresql_is_refused_with_the_name_of_the_extra() -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from moderation.decision_log.opening import open_log\n"
        "from moderation.settings import load_settings\n"
        "open_log(load_settings(database_url='postgresql://host/db'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "SettingsError" in done.stderr
    assert "evenhand[postgresql]" in done.stderr
