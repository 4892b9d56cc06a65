"""One Redis database for this and somebody else's Celery app: neither takes what is the other's."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from moderation.client.client import Client
from moderation.embedded_servers import EmbeddedRedis, EmbeddedWorker
from moderation.messages import QUEUES, TASK_NAME, ImageReference
from moderation.queue.celery_app import create_app
from moderation.queue.packed_message import pack_message
from moderation.settings import Settings, load_settings
from tests.conftest import SERVED
from tests.support.plain_celery import create_plain_app, start_plain_worker
from tests.support.waiting import until

#: Names that kombu gives by itself.
THEIRS, THEIR_INDEX, THEIR_MUTEX = "unacked", "unacked_index", "unacked_mutex"
#: Names that a former version gave.
UNACKED, UNACKED_INDEX = "evenhand.unacked", "evenhand.unacked.index"
INTERACTIVE = QUEUES["interactive"]
VISIBILITY_SECONDS = 5
LONG_AGO = 1.0


@pytest.fixture
def settings(server: EmbeddedRedis) -> Settings:
    return load_settings(broker_url=server.url, verdict_timeout_seconds=60.0)


def our_worker(settings: Settings) -> EmbeddedWorker:
    seconds = {"MODERATION_VISIBILITY_TIMEOUT_SECONDS": str(VISIBILITY_SECONDS)}
    return EmbeddedWorker(settings, ["--model", "starter", *SERVED], seconds)


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


def test_two_apps_on_one_database_leave_each_other_alone(
    settings: Settings, connection: Any, photographs: list[Path]
) -> None:
    url = settings.broker_url.get_secret_value()
    plain, theirs, client = start_plain_worker(url), create_plain_app(url), Client(settings)
    try:
        for n in range(4):
            theirs.send_task("remind", [f"reminder {n}"], countdown=400)
        until(lambda: connection.hlen(THEIRS) == 4)
        former, note = noted(photographs[0])
        note_as_in_hand(connection, "former", note, time.time() - 1000, old=True)
        with our_worker(settings):
            # What a worker of an older version had in hand is answered.
            assert client.collect(former)[0].policy.id == "weapons"
            with create_app(settings) as ours:
                assert names(ours.control.ping(timeout=2.0)) == {"embedded"}
            assert names(theirs.control.ping(timeout=2.0)) == {"plain"}
            plain.kill()
            plain.wait()
            reminders = connection.hgetall(THEIRS)
            assert len(reminders) == 4
            connection.zadd(THEIR_INDEX, dict.fromkeys(reminders, LONG_AGO))
            connection.set(THEIR_MUTEX, "another's")
            # Of what was in hand long ago each is put back in one go: once this one is answered,
            # the reminders would have been touched.
            again, note = noted(photographs[0])
            note_as_in_hand(connection, "again", note, LONG_AGO)
            assert client.collect(again)[0].policy.id == "weapons"
        assert connection.hgetall(THEIRS) == reminders
        assert set(connection.zrange(THEIR_INDEX, 0, -1, withscores=True)) == {
            (tag, LONG_AGO) for tag in reminders
        }
        assert connection.get(THEIR_MUTEX) == b"another's"
        # The other way: their worker takes its reminders again, and nothing of ours.
        connection.delete(THEIR_MUTEX)
        _, note = noted(photographs[0])
        note_as_in_hand(connection, "ours", note, LONG_AGO)
        plain = start_plain_worker(url)
        inspect = theirs.control.inspect(timeout=1.0)
        until(lambda: [len(tasks) for tasks in (inspect.scheduled() or {}).values()] == [4])
        with create_app(settings) as ours:  # as `doctor` asks, which puts nothing back either
            assert not ours.control.ping(timeout=1.0)
        assert connection.hgetall(UNACKED) == {b"ours": note.encode()}
        assert connection.zscore(UNACKED_INDEX, "ours") == LONG_AGO
        assert not connection.exists(INTERACTIVE)
    finally:
        plain.kill()
        plain.wait()
        theirs.close()
