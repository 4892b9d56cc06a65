"""What former versions left in Redis is put on the queues, and nothing of other Celery apps is."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import redis

from moderation.embedded_servers import EmbeddedRedis
from moderation.messages import QUEUES, TASK_NAME, QueueName
from moderation.queue.celery_app import connect
from moderation.queue.former_keys import FormerKeys
from moderation.queue.hand import Hand
from moderation.settings import Settings, load_settings
from tests.support.queued_messages import MOST_BYTES, answered, packed, put, waiting

INTERACTIVE, BULK = QUEUES["interactive"], QUEUES["bulk"]
#: Names under which former versions noted what was in hand: first kombu's own, then theirs.
NAMES = {"unacked": "unacked_index", "evenhand.unacked": "evenhand.unacked.index"}
TIMES = "evenhand.accepted.at.interactive"
TIMEOUT = 60


@pytest.fixture
def settings(server: EmbeddedRedis) -> Settings:
    return load_settings(broker_url=server.url, visibility_timeout_seconds=TIMEOUT)


def take_over(settings: Settings) -> int:
    """Looks as a worker does that has just been started."""
    with connect(settings) as connection:
        return FormerKeys(connection, settings).take_over()


def note(
    connection: Any, tag: str, noted: Any, seconds: float, names: str = "evenhand.unacked"
) -> str:
    """Notes as in hand, since so many seconds, as kombu does; returns the note."""
    text = json.dumps(noted)
    connection.hset(names, tag, text)
    connection.zadd(NAMES[names], {tag: time.time() - seconds})
    return text


def message(name: str, queue: QueueName = "interactive") -> Any:
    return json.loads(packed(name, queue))


def enter(connection: Any, name: str, seconds: float, content: str = "") -> None:
    """Enters a request as a host of the former version did, so long ago."""
    request = {"request": {"n": name}, "queue": "interactive", "sent_at": 1_700_000_000.0}
    content = content or json.dumps(request)
    connection.hset("evenhand.accepted", name, content)
    connection.incrby("evenhand.accepted.bytes", len(content))
    connection.zadd(TIMES, {name: time.time() - seconds})


@pytest.mark.parametrize("names", NAMES)
def test_only_old_notes_of_our_queues_are_taken_over(
    names: str, settings: Settings, connection: Any
) -> None:
    ours = message("a")
    note(connection, "ours", [ours, "", INTERACTIVE], 61, names)
    note(connection, "bulk", [message("b", "bulk"), "", BULK], 61, names)
    note(connection, "unread", ["\udcff no JSON", "", BULK], 61, names)
    left = {
        "young": note(connection, "young", [message("c"), "", INTERACTIVE], 30, names),
        "theirs": note(connection, "theirs", [message("d"), "celery", "celery"], 999, names),
        "by another": note(connection, "by another", [message("e"), "theirs", BULK], 999, names),
        "its text": note(connection, "its text", [f'", "", "{BULK}"]', "", "celery"], 999, names),
    }
    connection.hset(names, "without a time", json.dumps([message("f"), "", "celery"]))
    connection.zadd(NAMES[names], {"without a note": 7})
    assert take_over(settings) == 3
    assert [json.loads(raw) for raw in connection.lrange(INTERACTIVE, 0, -1)] == [ours]
    assert waiting(connection) == [("a", 0)]
    assert json.dumps("\udcff no JSON").encode() in connection.lrange(BULK, 0, -1)
    assert connection.llen(BULK) == 2
    in_hand = {key.decode(): value.decode() for key, value in connection.hgetall(names).items()}
    del in_hand["without a time"]
    assert in_hand == left
    assert {*connection.zrange(NAMES[names], 0, -1)} == {
        *map(str.encode, [*left, "without a note"])
    }
    assert take_over(settings) == 0


def test_a_full_redis_takes_over_too(settings: Settings, connection: Any) -> None:
    note(connection, "ours", [message("a"), "", INTERACTIVE], 61)
    connection.config_set("maxmemory", "1")
    assert take_over(settings) == 1
    assert waiting(connection) == [("a", 0)]


def test_a_queue_of_another_kind_costs_no_note(settings: Settings, connection: Any) -> None:
    noted = note(connection, "ours", [message("a"), "", INTERACTIVE], 61)
    connection.set(INTERACTIVE, "of another kind")
    with pytest.raises(redis.ResponseError):
        take_over(settings)
    assert connection.hget("evenhand.unacked", "ours") == noted.encode()


def test_a_request_that_a_former_host_entered_and_nobody_has_is_sent_once(
    settings: Settings, connection: Any
) -> None:
    enter(connection, "lost", 61)
    enter(connection, "young", 30)
    connection.hset("evenhand.in_hand", "lost", '["dead"]')
    assert take_over(settings) == 1
    [raw] = connection.lrange(INTERACTIVE, 0, -1)
    headers = json.loads(raw)["headers"]
    assert (headers["id"], headers["task"]) == ("lost", TASK_NAME)
    assert headers["sent_at"] == 1_700_000_000.0
    assert connection.hkeys("evenhand.accepted") == [b"young"]
    assert connection.zrange(TIMES, 0, -1) == [b"young"]
    assert not connection.exists("evenhand.in_hand")
    assert take_over(settings) == 0


def sent(seconds: float) -> str:
    """Returns a message that was sent so long ago."""
    return json.dumps({"headers": {"sent_at": time.time() - seconds}})


@pytest.mark.parametrize(
    ("entered", "ages", "expected"),
    [
        ({"lost": 1000, "next": 900, "behind": 890}, [900, 890], 1),
        ({"sent-last": 903, "next": 900}, [900], 0),
        ({f"r{n}": 1000 - n for n in range(4)}, [1000 - n for n in range(4)], 0),
    ],
    ids=["behind others", "entered first and sent last", "a backlog"],
)
def test_requests_that_wait_are_not_taken_for_lost(
    entered: dict[str, int], ages: list[int], expected: int, settings: Settings, connection: Any
) -> None:
    for name, seconds in entered.items():
        enter(connection, name, seconds)
    connection.lpush(INTERACTIVE, *map(sent, ages))
    assert take_over(settings) == expected


def test_what_cannot_be_read_does_not_hold_up_others(settings: Settings, connection: Any) -> None:
    enter(connection, "unknown", 100, "of another version")
    enter(connection, "lost", 90)
    connection.zadd(TIMES, {"answered": time.time() - 95})
    assert take_over(settings) == 1
    assert waiting(connection) == [("lost", 0)]
    assert connection.keys("*") == [INTERACTIVE.encode()]


def test_what_is_settled_is_struck_off_for_former_hosts_too(
    settings: Settings, connection: Any
) -> None:
    enter(connection, "a", 0)
    enter(connection, "b", 0)
    before = int(connection.get("evenhand.accepted.bytes"))
    put(connection, ["a"])
    hand = Hand(connection, settings, worker="w", queues=["interactive"])
    hand.settle([answered(each) for each in hand.take(9, MOST_BYTES)], expires_seconds=60)
    hand.close()
    assert connection.hkeys("evenhand.accepted") == connection.zrange(TIMES, 0, -1) == [b"b"]
    assert int(connection.get("evenhand.accepted.bytes")) < before


def test_looks_are_cheap_and_seldom(settings: Settings, connection: Any) -> None:
    former = FormerKeys(connection, settings)
    assert former.take_over() == 0
    note(connection, "ours", [message("a"), "", INTERACTIVE], 61)
    connection.config_resetstat()
    assert former.take_over() == 0
    calls = connection.info("commandstats")
    assert not {name for name in calls if "scan" in name or "eval" in name or "exists" in name}
