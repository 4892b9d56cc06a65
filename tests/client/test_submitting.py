"""A request is submitted: it is on its queue and accepted, or neither and its host knows."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from moderation.queue.recovery import Recovery
from moderation.queue.registry import Accepted, Registry

from moderation.client.client import Client
from moderation.embedded_servers import EmbeddedRedis
from moderation.errors import BrokerUnavailable
from moderation.messages import QUEUES, TASK_NAME
from moderation.queue.celery_app import connect, create_app
from moderation.queue.envelope import read_envelope
from moderation.queue.packed_message import pack_message
from moderation.settings import Settings, load_settings
from tests.support.losing_proxy import LosingProxy
from tests.support.redis_kinds import KeepingRedis, queued
from tests.support.waiting import until

#: Celery's own way to write a result.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

QUEUE = QUEUES["interactive"]
REQUEST = {"image": {"path": "/srv/a.jpg"}, "policies": ["weapons"]}
ACCEPTED = Accepted(REQUEST, "interactive", 1_700_000_000.0)


@pytest.fixture
def settings(server: EmbeddedRedis) -> Settings:
    return load_settings(broker_url=server.url, visibility_timeout_seconds=5)


@pytest.fixture
def losing(server: EmbeddedRedis) -> Iterator[LosingProxy]:
    with LosingProxy(server.url) as proxy:
        yield proxy


def is_consistent(connection: Any) -> bool:
    """Whether the same requests wait, are accepted, have a time, and are counted in bytes."""
    accepted = connection.hgetall("evenhand.accepted")
    size = sum(map(len, accepted.values()))
    waiting = [name.encode() for name in queued(connection)]
    times = connection.zrange("evenhand.accepted.at.interactive", 0, -1)
    counted = int(connection.get("evenhand.accepted.bytes") or 0)
    return sorted(waiting) == sorted(accepted) == sorted(times) and counted == size


def enter(registry: Registry, name: str, message: str = "") -> None:
    registry.accept(name, ACCEPTED, most_waiting=5, most_bytes=10_000, message=message)


def packed(name: str) -> str:
    return pack_message(TASK_NAME, name, REQUEST, QUEUE, 1_700_000_000.0)


def test_a_worker_reads_our_message_as_it_reads_that_of_celery(
    settings: Settings, connection: Any
) -> None:
    with create_app(settings) as app:
        sent_at = {"sent_at": 1_700_000_000.0}
        app.send_task(
            TASK_NAME, kwargs={"request": REQUEST}, task_id="a", queue=QUEUE, headers=sent_at
        )
    theirs, ours = connection.lindex(QUEUE, 0), packed("a").encode()
    read = [read_envelope(raw, QUEUE, largest=10**6) for raw in (theirs, ours)]
    for envelope in read:
        del envelope["body"], envelope["properties"]["delivery_tag"]
    assert read[0] == read[1]
    assert read[0].arguments == read[1].arguments == ([], {"request": REQUEST}, {})


def test_a_full_redis_takes_a_request_whole_or_refuses_it_for_good(
    settings: Settings, connection: Any
) -> None:
    """At a limit that rises in small steps, so that it is reached at each place in between."""
    client, given, refused = Client(settings), [], 0
    given.append(client.submit(b"x" * 100_000, "weapons"))
    start = connection.info("memory")["used_memory"]
    for step in range(80):
        connection.config_set("maxmemory", start + 20_000 * step)
        try:
            given.append(client.submit(b"x" * 100_000, "weapons"))
        except BrokerUnavailable:
            refused += 1
        assert is_consistent(connection), step
    assert (refused > 20, len(given) > 3) == (True, True)
    assert queued(connection) == given


def test_on_a_full_redis_requests_are_settled_and_workers_stay_alive(
    connection: Any, registry: Registry
) -> None:
    for name in "ab":
        enter(registry, name, packed(name))
        registry.take(name, "interactive", "w")
    registry.take("b", "interactive", "another")
    registry.beat("w", 60)
    connection.config_set("maxmemory", "1")
    with pytest.raises(redis.ResponseError):
        enter(registry, "c", packed("c"))
    with pytest.raises(redis.ResponseError):
        registry.renew("b", "interactive", packed("b"))
    assert queued(connection) == ["a", "b"]
    registry.settle("a")
    registry.give_back("b", "w")
    registry.beat("w", 600)
    assert registry.withdraw("c", "interactive", packed("c"), lost=False) == "not there"
    assert registry.count() == 1
    assert connection.hgetall("evenhand.in_hand") == {b"b": b'["another"]'}
    assert connection.pttl("evenhand.worker.w") > 60_000
    registry.give_back("b", "another")
    registry.settle("b")
    assert set(connection.keys("*")) == {QUEUE.encode(), b"evenhand.worker.w"}


def test_what_was_withdrawn_is_not_accepted_when_it_comes_late(
    connection: Any, registry: Registry
) -> None:
    message = packed("a")
    enter(registry, "a", message)
    enter(registry, "a", message)  # asked again, since the answer was lost
    assert queued(connection) == ["a"]
    assert registry.withdraw("a", "interactive", message, lost=True) == "taken back"
    with pytest.raises(redis.ResponseError, match="withdrawn"):
        enter(registry, "a", message)
    assert connection.keys("*") == [b"evenhand.withdrawn.a"]
    assert 0 < connection.ttl("evenhand.withdrawn.a") <= 3600
    enter(registry, "a")  # as when an operator releases it from quarantine
    assert registry.accepted("a") == ACCEPTED


def test_a_request_that_a_worker_has_is_not_withdrawn(connection: Any, registry: Registry) -> None:
    message = packed("a")
    enter(registry, "a", message)
    connection.rpop(QUEUE)
    assert registry.withdraw("a", "interactive", message, lost=True) == "in hand"
    assert registry.accepted("a") == ACCEPTED


def lose(proxy: LosingProxy, times: int) -> Client:
    """Returns a client whose next submissions arrive without an answer, so many times."""
    client = Client(load_settings(broker_url=proxy.url))
    client.submit("/srv/before.jpg", "weapons")  # so that Redis knows the scripts
    proxy.marker, proxy.times = TASK_NAME.encode(), times
    return client


@pytest.mark.parametrize(("times", "is_full"), [(1, False), (2, False), (1, True)])
def test_a_request_whose_answer_was_lost_is_taken_back(
    times: int,
    is_full: bool,
    losing: LosingProxy,
    connection: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = lose(losing, times)
    [before] = queued(connection)
    arrived: list[int] = []

    def then() -> None:
        arrived.append(connection.llen(QUEUE))
        connection.config_set("maxmemory", str(int(is_full)))  # others have filled it meanwhile

    losing.then = then
    with pytest.raises(BrokerUnavailable):
        client.submit("/srv/a.jpg", "weapons")
    assert arrived == [2, 1][:times]  # it was on the queue
    assert queued(connection) == [before]
    assert is_consistent(connection)
    warned = [record for record in caplog.records if record.levelno >= logging.WARNING]
    # If the answer to the withdrawal is lost too, nobody can know.
    assert len(warned) == times - 1
    assert all("may be decided all the same" in record.getMessage() for record in warned)


@pytest.mark.parametrize("answered", ["not yet", "before", "struck off before"])
def test_a_request_whose_answer_was_lost_is_submitted_if_a_worker_has_it(
    answered: str,
    losing: LosingProxy,
    settings: Settings,
    connection: Any,
    registry: Registry,
) -> None:
    """Also where it asks between the two steps of a worker that strikes off and then answers."""
    client = lose(losing, 1)
    connection.delete(QUEUE)
    taken: list[str] = []

    def answer() -> None:
        with create_app(settings) as app:
            if answered == "struck off before":
                until(lambda: connection.exists(f"evenhand.withdrawn.{taken[0]}"))
            app.backend.mark_as_done(taken[0], {})

    with ThreadPoolExecutor(1) as thread:

        def take() -> None:
            taken.append(json.loads(connection.rpop(QUEUE))["headers"]["id"])
            if answered != "not yet":
                registry.settle(taken[0])
                answering = thread.submit(answer)
                if answered == "before":
                    answering.result()

        losing.then = take
        assert client.submit("/srv/a.jpg", "weapons") == taken[0]
    assert (registry.accepted(taken[0]) is None) == (answered != "not yet")


def test_a_redis_that_was_never_reached_gives_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    with EmbeddedRedis() as gone:
        settings = load_settings(broker_url=gone.url)
    for _ in range(2):
        with pytest.raises(BrokerUnavailable, match="does not answer"):
            Client(settings).submit("/srv/a.jpg", "weapons")
    assert "may be decided" not in caplog.text


def test_a_redis_that_dies_in_the_moment_has_a_request_whole_and_a_warning_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with KeepingRedis(tmp_path) as server, LosingProxy(server.url) as losing:
        settings = load_settings(broker_url=server.url, visibility_timeout_seconds=5)
        client = lose(losing, 1)
        losing.then = server.stop
        with pytest.raises(BrokerUnavailable, match="does not answer"):
            client.submit("/srv/a.jpg", "weapons")
        assert "may be decided all the same" in caplog.text
        server.start()
        with connect(settings) as connection:
            assert len(queued(connection)) == 2
            assert is_consistent(connection)
            assert Recovery(connection, settings, worker="w").look() == 0
