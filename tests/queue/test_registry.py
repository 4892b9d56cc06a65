"""The registry of accepted requests and the recovery of lost ones, on a real Redis."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from moderation.queue.recovery import Recovery
from moderation.queue.registry import Accepted, Registry

from moderation.client.client import Client
from moderation.embedded_servers import EmbeddedRedis
from moderation.errors import QueueFull
from moderation.messages import QUEUES, QueueName
from moderation.settings import Settings, load_settings
from tests.support.redis_kinds import queued
from tests.support.waiting import until

REQUEST = {"image": {"path": "/srv/a.jpg"}, "policies": ["weapons"]}
#: What happened so many seconds ago did so before this, however long a test takes.
NOW = time.time()
INTERACTIVE = QUEUES["interactive"]


def accepted(name: str, queue: QueueName = "interactive") -> Accepted:
    return Accepted({**REQUEST, "request_id": name}, queue, 1_700_000_000.0)


@pytest.fixture
def settings(server: EmbeddedRedis) -> Settings:
    return load_settings(broker_url=server.url, visibility_timeout_seconds=3600, max_queue_length=5)


def enter(registry: Registry, name: str, queue: QueueName = "interactive") -> bool:
    try:
        registry.accept(name, accepted(name, queue), most_waiting=5, most_bytes=10_000)
    except QueueFull:
        return False
    return True


def age(connection: redis.Redis, name: str, seconds: float) -> None:
    """Makes a request look as if it had been sent or taken so long ago."""
    connection.zadd("evenhand.accepted.at.interactive", {name: NOW - seconds}, xx=True)


def overdue(registry: Registry) -> list[str]:
    return registry.overdue("interactive", seconds=60, most=10)


def test_a_settled_request_leaves_nothing_behind(
    registry: Registry, connection: redis.Redis
) -> None:
    enter(registry, "a")
    registry.take("a", "interactive", "w")
    assert registry.count() == 1
    registry.settle("a")
    assert registry.count() == 0
    assert connection.keys("*") == []


def test_nothing_is_accepted_while_the_queue_is_full(
    registry: Registry, connection: redis.Redis
) -> None:
    connection.lpush(INTERACTIVE, *["message"] * 5)
    assert not enter(registry, "a")
    assert registry.count() == 0
    assert enter(registry, "a", "bulk")
    connection.rpop(INTERACTIVE)
    assert enter(registry, "a")


def test_nothing_is_accepted_beyond_so_many_bytes(
    registry: Registry, connection: redis.Redis
) -> None:
    size = len(accepted("a").packed())

    def enter_within(name: str, most_bytes: int) -> None:
        registry.accept(name, accepted(name), most_waiting=5, most_bytes=most_bytes)

    enter_within("a", 2 * size)
    enter_within("b", 2 * size)
    enter_within("b", 2 * size)  # entered again, it counts once
    with pytest.raises(QueueFull, match=f"requests of {2 * size} bytes are accepted already"):
        enter_within("c", 2 * size)
    registry.settle("never entered")
    registry.settle("a")
    enter_within("c", 2 * size)
    assert connection.get("evenhand.accepted.bytes") == str(2 * size).encode()
    registry.settle("b")
    registry.settle("c")
    assert connection.keys("*") == []


def test_a_host_learns_that_the_queue_is_full_and_loses_nothing(
    settings: Settings, connection: redis.Redis
) -> None:
    client = Client(settings)
    given = [client.submit("/srv/a.jpg", "weapons") for _ in range(5)]
    with pytest.raises(QueueFull, match="5 requests wait already"):
        client.submit("/srv/a.jpg", "weapons")
    assert queued(connection) == given
    assert Registry(connection).count() == 5


def test_only_workers_that_died_are_counted(registry: Registry) -> None:
    registry.beat("alive", 3600)
    assert registry.take("a", "interactive", "alive") == 0
    assert registry.take("a", "interactive", "dead") == 0
    assert registry.take("a", "interactive", "also dead") == 1
    assert registry.take("a", "interactive", "alive") == 2
    registry.settle("a")
    assert registry.take("a", "interactive", "alive") == 0


def test_a_request_that_was_given_back_killed_nobody(
    registry: Registry, connection: redis.Redis
) -> None:
    for _ in range(3):
        assert registry.take("a", "interactive", "gone since") == 0
        registry.give_back("a", "gone since")
    assert connection.hgetall("evenhand.in_hand") == {}
    registry.give_back("never taken", "gone since")
    assert connection.hgetall("evenhand.in_hand") == {}


def test_a_request_that_the_living_never_come_back_from_is_counted_too(
    registry: Registry,
) -> None:
    for worker in "abc":
        registry.beat(worker, 3600)
    deaths = [registry.take("a", "interactive", worker) for worker in "abcabca"]
    assert deaths == [0, 0, 0, 1, 1, 1, 2]


def test_a_worker_without_a_sign_of_life_is_dead_after_a_while(
    registry: Registry, connection: redis.Redis
) -> None:
    registry.beat("a worker", 0.05)
    registry.take("a", "interactive", "a worker")
    until(lambda: not connection.exists("evenhand.worker.a worker"))
    assert registry.take("a", "interactive", "another") == 1


def test_takings_from_many_threads_are_each_counted(registry: Registry) -> None:
    with ThreadPoolExecutor(16) as pool:
        deaths = list(pool.map(lambda n: registry.take("a", "bulk", f"{n}"), range(200)))
    assert sorted(deaths) == list(range(200))


def test_a_request_is_overdue_once_nobody_had_it_for_long(
    registry: Registry, connection: redis.Redis
) -> None:
    enter(registry, "old")
    enter(registry, "young")
    age(connection, "old", 61)
    assert overdue(registry) == ["old"]
    registry.take("old", "interactive", "w")
    assert overdue(registry) == []


def sent(seconds: float) -> str:
    """Returns a message that was sent so long ago."""
    return json.dumps({"headers": {"sent_at": NOW - seconds}})


@pytest.mark.parametrize(
    ("entered", "waiting", "expected"),
    [
        ({"lost": 1000, "next": 900, "behind": 890}, [sent(900), sent(890)], ["lost"]),
        ({"sent-last": 903, "next": 900}, [sent(900)], []),
        ({"lost": 1000, "next": 900, "behind": 890}, ["without a time", "next"], ["lost"]),
    ],
    ids=["behind others", "entered first and sent last", "behind a message without a time"],
)
def test_requests_that_wait_are_not_taken_for_lost(
    entered: dict[str, int],
    waiting: list[str],
    expected: list[str],
    registry: Registry,
    connection: redis.Redis,
) -> None:
    for name, seconds in entered.items():
        enter(registry, name)
        age(connection, name, seconds)
    assert overdue(registry) == [*entered]
    connection.lpush(INTERACTIVE, *waiting)
    assert overdue(registry) == expected


def test_a_request_of_another_version_does_not_hold_up_others(
    settings: Settings, connection: redis.Redis
) -> None:
    lost = [Client(settings).submit("/srv/a.jpg", "weapons") for _ in range(3)]
    connection.delete(INTERACTIVE)
    for name in lost:
        age(connection, name, 3601)
    connection.hset("evenhand.accepted", lost[0], "of another version")
    connection.hdel("evenhand.accepted", lost[1])
    recovery = Recovery(connection, settings, worker="w")
    assert recovery.look() == 1
    assert queued(connection) == [lost[2]]
    assert connection.zscore("evenhand.accepted.at.interactive", lost[1]) is None


def test_what_was_popped_and_never_noted_is_sent_again_once(
    settings: Settings, connection: redis.Redis
) -> None:
    lost = Client(settings).submit("/srv/a.jpg", "weapons")
    connection.rpop(INTERACTIVE)
    recovery = Recovery(connection, settings, worker="w")
    assert recovery.look() == 0
    age(connection, lost, 3601)
    assert recovery.look() == 1
    assert queued(connection) == [lost]
    assert recovery.look() == 0
    message = json.loads(connection.lindex(INTERACTIVE, 0))  # type: ignore[arg-type]
    entered = Registry(connection).accepted(lost)
    assert entered is not None
    assert message["headers"]["sent_at"] == round(entered.sent_at, 3)


def test_a_backlog_that_is_older_than_the_timeout_is_not_sent_twice(
    settings: Settings, registry: Registry, connection: redis.Redis
) -> None:
    for n in range(4):
        enter(registry, f"r{n}")
        age(connection, f"r{n}", 1000 - n)
        connection.lpush(INTERACTIVE, sent(1000 - n))
    assert Recovery(connection, settings, worker="w").look() == 0
    assert connection.llen(INTERACTIVE) == 4


def test_one_worker_looks_at_a_time(settings: Settings, connection: redis.Redis) -> None:
    lost = Client(settings).submit("/srv/a.jpg", "weapons")
    connection.rpop(INTERACTIVE)
    age(connection, lost, 3601)
    connection.set("evenhand.recovery", "another", ex=3600)
    recovery = Recovery(connection, settings, worker="w")
    assert recovery.look() == 0
    assert connection.get("evenhand.recovery") == b"another"
    connection.delete("evenhand.recovery")
    assert recovery.look() == 1
    assert connection.get("evenhand.recovery") is None


def test_what_is_quarantined_is_kept_up_to_so_many_bytes_the_newest_longest(
    registry: Registry, connection: redis.Redis
) -> None:
    size = len(accepted("a").packed())
    for name in "abcd":
        assert registry.quarantine(name, accepted(name), most_bytes=3 * size)
    assert registry.quarantined("a") is None
    assert registry.quarantined("d") == accepted("d")
    assert connection.get("evenhand.quarantined.bytes") == str(3 * size).encode()
    assert not registry.quarantine("big", accepted("b" * 1000), most_bytes=3 * size)
    for name in "bcdx":
        registry.forget(name)
    assert connection.get("evenhand.quarantined.bytes") == b"0"
    assert registry.quarantined("d") is None


def test_a_request_that_is_quarantined_twice_is_kept_once(
    registry: Registry, connection: redis.Redis
) -> None:
    for _ in range(2):
        assert registry.quarantine("a", accepted("a"), most_bytes=10_000)
    assert connection.get("evenhand.quarantined.bytes") == str(len(accepted("a").packed())).encode()
