"""Whatever workers do, in any order: each message is in one place, the one that a model has it in.

The model is lists in this process. The other side is a real Redis.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import Phase
from hypothesis import settings as how
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run

from moderation.embedded_servers import EmbeddedRedis
from moderation.messages import QUEUES, QueueName
from moderation.messages.queues import BULK_TURN
from moderation.queue.celery_app import connect
from moderation.queue.hand import Hand, Taken
from moderation.queue.packed_message import pack_again
from moderation.settings import Settings, load_settings
from tests.support.queued_messages import answered, opened, put

WORKERS = ("a", "b", "c")
FAR = 1000.0
AnyQueue = st.sampled_from(sorted(QUEUES))


class Workers(RuleBasedStateMachine):
    """Three workers that take, settle, put back, are slow and die, and one that sweeps."""

    settings: Settings
    connection: Any
    sweeper: Hand

    def __init__(self) -> None:
        super().__init__()
        for key in self.connection.keys("*"):
            if key != b"evenhand.worker.sweeper":
                self.connection.delete(key)
        self.count = 0
        self.queues: dict[QueueName, list[str]] = {queue: [] for queue in QUEUES}
        self.later: dict[QueueName, list[tuple[str, float]]] = {queue: [] for queue in QUEUES}
        self.passed: dict[str, int] = {}
        self.names: dict[str, str] = {}
        self.hands = {name: self.new_hand(name) for name in WORKERS}
        #: By tag: what it is, and the strikes that it gets when it is swept, if it is.
        self.taken: dict[str, Taken] = {}
        self.swept_with: dict[str, int] = {}
        self.held: set[str] = set()
        self.gone: list[Taken] = []
        self.strikes: Counter[str] = Counter()
        self.sizes: dict[str, int] = {}

    def new_hand(self, name: str) -> Hand:
        self.count += 1
        self.passed[name] = 0
        self.names[name] = worker = f"{name}{self.count}"
        self.connection.set(f"evenhand.worker.{worker}", 1)
        queues: tuple[QueueName, ...] = ("interactive", "bulk")
        return Hand(self.connection, self.settings, worker=worker, queues=queues)

    def tag(self, data: st.DataObject) -> str:
        return str(data.draw(st.sampled_from(sorted(self.taken)), "tag"))

    @rule(queue=AnyQueue, many=st.integers(1, 6), size=st.sampled_from([0, 500, 5000]))
    def send(self, queue: QueueName, many: int, size: int) -> None:
        names = [f"r{self.count + n}" for n in range(1, many + 1)]
        self.count += many
        put(self.connection, names, queue, size)
        self.queues[queue] += names
        message = self.connection.lindex(QUEUES[queue], 0)
        self.sizes |= dict.fromkeys(names, opened(message).size)

    @rule(
        name=st.sampled_from(WORKERS),
        room=st.integers(0, 6),
        most=st.sampled_from([1, 9000, 10**9]),
    )
    def take(self, name: str, room: int, most: int) -> None:
        found = self.hands[name].take(room, most)
        for queue, later in self.later.items():
            for due in [due for due in later if due[1] != FAR]:
                later.remove(due)
                self.queues[queue].insert(0, due[0])
        for each in found:
            assert self.queues[each.queue].pop(0) == opened(each.raw).id
            assert opened(each.raw).strikes == self.strikes[opened(each.raw).id]
            self.taken[each.tag] = each
        assert len(found) <= room
        size = sum(len(each.raw) for each in found)
        assert size <= most or len(found) == 1
        if most == 10**9:
            left = sum(map(len, self.queues.values()))
            assert len(found) == room or not left
        self.in_turn(name, found)

    def in_turn(self, name: str, found: list[Taken]) -> None:
        """Bulk had each fourth place while both waited, also over several calls, and no other."""
        for index, each in enumerate(found):
            left: dict[QueueName, bool] = {
                queue: bool(self.queues[queue]) or queue in [other.queue for other in found[index:]]
                for queue in QUEUES
            }
            is_bulk = left["bulk"] and (
                not left["interactive"] or self.passed[name] == BULK_TURN - 1
            )
            assert each.queue == ("bulk" if is_bulk else "interactive")
            self.passed[name] = self.passed[name] + 1 if left["bulk"] and not is_bulk else 0

    @precondition(lambda self: self.taken)
    @rule(data=st.data(), stale=st.booleans())
    def settle(self, data: st.DataObject, stale: bool) -> None:
        tag = self.tag(data)
        done = [answered(self.taken.pop(tag))]
        self.held.discard(tag)
        self.swept_with.pop(tag, None)
        done += [answered(each) for each in self.gone if stale]
        self.hands["a"].settle(done, expires_seconds=60)

    @precondition(lambda self: self.taken)
    @rule(data=st.data(), both=st.booleans())
    def put_back(self, data: st.DataObject, both: bool) -> None:
        tags = [self.tag(data)]
        if both and len(self.taken) > 1:
            tags = list(self.taken)[:2]
        self.hands["b"].put_back([*tags, "never:1:taken"])
        for tag in reversed(tags):
            each = self.taken.pop(tag)
            self.held.discard(tag)
            self.swept_with.pop(tag, None)
            self.queues[each.queue].insert(0, opened(each.raw).id)

    @precondition(lambda self: self.taken)
    @rule(data=st.data(), seconds=st.sampled_from([0.0, FAR]))
    def postpone(self, data: st.DataObject, seconds: float) -> None:
        tag = self.tag(data)
        each = self.taken.pop(tag)
        self.held.discard(tag)
        self.swept_with.pop(tag, None)
        self.hands["c"].postpone(tag, pack_again(opened(each.raw), each.queue, retries=1), seconds)
        self.later[each.queue].append((opened(each.raw).id, seconds))

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def hold(self, data: st.DataObject) -> None:
        tag = self.tag(data)
        self.hands["a"].hold([tag, "never:1:taken"])
        self.held.add(tag)

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        tag = self.tag(data)
        assert self.hands["a"].begin(tag)
        self.held.discard(tag)
        if self.swept_with.get(tag) == 1:
            del self.swept_with[tag]

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def be_late(self, data: st.DataObject) -> None:
        tag = self.tag(data)
        self.connection.zadd("evenhand.hand.due", {tag: 1})
        self.swept_with.setdefault(tag, 1)

    @rule(name=st.sampled_from(WORKERS))
    def die(self, name: str) -> None:
        dead, worker = self.hands[name], self.names[name]
        self.hands[name] = self.new_hand(name)
        self.connection.delete(f"evenhand.worker.{worker}")
        dead.close()
        for tag in self.taken:
            if tag.startswith(f"{worker}:"):
                self.swept_with[tag] = 3

    @rule()
    def sweep(self) -> None:
        self.connection.delete("evenhand.swept")
        assert self.sweeper.sweep() == len(self.swept_with)
        back: dict[QueueName, list[str]] = {queue: [] for queue in QUEUES}
        for tag, strikes in self.swept_with.items():
            each = self.taken.pop(tag)
            name = opened(each.raw).id
            back[each.queue].append(name)
            self.strikes[name] += 0 if tag in self.held else strikes
            self.held.discard(tag)
            self.gone.append(each)
        self.swept_with = {}
        for queue, names in back.items():  # in any order among themselves
            found = self.connection.lrange(QUEUES[queue], -len(names), -1) if names else []
            assert sorted(opened(raw).id for raw in found) == sorted(names)
            self.queues[queue][:0] = [opened(raw).id for raw in reversed(found)]

    @invariant()
    def each_is_in_one_place(self) -> None:
        for queue, names in self.queues.items():
            found = reversed(self.connection.lrange(QUEUES[queue], 0, -1))
            assert [(opened(raw).id, opened(raw).strikes) for raw in found] == [
                (name, self.strikes[name]) for name in names
            ]
        in_hand = self.connection.hgetall("evenhand.hand")
        assert in_hand == {tag.encode(): each.raw for tag, each in self.taken.items()}
        assert {*self.connection.zrange("evenhand.hand.due", 0, -1)} == {*in_hand}
        assert self.connection.smembers("evenhand.hand.held") == {*map(str.encode, self.held)}
        for queue, later in self.later.items():
            found = self.connection.zrange(f"evenhand.later.{queue}", 0, -1)
            assert sorted(opened(raw).id for raw in found) == sorted(name for name, _ in later)

    @invariant()
    def bytes_are_of_what_is_not_settled(self) -> None:
        left = [name for names in self.queues.values() for name in names]
        left += [name for later in self.later.values() for name, _ in later]
        left += [opened(each.raw).id for each in self.taken.values()]
        counted = int(self.connection.get("evenhand.bytes") or 0)
        assert counted == sum(self.sizes[name] for name in left)

    def teardown(self) -> None:
        for hand in self.hands.values():
            hand.close()


@pytest.fixture
def sweeper(server: EmbeddedRedis) -> Iterator[None]:
    """One worker that has lived for long enough to sweep, and goes on living."""
    settings = load_settings(broker_url=server.url, visibility_timeout_seconds=5)
    Workers.settings, Workers.connection = settings, connect(settings)
    hand = Hand(connect(settings), settings, worker="sweeper", queues=[])
    Workers.sweeper = hand
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(0.2):
            hand.beat()

    thread = threading.Thread(target=beat)
    thread.start()
    stop.wait(4 * hand.pause + 0.5)
    yield
    stop.set()
    thread.join()
    hand.close()


@pytest.mark.usefixtures("sweeper")
def test_each_message_is_in_the_place_that_the_model_has_it_in() -> None:
    # What it finds is short enough; to make it shorter would take minutes.
    phases = [Phase.explicit, Phase.reuse, Phase.generate]
    run(Workers, settings=how(max_examples=40, stateful_step_count=30, phases=phases))
