"""A request is submitted: it is on its queue once, or nowhere and its host knows."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from moderation.client.client import Client
from moderation.embedded_servers import EmbeddedRedis
from moderation.errors import BrokerUnavailable, QueueFull
from moderation.messages import QUEUES, TASK_NAME
from moderation.queue.celery_app import connect, create_app
from moderation.queue.envelope import read_envelope
from moderation.queue.hand import Hand, Taken
from moderation.queue.keys import WITHDRAWN, room_keys
from moderation.queue.packed_message import pack_again, pack_message
from moderation.queue.submission_scripts import ACCEPT
from moderation.settings import Settings, load_settings
from tests.support.losing_proxy import LosingProxy
from tests.support.queued_messages import MOST_BYTES, answered, names_of, opened
from tests.support.redis_kinds import KeepingRedis, queued

#: Celery's own way to write a result.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

QUEUE = QUEUES["interactive"]
REQUEST = {"image": {"path": "/srv/a.jpg"}, "policies": ["weapons"]}


@pytest.fixture
def settings(server: EmbeddedRedis) -> Settings:
    return load_settings(broker_url=server.url, visibility_timeout_seconds=5)


@pytest.fixture
def losing(server: EmbeddedRedis) -> Iterator[LosingProxy]:
    with LosingProxy(server.url) as proxy:
        yield proxy


@pytest.fixture
def hand(settings: Settings, connection: Any) -> Iterator[Hand]:
    made = Hand(connection, settings, worker="w", queues=["interactive"])
    yield made
    made.close()


def is_consistent(connection: Any) -> bool:
    """Whether what waits is counted in bytes, and Redis holds nothing else of it."""
    size = sum(opened(raw).size for raw in connection.lrange(QUEUE, 0, -1))
    kept = [key for key in connection.keys("*") if not key.startswith(b"evenhand.withdrawn.")]
    counted = int(connection.get("evenhand.bytes") or 0)
    return counted == size and {*kept} <= {QUEUE.encode(), b"evenhand.bytes"}


def test_a_worker_reads_our_message_as_it_reads_that_of_celery(
    settings: Settings, connection: Any
) -> None:
    with create_app(settings) as app:
        sent_at = {"sent_at": 1_700_000_000.0}
        app.send_task(
            TASK_NAME, kwargs={"request": REQUEST}, task_id="a", queue=QUEUE, headers=sent_at
        )
    theirs = connection.lindex(QUEUE, 0)
    ours = pack_message(TASK_NAME, "a", REQUEST, QUEUE, 1_700_000_000.0)
    first, second = (read_envelope(raw, largest=10**6) for raw in (theirs, ours.encode()))
    assert first == second
    assert first.request == REQUEST


def test_a_request_is_stored_once_in_one_round_trip(settings: Settings, connection: Any) -> None:
    client = Client(settings)
    client.submit(b"first", "weapons")
    connection.flushall()
    connection.config_resetstat()
    name = client.submit(b"x" * 90_000, "weapons")
    stats = connection.info("commandstats")
    asked = {key.removeprefix("cmdstat_") for key in stats} - {"config|resetstat", "info", "select"}
    assert asked == {"evalsha", "exists", "llen", "get", "incrby", "lpush"}
    assert stats["cmdstat_evalsha"]["calls"] == 1
    assert queued(connection) == [name]
    assert {*connection.keys("*")} == {QUEUE.encode(), b"evenhand.bytes"}
    assert (
        160_000 < int(connection.get("evenhand.bytes")) < connection.memory_usage(QUEUE) < 300_000
    )


def test_a_redis_that_forgot_the_script_is_told_it_again(
    settings: Settings, connection: Any
) -> None:
    client = Client(settings)
    given = [client.submit("/srv/a.jpg", "weapons")]
    connection.script_flush()
    given.append(client.submit("/srv/a.jpg", "weapons"))
    assert queued(connection) == given


def test_a_redis_that_was_started_again_costs_a_host_nothing(tmp_path: Path) -> None:
    with KeepingRedis(tmp_path) as server:
        client = Client(load_settings(broker_url=server.url))
        given = [client.submit("/srv/a.jpg", "weapons")]
        server.stop()
        server.start()
        given.append(client.submit("/srv/a.jpg", "weapons"))
        with connect(client.settings) as connection:
            assert queued(connection) == given


def test_a_host_learns_that_the_queue_is_full_and_loses_nothing(
    settings: Settings, connection: Any
) -> None:
    client = Client(settings.model_copy(update={"max_queue_length": 5}))
    given = [client.submit("/srv/a.jpg", "weapons") for _ in range(5)]
    with pytest.raises(QueueFull, match="5 requests wait already"):
        client.submit("/srv/a.jpg", "weapons")
    assert queued(connection) == given
    assert is_consistent(connection)
    client.submit("/srv/a.jpg", "weapons", queue="bulk")


def test_nothing_is_submitted_beyond_so_many_bytes(
    settings: Settings, connection: Any, hand: Hand
) -> None:
    Client(settings).submit(b"x" * 1000, "weapons")
    size = int(connection.get("evenhand.bytes"))
    client = Client(settings.model_copy(update={"max_queue_bytes": 2 * size}))
    client.submit(b"x" * 1000, "weapons")
    first, _ = hand.take(9, MOST_BYTES)
    with pytest.raises(QueueFull, match=f"requests of {2 * size} bytes are submitted already"):
        client.submit(b"x" * 1000, "weapons")
    hand.postpone(first.tag, pack_again(opened(first.raw), "interactive", retries=1), 0)
    with pytest.raises(QueueFull):
        client.submit(b"x" * 1000, "weapons")
    hand.settle([answered(each) for each in hand.take(9, MOST_BYTES)], expires_seconds=60)
    client.submit(b"x" * 1000, "weapons")
    with pytest.raises(QueueFull):
        client.submit(b"x" * 9000, "weapons")


def test_a_count_of_bytes_that_went_wrong_bars_nobody_once_nothing_is_left(
    settings: Settings, connection: Any
) -> None:
    connection.set("evenhand.bytes", 10**12)
    name = Client(settings).submit("/srv/a.jpg", "weapons")
    assert queued(connection) == [name]
    assert is_consistent(connection)


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


def lose(proxy: LosingProxy, times: int) -> Client:
    """Returns a client whose next submissions arrive without an answer, so many times."""
    client = Client(load_settings(broker_url=proxy.url))
    client.submit("/srv/before.jpg", "weapons")  # so that Redis knows the scripts
    proxy.marker, proxy.times = TASK_NAME.encode(), times
    return client


def test_a_request_whose_answer_was_lost_is_found_and_not_sent_twice(
    losing: LosingProxy, connection: Any
) -> None:
    client = lose(losing, 1)
    [before] = queued(connection)
    name = client.submit("/srv/a.jpg", "weapons")
    assert queued(connection) == [before, name]
    assert is_consistent(connection)


@pytest.mark.parametrize(("times", "is_full"), [(2, False), (3, False), (2, True)])
def test_a_request_whose_answers_were_lost_is_taken_back(
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
    assert arrived == [2, 2, 1][:times]  # it was on the queue
    assert queued(connection) == [before]
    assert is_consistent(connection)
    [mark] = connection.keys("evenhand.withdrawn.*")
    assert 0 < connection.ttl(mark) <= 3600
    warned = [record for record in caplog.records if record.levelno >= logging.WARNING]
    # If the answer to the withdrawal is lost too, nobody can know.
    assert len(warned) == times - 2
    assert all("may be decided all the same" in record.getMessage() for record in warned)


def test_what_was_withdrawn_is_refused_when_it_comes_late(
    losing: LosingProxy, connection: Any
) -> None:
    """As when a command was on its way for longer than the connection lasted."""
    client = lose(losing, 2)
    late: list[Any] = []

    def then() -> None:
        late.extend(connection.lrange(QUEUE, 0, 0) if not late else ())

    losing.then = then
    with pytest.raises(BrokerUnavailable):
        client.submit("/srv/a.jpg", "weapons")
    name = opened(late[0]).id
    assert name not in queued(connection)
    keys = [*room_keys("interactive"), WITHDRAWN + name]
    with pytest.raises(redis.ResponseError, match="it was withdrawn"):
        connection.register_script(ACCEPT)(keys, [late[0], 100, 10, 10**9, ""])
    assert is_consistent(connection)


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("now", ["in hand", "put back with strikes", "later", "answered"])
def test_a_request_whose_answer_was_lost_is_submitted_if_a_worker_has_begun_with_it(
    now: str, lost: int, losing: LosingProxy, settings: Settings, connection: Any, hand: Hand
) -> None:
    client = lose(losing, lost)
    connection.delete(QUEUE)
    taken: list[Taken] = []

    def take() -> None:
        taken.extend(hand.take(1, MOST_BYTES))
        [it] = taken[:1]
        if now == "later":
            message = pack_again(opened(it.raw), "interactive", retries=1)
            hand.postpone(it.tag, message, 1000)
        elif now == "answered" and len(taken) == lost:
            with create_app(settings) as app:
                app.backend.mark_as_done(opened(it.raw).id, {})
            hand.settle([answered(each) for each in taken], expires_seconds=60)
        elif now == "put back with strikes":
            message = pack_again(opened(it.raw), "interactive", strikes=3)
            hand.postpone(it.tag, message, 0)
            taken.extend(hand.take(1, MOST_BYTES))

    losing.then = take
    name = client.submit("/srv/a.jpg", "weapons")
    assert {*names_of(taken)} == {name}
    # One that is answered before its host asks again is sent again, and answered from the log.
    assert queued(connection) == ([name] if (now, lost) == ("answered", 1) else [])


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
