"""One Redis database for this and somebody else's Celery app: neither takes what is the other's."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from moderation.client.client import Client
from moderation.local_servers import EmbeddedRedis, EmbeddedWorker
from moderation.messages import QUEUES, TASK_NAME, ImageReference
from moderation.queue.celery_app import UNACKED, UNACKED_INDEX, connect, create_app
from moderation.queue.former_keys import take_over
from moderation.queue.sending import pack_message
from moderation.settings import Settings, load_settings
from tests.conftest import POLICIES
from tests.support.plain_celery import create_plain_app, start_plain_worker
from tests.support.waiting import until

#: Names that kombu gives by itself.
THEIRS, THEIR_INDEX, THEIR_MUTEX = "unacked", "unacked_index", "unacked_mutex"
INTERACTIVE = QUEUES["interactive"]
VISIBILITY_SECONDS = 5
LONG_AGO = 1.0


@pytest.fixture
def host(server: EmbeddedRedis) -> Settings:
    return load_settings(broker_url=server.url, verdict_timeout_seconds=60.0)


@pytest.fixture
def database(host: Settings) -> Iterator[Any]:
    with connect(host) as connection:
        connection.flushall()
        yield connection


@pytest.fixture
def theirs(server: EmbeddedRedis) -> Iterator[Celery]:
    with create_plain_app(server.url) as app:
        yield app


def our_worker(host: Settings) -> EmbeddedWorker:
    seconds = {"MODERATION_VISIBILITY_TIMEOUT_SECONDS": str(VISIBILITY_SECONDS)}
    return EmbeddedWorker(host, ["--model", "starter", "--policy", str(POLICIES)], seconds)


def noted(image: Path, queue: str = INTERACTIVE, exchange: str = "") -> tuple[str, str]:
    """Returns the id of a request, and the note of a worker that has it in hand."""
    request_id = str(uuid.uuid4())
    given = ImageReference.of_bytes(image.read_bytes()).model_dump(mode="json", exclude_none=True)
    asked = {"request_id": request_id, "image": given, "policies": ["weapons"]}
    message = json.loads(pack_message(TASK_NAME, request_id, asked, queue))
    return request_id, json.dumps([message, exchange, queue])


def note_as_in_hand(connection: Any, tag: str, note: str, at: float, *, old: bool = False) -> None:
    connection.hset(THEIRS if old else UNACKED, tag, note)
    connection.zadd(THEIR_INDEX if old else UNACKED_INDEX, {tag: at})


def names(answers: list[dict[str, Any]] | None) -> set[str]:
    """Returns the names of the workers that answered, without their machine."""
    return {node.split("@")[0].split("-")[0] for answer in answers or [] for node in answer}


def scheduled(app: Celery) -> int:
    """Returns how many tasks the app's workers keep for later."""
    found = app.control.inspect(timeout=1.0).scheduled() or {}
    return sum(map(len, found.values()))


def test_two_apps_on_one_database_leave_each_other_alone(
    host: Settings, theirs: Celery, database: Any, photographs: list[Path]
) -> None:
    url = host.broker_url.get_secret_value()
    plain, client = start_plain_worker(url), Client(host)
    try:
        for n in range(4):
            theirs.send_task("remind", [f"reminder {n}"], countdown=400)
        until(lambda: database.hlen(THEIRS) == 4)
        former, note = noted(photographs[0])
        note_as_in_hand(database, "former", note, time.time() - 1000, old=True)
        with our_worker(host):
            # What a worker of an older version had in hand is answered.
            assert client.collect(former)[0].policy.id == "weapons"
            with create_app(host) as ours:
                assert names(ours.control.ping(timeout=2.0)) == {"embedded"}
            assert names(theirs.control.ping(timeout=2.0)) == {"plain"}
            plain.kill()
            plain.wait()
            reminders = database.hgetall(THEIRS)
            assert len(reminders) == 4
            database.zadd(THEIR_INDEX, dict.fromkeys(reminders, LONG_AGO))
            database.set(THEIR_MUTEX, "another's")
            # Of what was in hand long ago each is put back in one go: once this one is answered,
            # the reminders would have been touched.
            again, note = noted(photographs[0])
            note_as_in_hand(database, "again", note, LONG_AGO)
            assert client.collect(again)[0].policy.id == "weapons"
        assert database.hgetall(THEIRS) == reminders
        assert set(database.zrange(THEIR_INDEX, 0, -1, withscores=True)) == {
            (tag, LONG_AGO) for tag in reminders
        }
        assert database.get(THEIR_MUTEX) == b"another's"
        # The other way: their worker takes its reminders again, and nothing of ours.
        database.delete(THEIR_MUTEX)
        _, note = noted(photographs[0])
        note_as_in_hand(database, "ours", note, LONG_AGO)
        plain = start_plain_worker(url)
        until(lambda: scheduled(theirs) == 4)
        with create_app(host) as ours:  # as `doctor` asks, which puts nothing back either
            assert not ours.control.ping(timeout=1.0)
        assert database.hgetall(UNACKED) == {b"ours": note.encode()}
        assert database.zscore(UNACKED_INDEX, "ours") == LONG_AGO
        assert not database.exists(INTERACTIVE)
    finally:
        plain.kill()
        plain.wait()


def test_only_notes_of_our_queues_are_taken_over(database: Any, photographs: list[Path]) -> None:
    notes = {
        "ours": noted(photographs[0])[1],
        "bulk": noted(photographs[0], QUEUES["bulk"])[1],
        "unread": json.dumps(["\udcff no JSON", "", INTERACTIVE]),
        "theirs": noted(photographs[0], "celery", "celery")[1],
        "called so by another exchange": noted(photographs[0], INTERACTIVE, "of theirs")[1],
        "names our queue in its text": json.dumps([f'", "", "{INTERACTIVE}"]', "", "celery"]),
    }
    for n, (tag, note) in enumerate(notes.items(), 1):
        note_as_in_hand(database, tag, note, n, old=True)
    database.hset(THEIRS, "without a time", notes["theirs"])
    database.zadd(THEIR_INDEX, {"without a note": 7})
    assert take_over(database) == 3
    assert database.hgetall(UNACKED) == {
        tag.encode(): notes[tag].encode() for tag in ("ours", "bulk", "unread")
    }
    assert database.zrange(UNACKED_INDEX, 0, -1, withscores=True) == [
        (b"ours", 1),
        (b"bulk", 2),
        (b"unread", 3),
    ]
    assert {*database.hkeys(THEIRS)} == {*map(str.encode, [*list(notes)[3:], "without a time"])}
    assert {*database.zrange(THEIR_INDEX, 0, -1)} == {
        *map(str.encode, [*list(notes)[3:], "without a note"])
    }
    assert take_over(database) == 0


def test_a_full_redis_loses_no_note_that_is_to_be_taken_over(
    database: Any, photographs: list[Path]
) -> None:
    _, note = noted(photographs[0])
    note_as_in_hand(database, "ours", note, LONG_AGO, old=True)
    database.config_set("maxmemory", "1")
    try:
        with pytest.raises(redis.ResponseError):
            take_over(database)
    finally:
        database.config_set("maxmemory", "0")
    assert database.hgetall(THEIRS) == {b"ours": note.encode()}
    assert not database.exists(UNACKED)
    assert take_over(database) == 1
