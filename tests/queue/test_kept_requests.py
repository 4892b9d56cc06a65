"""Requests in quarantine are kept up to so many bytes, and sent again without a moment of loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from moderation.embedded_servers import EmbeddedRedis
from moderation.errors import QueueFull
from moderation.messages import QueueName
from moderation.queue.celery_app import connect
from moderation.queue.hand import Hand
from moderation.queue.kept_requests import KeptRequest, KeptRequests
from moderation.settings import Settings, load_settings
from tests.support.queued_messages import MOST_BYTES, answered, names_of, opened, put

LATER = "evenhand.later.bulk"


class Stopped(BaseException):
    """What ends a command in the middle."""


def kept(name: str, queue: QueueName = "bulk") -> KeptRequest:
    return KeptRequest({"image": {"path": f"/srv/{name}"}}, queue, 1_700_000_000.0)


@pytest.fixture
def settings(server: EmbeddedRedis) -> Settings:
    return load_settings(broker_url=server.url, max_queue_length=5, max_queue_bytes=1000)


@pytest.fixture
def requests(connection: Any) -> KeptRequests:
    return KeptRequests(connection)


@pytest.fixture
def hand(settings: Settings) -> Iterator[Hand]:
    made = Hand(connect(settings), settings, worker="w", queues=["interactive", "bulk"])
    yield made
    made.close()


def test_what_is_quarantined_is_kept_up_to_so_many_bytes_the_newest_longest(
    requests: KeptRequests, connection: Any
) -> None:
    size = len(kept("a").packed())
    for name in "abcd":
        assert requests.keep(name, kept(name), most_bytes=3 * size)
    assert requests.kept("a") is None
    assert requests.kept("d") == kept("d")
    assert connection.get("evenhand.quarantined.bytes") == str(3 * size).encode()
    assert not requests.keep("big", kept("b" * 1000), most_bytes=3 * size)
    for name in "bcdx":
        requests.forget(name)
    assert requests.kept("d") is None
    assert connection.keys("*") == []


def test_a_request_that_is_quarantined_twice_is_kept_once(
    requests: KeptRequests, connection: Any
) -> None:
    for _ in range(2):
        assert requests.keep("a", kept("a"), most_bytes=10_000)
    assert connection.get("evenhand.quarantined.bytes") == str(len(kept("a").packed())).encode()


@pytest.mark.parametrize(
    "content", ["garbage", "[]", '{"request": {}}', '{"request": 1, "queue": "x", "sent_at": 1}']
)
def test_what_another_version_kept_is_an_error(
    content: str, requests: KeptRequests, connection: Any
) -> None:
    connection.hset("evenhand.quarantined", "a", content)
    with pytest.raises(ValueError, match=r"Expecting value|not a request|no queue"):
        requests.kept("a")


def test_a_request_that_is_sent_again_is_due_at_once_and_kept_no_longer(
    requests: KeptRequests, settings: Settings, connection: Any, hand: Hand
) -> None:
    requests.keep("a", kept("a"), most_bytes=10_000)
    seen: list[Any] = []

    def release() -> None:
        seen.extend((requests.kept("a"), hand.take(9, MOST_BYTES), connection.zcard(LATER)))

    requests.send_again("a", kept("a"), settings, release=release)
    assert seen == [kept("a"), [], 1]
    assert requests.kept("a") is None
    [taken] = hand.take(9, MOST_BYTES)
    envelope = opened(taken.raw)
    assert (taken.queue, envelope.id, envelope.request) == ("bulk", "a", kept("a").request)
    assert (envelope.sent_at, envelope.strikes) == (1_700_000_000.0, 0)
    assert int(connection.get("evenhand.bytes")) == envelope.size > 0
    hand.settle([answered(taken)], expires_seconds=60)
    assert not connection.exists("evenhand.bytes")


def test_a_stop_while_a_request_is_released_lets_it_come_by_itself(
    requests: KeptRequests, settings: Settings, connection: Any, hand: Hand
) -> None:
    requests.keep("a", kept("a"), most_bytes=10_000)

    def release() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        requests.send_again("a", kept("a"), settings, release=release)
    assert requests.kept("a") == kept("a")
    [(message, due)] = connection.zrange(LATER, 0, -1, withscores=True)
    assert opened(message).id == "a"
    assert 50 < due - connection.time()[0] <= 61
    connection.zadd(LATER, {message: 1})
    assert names_of(hand.take(9, MOST_BYTES)) == ["a"]


def test_a_redis_that_goes_away_after_the_release_has_it_still(
    requests: KeptRequests,
    settings: Settings,
    connection: Any,
    hand: Hand,
    caplog: pytest.LogCaptureFixture,
) -> None:
    requests.keep("a", kept("a"), most_bytes=10_000)

    def release() -> None:
        connection.set("evenhand.quarantined.at", "of another kind")

    connection.delete("evenhand.quarantined.at")
    requests.send_again("a", kept("a"), settings, release=release)
    assert "a worker takes it within 60 s" in caplog.text
    assert connection.zcard(LATER) == 1


def test_a_release_that_takes_longer_than_the_insurance_loses_nothing(
    requests: KeptRequests, settings: Settings, connection: Any, hand: Hand
) -> None:
    requests.keep("a", kept("a"), most_bytes=10_000)

    def release() -> None:
        """Meanwhile a worker answers it as before, from the log."""
        [message] = connection.zrange(LATER, 0, -1)
        connection.zadd(LATER, {message: 1})
        [taken] = hand.take(9, MOST_BYTES)
        hand.settle([answered(taken)], expires_seconds=60)

    requests.send_again("a", kept("a"), settings, release=release)
    assert names_of(hand.take(9, MOST_BYTES)) == ["a"]


def test_a_request_is_released_only_where_there_is_room(
    requests: KeptRequests, settings: Settings, connection: Any
) -> None:
    requests.keep("a", kept("a"), most_bytes=10_000)
    put(connection, "bcdef", "bulk")
    for reason in ("5 requests wait already", "requests of 1000 bytes are submitted already"):
        with pytest.raises(QueueFull, match=reason):
            requests.send_again("a", kept("a"), settings, release=pytest.fail)
        connection.rpop("moderation.bulk")
        connection.set("evenhand.bytes", 1000)
    connection.config_set("maxmemory", "1")
    connection.delete("evenhand.bytes")
    with pytest.raises(redis.ResponseError):
        requests.send_again("a", kept("a"), settings, release=pytest.fail)
    assert not connection.exists(LATER)
    assert requests.kept("a") == kept("a")
