"""A simulated worker: its line processes, their decoders, one encoder, Redis, the log and hosts.

Each part takes a core for what was measured to be its milliseconds an image. The threads of one
process take turns, as Python lets them; a batch is what waits when its turn comes, over all lines.
Requests never run out. What is not simulated: that cores share caches and memory, that two threads
on one core are slower than two cores, and what a network or a disk takes.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from benchmarks.simulated_time import SLICE, Act, Cores, SimulatedClock, Turns

#: Requests that one line process has in hand, as MODERATION_CONCURRENCY has it.
IN_HAND = 64
CORES, LINES, ENCODER, GPU = "cores", "line processes", "encoder process", "GPU"
DECODERS, MODEL, REDIS, LOG, HOSTS = "decoders", "model", "Redis", "log", "hosts"
REQUESTS, OTHERS = "requests in hand", "other programs"
_LIMITING = 0.9
#: As benchmarks/hosts.py has them.
_MOST_HOSTS, _CORES_A_HOST = 4, 4
_WARM_UP = 1000.0


class Forward(NamedTuple):
    """What the model takes for a batch.

    Attributes:
        least: milliseconds of the smallest batch.
        each: milliseconds an image of a large one.
        most: images in a batch, at most.
        cores: how many it computes on at once; 0 for a GPU, where it takes none.
    """

    least: float
    each: float
    most: int
    cores: int = 0

    def milliseconds(self, images: int) -> float:
        """Returns how long a batch takes that waits for no core."""
        return max(self.least, self.each * images)


class Costs(NamedTuple):
    """Milliseconds of a core an image, unless it says otherwise.

    Attributes:
        decode: of a decoder.
        before: of a line process until the image is decoded, one at a time in each.
        after: of a line process from its features to its answer, one at a time in each.
        taking: of a line process for each batch of requests that it takes.
        answering: of a line process for each batch that it has encoded and answers.
        encoder: of the encoder process beside the model, one at a time; without one, it is nothing.
        question: of the encoder process for each batch that a line sends it, likewise.
        redis: of Redis, one at a time: half when it is taken, half when it is answered.
        log: of writing the answer.
        commit: what a transaction waits for the disk, without a core. It holds all that one line
            has to answer.
        turn: what a transaction takes longer where several lines have to share the log's one turn.
        writers: how many lines write to the log at the same time: one to SQLite.
        hosts: of who submits and collects on this machine.
        forward: of the model.
    """

    decode: float
    before: float
    after: float
    taking: float
    answering: float
    encoder: float
    question: float
    redis: float
    log: float
    commit: float
    hosts: float
    forward: Forward
    turn: float = 0.0
    writers: int = 1


class Outcome(NamedTuple):
    """What a simulated worker did.

    Attributes:
        images_per_second: answered.
        busy: the share of its time that each part computed; of a GPU, the share of what it could
            have done in full batches, since it takes small ones as soon as it rests. The last is
            the log, which does so too, and is the limit only where the others are not.
    """

    images_per_second: float
    busy: dict[str, float]

    @property
    def limit(self) -> str:
        """The part that could do no more; without one, more requests in hand would be faster."""
        return next((part for part, share in self.busy.items() if share >= _LIMITING), REQUESTS)


def simulate(
    costs: Costs, cores: int, lines: int, *, others: float = 0.0, seconds: float = 4.0
) -> Outcome:
    """Returns what a worker of so many line processes does on so many cores.

    Args:
        costs: of an image.
        cores: of the machine.
        lines: of the worker.
        others: how many cores other programs would keep busy if they had them.
        seconds: how long it answers, after a second that does not count.
    """
    worker = _Worker(costs, cores, lines)
    for _ in range(math.ceil(others)):
        worker.disturb(others / math.ceil(others))
    worker.clock.run(_WARM_UP)
    worker.answered, worker.on_disk = 0, 0.0
    worker.cores.spent.clear()
    worker.clock.run(_WARM_UP + 1000 * seconds)
    spent, turns, rate = worker.cores.spent, 1000 * seconds, worker.answered / seconds
    forward = costs.forward
    on_gpu = 0.0 if forward.cores else forward.milliseconds(forward.most) / forward.most
    busy = {
        CORES: sum(spent.values()) / cores / turns,
        LINES: spent[LINES] / lines / turns,
        ENCODER: spent[ENCODER] / turns,
        GPU: rate * on_gpu / 1000,
        REDIS: spent[REDIS] / turns,
        LOG: (spent[LOG] + worker.on_disk) / costs.writers / turns,
    }
    return Outcome(rate, busy)


class _Gathered:
    """A stage that takes all that waits as one batch, and the next once it says that it is done."""

    def __init__(self, most: int, work: Callable[[int, Sequence[Act], Act], None]) -> None:
        self._most, self._work = most, work
        self._waiting: deque[tuple[int, Act]] = deque()
        self._is_busy = False

    def put(self, images: int, then: Act) -> None:
        """Adds some images, which stay together; `then` goes on with them."""
        self._waiting.append((images, then))
        if not self._is_busy:
            self._begin()

    def _begin(self) -> None:
        self._is_busy = bool(self._waiting)
        if not self._is_busy:
            return
        images, then = self._waiting.popleft()
        acts = [then]
        while self._waiting and images + self._waiting[0][0] <= self._most:
            more, then = self._waiting.popleft()
            images += more
            acts.append(then)
        self._work(images, acts, self._begin)


class _Worker:
    """The whole worker, and what it shares: cores, Redis, the log, the encoder."""

    def __init__(self, costs: Costs, cores: int, lines: int) -> None:
        self.costs, self.clock = costs, SimulatedClock()
        self.answered, self.on_disk = 0, 0.0
        self.cores = Cores(self.clock, cores)
        self.redis, self.log, self._encoder = Turns(1), Turns(costs.writers), Turns(1)
        self.hosts = Turns(max(1, min(_MOST_HOSTS, cores // _CORES_A_HOST)))
        self._has_encoder_process = lines > 1
        waits = lines > costs.writers
        self.commit = costs.commit + (costs.turn if waits else 0.0)
        self._batches = _Gathered(costs.forward.most, self._forward)
        for _ in range(lines):
            _Line(self, decoders=-(-cores // lines)).begin()

    def disturb(self, share: float) -> None:
        """Lets another program compute for that share of the time, as far as it finds a core."""
        due = itertools.accumulate(itertools.repeat(SLICE / share))

        def rest() -> None:
            self.clock.after(max(0.0, next(due) - self.clock.now), again)

        def again() -> None:
            self.cores.compute(OTHERS, SLICE, rest)

        again()

    def encode(self, images: int, then: Act) -> None:
        """Goes on once the images of one line are encoded, in a batch with those of others."""
        asked = self.costs.question + images * self.costs.encoder
        milliseconds = asked if self._has_encoder_process else 0.0
        received = lambda: self._batches.put(images, then)  # noqa: E731
        self.cores.compute_alone(self._encoder, ENCODER, milliseconds, received)

    def _forward(self, images: int, acts: Sequence[Act], done: Act) -> None:
        forward = self.costs.forward
        milliseconds, left = forward.milliseconds(images), max(1, forward.cores)

        def end() -> None:
            nonlocal left
            left -= 1
            if not left:
                done()
                for act in acts:
                    act()

        if not forward.cores:
            self.clock.after(milliseconds, end)
        for _ in range(forward.cores):
            self.cores.compute(MODEL, milliseconds, end)


class _Line:
    """A line process and its decoders."""

    def __init__(self, worker: _Worker, decoders: int) -> None:
        self._worker, self._costs, self._compute = worker, worker.costs, worker.cores.compute
        self._alone = worker.cores.compute_alone
        self._lock, self._decoders = Turns(1), Turns(decoders)
        self._intake = _Gathered(IN_HAND, self._take_batch)
        self._encode = _Gathered(worker.costs.forward.most, self._encode_batch)
        self._reply = _Gathered(IN_HAND, self._reply_batch)

    def begin(self) -> None:
        """Takes as many requests as it may have in hand."""
        for _ in range(IN_HAND):
            self._intake.put(1, self._decode)

    def _take_batch(self, images: int, acts: Sequence[Act], done: Act) -> None:
        costs = self._costs

        def read() -> None:
            self._alone(self._lock, LINES, costs.taking + images * costs.before, go_on)

        def go_on() -> None:
            done()
            for act in acts:
                act()

        self._alone(self._worker.redis, REDIS, images * costs.redis / 2, read)

    def _decode(self) -> None:
        decoded = lambda: self._encode.put(1, lambda: None)  # noqa: E731
        self._alone(self._decoders, DECODERS, self._costs.decode, decoded)

    def _encode_batch(self, images: int, _: Sequence[Act], done: Act) -> None:
        def encoded() -> None:
            done()
            decided = lambda: self._reply.put(images, lambda: None)  # noqa: E731
            milliseconds = self._costs.answering + images * self._costs.after
            self._alone(self._lock, LINES, milliseconds, decided)

        self._worker.encode(images, encoded)

    def _reply_batch(self, images: int, _: Sequence[Act], done: Act) -> None:
        costs, worker = self._costs, self._worker

        def commit() -> None:
            worker.on_disk += worker.commit
            worker.clock.after(worker.commit, committed)

        def committed() -> None:
            worker.log.leave()
            self._alone(worker.redis, REDIS, images * costs.redis / 2, answered)

        def answered() -> None:
            worker.answered += images
            self._alone(worker.hosts, HOSTS, images * costs.hosts, lambda: None)
            done()
            for _ in range(images):
                self._intake.put(1, self._decode)

        worker.log.enter(lambda: self._compute(LOG, images * costs.log, commit))
