"""What workers take from the queues, settle, put back and leave behind, on a real Redis."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from moderation.embedded_servers import EmbeddedRedis
from moderation.messages import QUEUES, QueueName
from moderation.queue.celery_app import connect
from moderation.queue.hand import Hand, Settled
from moderation.queue.packed_message import pack_again
from moderation.settings import Settings, load_settings
from tests.support.losing_proxy import LosingProxy
from tests.support.queued_messages import (
    MOST_BYTES,
    RESULT,
    answered,
    names_of,
    opened,
    packed,
    put,
    waiting,
)
from tests.support.redis_kinds import KeepingRedis
from tests.support.waiting import until

BOTH: tuple[QueueName, ...] = ("interactive", "bulk")
VISIBILITY_SECONDS = 5
Hands = Callable[..., Hand]


@pytest.fixture
def settings(server: EmbeddedRedis) -> Settings:
    return load_settings(broker_url=server.url, visibility_timeout_seconds=VISIBILITY_SECONDS)


@pytest.fixture
def hands(settings: Settings, connection: Any) -> Iterator[Hands]:
    """What makes the hand of another worker."""
    made: list[Hand] = []

    def make(worker: str, queues: tuple[QueueName, ...] = BOTH, on: Settings = settings) -> Hand:
        made.append(Hand(connect(on), on, worker=worker, queues=queues))
        return made[-1]

    yield make
    for hand in made:
        hand.close()


@pytest.fixture
def hand(hands: Hands) -> Hand:
    return hands("w")


def names(count: int, prefix: str = "r") -> list[str]:
    return [f"{prefix}{n}" for n in range(count)]


def nothing_left(connection: Any) -> bool:
    """Whether Redis holds nothing but results and signs of life."""
    kept = (RESULT, "evenhand.worker.", "evenhand.swept")
    return not [key for key in connection.keys("*") if not key.decode().startswith(kept)]


def live_long_enough(*living: Hand) -> None:
    """Returns when these workers have given signs of life for as long as others may be silent."""
    until_then = time.monotonic() + 4 * living[0].pause
    while time.monotonic() < until_then:
        for hand in living:
            hand.beat()
        time.sleep(0.1)
    for hand in living:
        hand.beat()


def sweep(hand: Hand, connection: Any) -> int:
    """Sweeps although somebody has just done so."""
    connection.delete("evenhand.swept")
    return hand.sweep()


def test_as_many_are_taken_as_there_is_room_for_in_the_order_of_the_queue(
    hand: Hand, connection: Any
) -> None:
    put(connection, names(5))
    assert hand.take(0, MOST_BYTES) == []
    assert names_of(hand.take(2, MOST_BYTES)) == ["r0", "r1"]
    assert names_of(hand.take(9, MOST_BYTES)) == ["r2", "r3", "r4"]
    assert hand.take(9, MOST_BYTES) == []
    assert connection.hlen("evenhand.hand") == connection.zcard("evenhand.hand.due") == 5


def test_what_is_taken_lies_in_hand_as_it_lay_in_the_queue(hand: Hand, connection: Any) -> None:
    messages = [b"", b"\x00\xff not UTF-8", packed("a").encode(), b"x" * 1_000_000]
    for message in messages:
        connection.lpush(QUEUES["bulk"], message)
    began = connection.time()[0]
    taken = hand.take(9, MOST_BYTES)
    assert [each.raw for each in taken] == messages
    assert {each.queue for each in taken} == {"bulk"}
    tags = [each.tag for each in taken]
    assert tags == [f"w:{n}:bulk" for n in range(1, 5)]
    assert connection.hmget("evenhand.hand", tags) == messages
    for due in connection.zmscore("evenhand.hand.due", tags):
        assert VISIBILITY_SECONDS <= due - began < VISIBILITY_SECONDS + 60


def test_what_is_taken_is_bounded_in_bytes_and_one_is_taken_however_large(
    hand: Hand, connection: Any
) -> None:
    put(connection, names(3), size=1000)
    size = len(connection.lindex(QUEUES["interactive"], 0))
    assert names_of(hand.take(9, 2 * size + 50)) == ["r0", "r1"]
    assert names_of(hand.take(9, 1)) == ["r2"]
    put(connection, ["small"])
    put(connection, ["large"], size=10_000)
    put(connection, ["behind"])
    assert names_of(hand.take(9, 5_000)) == ["small"]
    assert waiting(connection) == [("large", 0), ("behind", 0)]


def test_interactive_goes_first_and_bulk_keeps_every_fourth_place_across_calls(
    hand: Hand, connection: Any
) -> None:
    put(connection, names(7, "i"))
    put(connection, names(4, "b"), "bulk")
    taken = [names_of(hand.take(room, MOST_BYTES)) for room in (2, 1, 3, 9)]
    expected = ["i0", "i1", "i2", "b0", "i3", "i4", "i5", "b1", "i6", "b2", "b3"]
    assert [*itertools.chain(*taken)] == expected


def test_a_worker_takes_from_the_queues_that_it_serves(hands: Hands, connection: Any) -> None:
    put(connection, ["i"])
    put(connection, ["b"], "bulk")
    assert names_of(hands("of bulk", ("bulk",)).take(9, MOST_BYTES)) == ["b"]
    assert names_of(hands("of the other", ("interactive",)).take(9, MOST_BYTES)) == ["i"]


def test_messages_that_celery_gave_a_priority_wait_like_all_others(
    hand: Hand, connection: Any
) -> None:
    put(connection, ["a"])
    for priority in (3, 6, 9):
        connection.lpush(f"{QUEUES['interactive']}\x06\x16{priority}", packed(f"p{priority}"))
    connection.lpush(f"{QUEUES['bulk']}\x06\x169", packed("b9"))
    hand.wait(0)
    assert names_of(hand.take(9, MOST_BYTES)) == ["a", "p3", "p6", "b9", "p9"]


def test_what_is_settled_leaves_its_result_and_nothing_else(hand: Hand, connection: Any) -> None:
    put(connection, names(3))
    hears = connection.pubsub()
    hears.psubscribe(f"{RESULT}*")
    hears.get_message(timeout=1)
    taken = hand.take(9, MOST_BYTES)
    hand.hold([taken[0].tag])
    done = [answered(each, f'"{each.tag}"'.encode()) for each in taken[:2]]
    hand.settle([*done, Settled(taken[2].tag, opened(taken[2].raw).size, None)], expires_seconds=7)
    assert nothing_left(connection)
    assert sorted(connection.keys("*")) == [f"{RESULT}r{n}".encode() for n in range(2)]
    assert connection.get(f"{RESULT}r0") == b'"w:1:interactive"'
    assert 0 < connection.ttl(f"{RESULT}r1") <= 7
    heard = [hears.get_message(timeout=1) for _ in range(2)]
    assert [(each["channel"], each["data"]) for each in heard] == [
        (f"{RESULT}r0".encode(), b'"w:1:interactive"'),
        (f"{RESULT}r1".encode(), b'"w:2:interactive"'),
    ]


def test_a_result_that_cannot_be_written_leaves_its_request_in_hand(
    server: EmbeddedRedis, settings: Settings, hands: Hands, connection: Any
) -> None:
    address = server.url.partition("@")[2]
    limited = settings.model_copy(update={"broker_url": SecretStr(f"redis://u:p@{address}")})
    may = ["on", ">p", "~evenhand.*", "~moderation.*", "resetchannels", "+@all"]
    connection.execute_command("ACL", "SETUSER", "u", "reset", *may)
    hand = hands("w", on=limited)
    put(connection, ["a", "b"])
    done = [answered(each) for each in hand.take(9, MOST_BYTES)]
    with pytest.raises(redis.ResponseError):
        hand.settle(done, expires_seconds=60)
    assert connection.hlen("evenhand.hand") == connection.zcard("evenhand.hand.due") == 2
    connection.execute_command("ACL", "SETUSER", "u", f"~{RESULT}*")  # but it may not publish
    hand.settle(done, expires_seconds=60)
    assert sorted(connection.keys(f"{RESULT}*")) == [f"{RESULT}a".encode(), f"{RESULT}b".encode()]
    assert nothing_left(connection)


def test_results_may_lie_in_another_redis(
    settings: Settings, hands: Hands, connection: Any
) -> None:
    apart = settings.model_copy(
        update={"result_url": SecretStr(f"{settings.broker_url.get_secret_value()[:-1]}5")}
    )
    hand = hands("w", on=apart)
    put(connection, ["a"])
    [taken] = hand.take(9, MOST_BYTES)
    hand.settle([answered(taken)], expires_seconds=60)
    assert nothing_left(connection)
    assert not connection.exists(f"{RESULT}a")
    with connect(settings.model_copy(update={"broker_url": apart.result_url})) as results:
        assert results.get(f"{RESULT}a") == b"{}"


def test_bytes_are_counted_until_each_is_settled_once(hand: Hand, connection: Any) -> None:
    put(connection, ["a", "b"], size=1000)
    connection.lpush(QUEUES["interactive"], packed("uncounted", counted=False))
    taken = hand.take(9, MOST_BYTES)
    sizes = [opened(each.raw).size for each in taken]
    assert sizes[2] == 0
    assert int(connection.get("evenhand.bytes")) == sizes[0] + sizes[1] > 2000
    for _ in range(2):
        hand.settle([answered(taken[0])], expires_seconds=60)
        assert int(connection.get("evenhand.bytes")) == sizes[1]
    hand.settle([answered(taken[2])], expires_seconds=60)
    hand.settle([answered(taken[1])], expires_seconds=60)
    assert nothing_left(connection)


def test_a_count_of_bytes_that_went_wrong_ends_when_nothing_is_left(
    hand: Hand, connection: Any
) -> None:
    for wrong in (b"10000000", b"no number"):
        put(connection, ["a", "b"])
        taken = hand.take(9, MOST_BYTES)
        connection.set("evenhand.bytes", wrong)
        hand.settle([answered(taken[0])], expires_seconds=60)
        hand.settle([answered(taken[1])], expires_seconds=60)
        assert not connection.exists("evenhand.bytes")


def test_what_is_put_back_is_next_as_it_was_and_in_its_order(hand: Hand, connection: Any) -> None:
    put(connection, names(3))
    connection.lpush(QUEUES["interactive"], b"\xff")
    put(connection, ["b0"], "bulk")
    before = [connection.lrange(queue, 0, -1) for queue in QUEUES.values()]
    taken = hand.take(9, MOST_BYTES)
    hand.hold([taken[1].tag])
    hand.put_back([each.tag for each in taken])
    assert [connection.lrange(queue, 0, -1) for queue in QUEUES.values()] == before
    hand.put_back([each.tag for each in taken])  # as when the reply was lost
    assert [connection.lrange(queue, 0, -1) for queue in QUEUES.values()] == before
    for key in ("hand", "hand.due", "hand.held"):
        assert not connection.exists(f"evenhand.{key}")


def test_what_is_postponed_comes_back_changed_when_it_is_due(hand: Hand, connection: Any) -> None:
    put(connection, ["a", "b"])
    first, _ = hand.take(9, MOST_BYTES)
    again = pack_again(opened(first.raw), "interactive", retries=1)
    for _ in range(2):
        hand.postpone(first.tag, again, 0.3)
    put(connection, ["c"])
    assert names_of(hand.take(9, MOST_BYTES)) == ["c"]
    put(connection, ["d"])
    time.sleep(0.35)
    back, behind = hand.take(9, MOST_BYTES)
    assert (opened(back.raw).id, opened(back.raw).retries, opened(behind.raw).id) == ("a", 1, "d")
    assert opened(back.raw).size == opened(first.raw).size
    hand.settle([answered(first)], expires_seconds=60)  # under its former tag
    assert int(connection.get("evenhand.bytes")) > 0


def test_what_is_due_of_a_queue_that_the_worker_does_not_serve_comes_back_too(
    hands: Hands, connection: Any
) -> None:
    hands("of bulk", ("bulk",)).take(9, MOST_BYTES)
    put(connection, ["a"], "bulk")
    of_bulk = hands("w2", ("bulk",))
    [taken] = of_bulk.take(9, MOST_BYTES)
    of_bulk.postpone(taken.tag, packed("a", "bulk"), 0)
    assert hands("of interactive", ("interactive",)).take(9, MOST_BYTES) == []
    assert waiting(connection, "bulk") == [("a", 0)]


def test_a_full_redis_lets_workers_go_on(hands: Hands, hand: Hand, connection: Any) -> None:
    other = hands("other")
    put(connection, names(6), size=1000)
    other.take(1, MOST_BYTES)
    live_long_enough(hand)
    connection.config_set("maxmemory", "1")
    with pytest.raises(redis.ResponseError):
        connection.lpush(QUEUES["bulk"], "x")
    assert hand.sweep() == 1
    taken = hand.take(4, MOST_BYTES)
    assert names_of(taken) == ["r0", "r1", "r2", "r3"]
    hand.hold([taken[0].tag])
    assert hand.begin(taken[0].tag)
    hand.postpone(taken[1].tag, packed("r1"), 0)
    hand.put_back([taken[2].tag])
    hand.settle([answered(taken[0])], expires_seconds=60)
    hand.beat()
    assert connection.get(f"{RESULT}r0") == b"{}"
    assert names_of(hand.take(9, MOST_BYTES)) == ["r1", "r2", "r4", "r5"]


@pytest.mark.parametrize(
    "key",
    ["evenhand.hand", "evenhand.hand.due", "evenhand.later.bulk", QUEUES["bulk"]],
)
def test_a_key_of_another_kind_costs_no_message(key: str, hand: Hand, connection: Any) -> None:
    put(connection, ["a"])
    connection.set(key, "of another kind")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        hand.take(9, MOST_BYTES)
    assert waiting(connection) == [("a", 0)]
    connection.delete(key)
    [taken] = hand.take(9, MOST_BYTES)
    connection.set(QUEUES["bulk"], "of another kind")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        hand.put_back([taken.tag])
    connection.delete(QUEUES["bulk"])
    assert connection.hkeys("evenhand.hand") == [taken.tag.encode()]


@pytest.mark.parametrize("room", [2, 9])
def test_what_was_taken_when_the_reply_was_lost_is_found_again(
    room: int, server: EmbeddedRedis, settings: Settings, hands: Hands, connection: Any
) -> None:
    with LosingProxy(server.url) as losing:
        through = settings.model_copy(update={"broker_url": SecretStr(losing.url)})
        hand = hands("w", on=through)
        put(connection, ["before"])
        hand.take(9, MOST_BYTES)  # so that Redis knows the script
        put(connection, names(3))
        put(connection, ["b"], "bulk")
        losing.marker, losing.times = b"EVALSHA", 1
        with pytest.raises(redis.ConnectionError):
            hand.take(9, MOST_BYTES)
        put(connection, ["new"])
        assert connection.hlen("evenhand.hand") == 5
        found: list[str] = []
        while len(found) < 5:
            found += names_of(hand.take(room, MOST_BYTES))
        assert found == ["r0", "r1", "r2", "b", "new"]
        assert connection.hlen("evenhand.hand") == connection.zcard("evenhand.hand.due") == 6


def test_nothing_in_hand_is_written_over_where_part_of_what_was_lost_went_back(
    hand: Hand, connection: Any
) -> None:
    put(connection, ["a"])
    connection.hset("evenhand.hand", "w:2:interactive", packed("lost"))
    assert [each.tag for each in hand.take(9, MOST_BYTES)] == ["w:1:interactive"]
    assert names_of(hand.take(9, MOST_BYTES)) == ["lost"]
    connection.hset("evenhand.hand", "w:4:interactive", packed("far"))
    put(connection, ["b", "c"])
    assert names_of(hand.take(9, MOST_BYTES)) == ["b", "c"]
    assert opened(connection.hget("evenhand.hand", "w:4:interactive")).id == "far"


def test_many_threads_take_each_message_once(hands: Hands, connection: Any) -> None:
    put(connection, names(400))
    takers = [hands(f"w{n}") for n in range(4)]

    def take(n: int) -> list[str]:
        return names_of(takers[n % 4].take(n % 7, MOST_BYTES))

    with ThreadPoolExecutor(8) as pool:
        taken = [*itertools.chain(*pool.map(take, range(300)))]
    assert sorted(taken) == sorted(names(400))


def test_what_a_dead_worker_had_comes_back_with_strikes_and_what_it_held_without(
    hands: Hands, connection: Any
) -> None:
    dead, living = hands("dead"), hands("living")
    put(connection, ["tried", "held", "twice"])
    put(connection, ["b"], "bulk")
    connection.lpush(QUEUES["bulk"], b"\xff unreadable")
    taken = dead.take(9, MOST_BYTES)
    dead.beat()
    dead.hold([each.tag for each in taken if opened_id(each.raw) in ("held", "twice")])
    assert dead.begin(next(each.tag for each in taken if opened_id(each.raw) == "twice"))
    live_long_enough(living)
    before = int(connection.get("evenhand.bytes"))
    assert sweep(living, connection) == 5
    assert sorted(waiting(connection)) == [("held", 0), ("tried", 3), ("twice", 3)]
    bulk = connection.lrange(QUEUES["bulk"], 0, -1)
    assert {b"\xff unreadable"} < {*bulk}
    assert [opened(raw).strikes for raw in bulk if raw != b"\xff unreadable"] == [3]
    assert int(connection.get("evenhand.bytes")) == before
    assert not connection.exists("evenhand.hand", "evenhand.hand.due", "evenhand.hand.held")
    assert sweep(living, connection) == 0


def opened_id(raw: bytes) -> str:
    return opened(raw).id if raw.startswith(b"{") else ""


def test_what_is_past_its_deadline_in_a_living_hand_comes_back_with_one_strike(
    hands: Hands, connection: Any
) -> None:
    slow, living = hands("slow"), hands("living")
    put(connection, ["late", "held", "in-time"])
    late, held, _ = slow.take(9, MOST_BYTES)
    slow.hold([held.tag])
    live_long_enough(slow, living)
    assert sweep(living, connection) == 0
    connection.zadd("evenhand.hand.due", {late.tag: 1, held.tag: 1})
    assert sweep(living, connection) == 2
    assert sorted(waiting(connection)) == [("held", 0), ("late", 1)]
    assert not slow.begin(held.tag)
    # The slow one answers after all: its result counts, and the other is in its queue still.
    slow.settle([answered(late)], expires_seconds=60)
    assert connection.exists(f"{RESULT}late")
    assert ("late", 1) in waiting(connection)


def test_what_has_begun_late_has_all_its_time_from_then_on(hands: Hands, connection: Any) -> None:
    slow, living = hands("slow"), hands("living")
    put(connection, ["a"])
    [taken] = slow.take(9, MOST_BYTES)
    slow.hold([taken.tag])
    connection.zadd("evenhand.hand.due", {taken.tag: 1})
    assert slow.begin(taken.tag)
    live_long_enough(slow, living)
    assert sweep(living, connection) == 0


def test_strikes_add_up_over_workers(hands: Hands, connection: Any) -> None:
    living = hands("living")
    live_long_enough(living)
    put(connection, ["a"])
    for n in range(1, 4):
        hands(f"dead {n}").take(9, MOST_BYTES)
        living.beat()
        assert sweep(living, connection) == 1
        assert waiting(connection) == [("a", 3 * n)]


def test_nothing_is_swept_before_the_others_could_have_given_a_sign_of_life(
    hands: Hands, connection: Any
) -> None:
    """As after an outage of Redis, in which all signs of life ran out."""
    sweeper = hands("sweeper")
    live_long_enough(sweeper)
    put(connection, ["a"])
    hands("other").take(9, MOST_BYTES)
    connection.delete("evenhand.worker.sweeper")  # while Redis was away
    sweeper.beat()
    assert sweep(sweeper, connection) == 0
    live_long_enough(sweeper)
    assert sweep(sweeper, connection) == 1
    hands("third").take(9, MOST_BYTES)
    time.sleep(4 * sweeper.pause + 0.1)  # as if this process had been stopped for that long
    sweeper.beat()
    assert sweep(sweeper, connection) == 0


def test_a_worker_that_could_not_give_its_sign_of_life_sweeps_nothing_for_a_while(
    server: EmbeddedRedis, settings: Settings, hands: Hands, connection: Any
) -> None:
    with LosingProxy(server.url) as losing:
        through = settings.model_copy(update={"broker_url": SecretStr(losing.url)})
        sweeper = hands("sweeper", on=through)
        live_long_enough(sweeper)
        put(connection, ["a"])
        hands("other").take(9, MOST_BYTES)
        losing.marker, losing.times = b"EVALSHA", 1
        with pytest.raises(redis.ConnectionError):
            sweeper.beat()
        sweeper.beat()
        assert sweep(sweeper, connection) == 0
        live_long_enough(sweeper)
        assert sweep(sweeper, connection) == 1


def test_one_worker_sweeps_at_a_time_and_two_do_no_harm(hands: Hands, connection: Any) -> None:
    sweepers = [hands(f"s{n}") for n in range(4)]
    live_long_enough(*sweepers)
    put(connection, names(50))
    hands("dead").take(99, MOST_BYTES)
    assert [sweeper.sweep() for sweeper in sweepers] == [50, 0, 0, 0]
    hands("dead too").take(99, MOST_BYTES)
    with ThreadPoolExecutor(4) as pool:
        swept = [*pool.map(lambda each: sweep(each, connection), sweepers)]
    assert sum(swept) == 50
    assert sorted(waiting(connection)) == sorted((name, 6) for name in names(50))


@pytest.mark.parametrize("tag", ["no tag", "", "\udcff:1:bulk", "w:1:stolen", "a:b:c:d"])
def test_a_forged_entry_in_a_hand_goes_to_a_queue_of_ours(
    tag: str, hands: Hands, connection: Any
) -> None:
    living = hands("living")
    live_long_enough(living)
    before = {*connection.keys("*")} - {b"evenhand.swept"}
    raw = tag.encode("utf-8", "surrogateescape")
    connection.hset("evenhand.hand", raw, b"garbage")
    assert sweep(living, connection) == 1
    queue = QUEUES["bulk"] if tag.endswith(":bulk") else QUEUES["interactive"]
    assert connection.lrange(queue, 0, -1) == [b"garbage"]
    assert {*connection.keys("*")} - {b"evenhand.swept"} == {*before, queue.encode()}


def test_a_wait_ends_when_something_comes(hand: Hand, connection: Any) -> None:
    began = time.monotonic()
    hand.wait(0.2)
    assert time.monotonic() - began >= 0.2
    for queue in QUEUES:
        with ThreadPoolExecutor(1) as pool:
            waits = pool.submit(hand.wait, 60)
            time.sleep(0.2)
            assert not waits.done()
            put(connection, ["a"], queue)
            waits.result(timeout=10)
        hand.wait(60)  # it is still there
        assert names_of(hand.take(9, MOST_BYTES)) == ["a"]


def test_a_wait_is_not_ended_by_the_queue_of_others(hands: Hands, connection: Any) -> None:
    hand = hands("of bulk", ("bulk",))
    put(connection, ["a"])
    began = time.monotonic()
    hand.wait(0.2)
    assert time.monotonic() - began >= 0.2


def test_a_wait_asks_redis_once(hand: Hand, connection: Any) -> None:
    hand.wait(0)
    connection.config_resetstat()
    hand.wait(1)
    assert connection.info("commandstats")["cmdstat_exists"]["calls"] == 1


def test_a_wait_is_ended_by_any_thread(hand: Hand) -> None:
    hand.wake()
    hand.wait(60)
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(hand.wait, 60)
        time.sleep(0.1)
        hand.wake()
        waits.result(timeout=10)


def test_a_wait_ends_where_its_connection_is_lost_and_the_next_one_works(
    hand: Hand, connection: Any
) -> None:
    for _ in range(2):
        with ThreadPoolExecutor(1) as pool:
            waits = pool.submit(hand.wait, 60)
            until(lambda: [each for each in connection.client_list() if "t" in each["flags"]])
            for each in connection.client_list():
                if "t" in each["flags"]:
                    connection.client_kill_filter(_id=each["id"])
            waits.result(timeout=10)
    hand.wait(0)
    put(connection, ["a"])
    hand.wait(60)


def test_a_redis_that_is_started_again_has_what_was_in_hand(tmp_path: Path) -> None:
    with KeepingRedis(tmp_path) as server:
        settings = load_settings(broker_url=server.url, visibility_timeout_seconds=5)
        hand = Hand(connect(settings), settings, worker="w", queues=BOTH)
        with connect(settings) as connection:
            put(connection, names(3))
            first, second = hand.take(2, MOST_BYTES)
            hand.postpone(second.tag, packed("r1"), 0)
            server.stop()
            server.start()
            hand.settle([answered(first)], expires_seconds=60)
            hand.wait(60)
            assert names_of(hand.take(9, MOST_BYTES)) == ["r1", "r2"]
            assert connection.exists(f"{RESULT}r0")
        hand.close()


def test_a_wait_for_a_redis_that_is_away_says_so() -> None:
    with EmbeddedRedis() as server:
        settings = load_settings(broker_url=server.url)
        hand = Hand(connect(settings), settings, worker="w", queues=BOTH)
        hand.wait(0)
        server.stop()
        with pytest.raises(redis.ConnectionError):
            hand.wait(60)
        server.start()
        hand.wait(0)
        hand.close()


def test_where_redis_does_not_tell_what_changes_it_is_asked(
    server: EmbeddedRedis,
    settings: Settings,
    hands: Hands,
    connection: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    connection.execute_command(
        "ACL", "SETUSER", "u", "on", ">p", "~*", "&*", "+@all", "-client|tracking"
    )
    address = server.url.partition("@")[2]
    limited = settings.model_copy(update={"broker_url": SecretStr(f"redis://u:p@{address}")})
    hand = hands("w", on=limited)
    hand.wait(0.1)
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(hand.wait, 60)
        time.sleep(0.2)
        assert not waits.done()
        put(connection, ["a"])
        waits.result(timeout=10)
        assert names_of(hand.take(9, MOST_BYTES)) == ["a"]
        waits = pool.submit(hand.wait, 60)
        hand.wake()
        waits.result(timeout=10)
    assert caplog.text.count("it is asked often") == 1
