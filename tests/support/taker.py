"""A worker process without answers: it takes from a real queue, and does what chance says.

It settles what it takes, puts it back, or tries it later, until it is told to end or killed. Who
has a message notes so beside the queue; two that have one at once are written down.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from typing import Any

from moderation.messages import QUEUES
from moderation.queue.celery_app import connect
from moderation.queue.hand import Hand, Taken
from moderation.queue.packed_message import pack_again
from moderation.settings import load_settings
from tests.support.queued_messages import MOST_BYTES, answered, opened

#: Beside the queue: ids that somebody has, to who; lines of what must not be; whether to end.
HOLDERS, WRONG, END = "test.holders", "test.wrong", "test.end"


class Taker:
    """One such worker."""

    def __init__(self, worker: str) -> None:
        settings = load_settings()
        self.worker = worker
        self.redis: Any = connect(settings)
        self.hand = Hand(self.redis, settings, worker=worker, queues=[*QUEUES])
        self.chance = random.Random(worker)

    def live(self) -> None:
        """Gives signs of life, and sweeps."""
        while True:
            self.hand.beat()
            self.hand.sweep()
            time.sleep(self.hand.pause)

    def work(self) -> None:
        """Takes until it is told to end."""
        threading.Thread(target=self.live, daemon=True).start()
        while not self.redis.exists(END):
            taken = self.hand.take(self.chance.randint(1, 8), MOST_BYTES)
            if not taken:
                self.hand.wait(0.1)
            for each in taken:
                self.note(each)
            time.sleep(self.chance.random() / 20)
            for each in taken:
                self.finish(each)

    def note(self, taken: Taken) -> None:
        """Notes what this worker has."""
        name = opened(taken.raw).id
        before = self.redis.hget(HOLDERS, name)
        self.redis.hset(HOLDERS, name, self.worker)
        other = (before or b"").decode()
        if other and self.redis.exists(f"evenhand.worker.{other}"):
            self.redis.rpush(WRONG, f"{self.worker} and {other} have {name}")

    def finish(self, taken: Taken) -> None:
        """Has a message no longer."""
        envelope, what = opened(taken.raw), self.chance.random()
        self.redis.hdel(HOLDERS, envelope.id)
        if what < 0.2:
            self.hand.put_back([taken.tag])
        elif what < 0.4:
            message = pack_again(envelope, taken.queue, retries=envelope.retries + 1)
            self.hand.postpone(taken.tag, message, self.chance.random() / 10)
        else:
            self.hand.settle([answered(taken, b"%d" % envelope.strikes)], expires_seconds=3600)


if __name__ == "__main__":
    Taker(sys.argv[1]).work()
