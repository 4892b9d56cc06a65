"""Which requests have been accepted and are not final yet, in Redis beside the queues.

A queue alone forgets: a request that a worker has popped and not yet noted is in no list, and a
worker that dies takes what it held with it. So a host enters each request here first, a worker
strikes it off when its answer is in the decision log, and `recovery` sends again what is neither
waiting nor answered. Each method is one script or transaction, and safe from many threads.

Keys: evenhand.accepted (request id -> what was sent) and .bytes (of all of it),
evenhand.accepted.at.QUEUE (request id -> when it was last sent or taken, by the clock of Redis),
evenhand.in_hand (request id -> the workers that took it and did not give it back),
evenhand.worker.NAME (there while that worker lives), evenhand.quarantined (what `quarantine retry`
sends again).
"""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any, NamedTuple, cast

import redis

from moderation.broker import QUEUES
from moderation.errors import QueueFull

_ACCEPTED_BYTES = "evenhand.accepted.bytes"
_ACCEPTED, _IN_HAND, _WORKER = "evenhand.accepted", "evenhand.in_hand", "evenhand.worker."
_QUARANTINED = "evenhand.quarantined"
_QUARANTINE_KEYS = (_QUARANTINED, f"{_QUARANTINED}.at", f"{_QUARANTINED}.bytes")

#: Enters a request unless too many wait, or too much is accepted: 1 if it was entered.
_ACCEPT = """
if redis.call('LLEN', KEYS[4]) >= tonumber(ARGV[3]) then return 0 end
local more = string.len(ARGV[2]) - redis.call('HSTRLEN', KEYS[1], ARGV[1])
if tonumber(redis.call('GET', KEYS[2]) or 0) + more > tonumber(ARGV[4]) then return -1 end
local now = redis.call('TIME')
redis.call('INCRBY', KEYS[2], more)
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[3], now[1] + now[2] / 1e6, ARGV[1])
return 1
"""

#: Strikes a request off.
_SETTLE = """
local size = redis.call('HSTRLEN', KEYS[1], ARGV[1])
if size > 0 and redis.call('DECRBY', KEYS[2], size) <= 0 then redis.call('DEL', KEYS[2]) end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
for index = 4, #KEYS do redis.call('ZREM', KEYS[index], ARGV[1]) end
"""

#: Notes who takes a request, and starts its clock anew; how many of those who had it are dead. Of
#: the living who did not come back from it three count as one.
_TAKE = """
local now = redis.call('TIME')
redis.call('ZADD', KEYS[2], 'XX', now[1] + now[2] / 1e6, ARGV[1])
local takers, deaths = cjson.decode(redis.call('HGET', KEYS[1], ARGV[1]) or '[]'), 0
for _, taker in ipairs(takers) do
  if taker ~= ARGV[2] and redis.call('EXISTS', ARGV[3] .. taker) == 0 then deaths = deaths + 1 end
end
deaths = math.max(deaths, math.floor(#takers / 3))
table.insert(takers, ARGV[2])
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(takers))
return deaths
"""

#: Notes that one who took a request lives and has it no longer.
_GIVE_BACK = """
local takers = cjson.decode(redis.call('HGET', KEYS[1], ARGV[1]) or '[]')
for index, taker in ipairs(takers) do
  if taker == ARGV[2] then table.remove(takers, index) break end
end
if #takers == 0 then return redis.call('HDEL', KEYS[1], ARGV[1]) end
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(takers))
"""

#: Sets a request aside, at the cost of the oldest where there are too many bytes: 1 if it fits.
_SET_ASIDE = """
local most, size = tonumber(ARGV[3]), string.len(ARGV[2])
if size > most then return 0 end
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 1 end
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], now[1] + now[2] / 1e6, ARGV[1])
local total = redis.call('INCRBY', KEYS[3], size)
while total > most do
  local oldest = redis.call('ZPOPMIN', KEYS[2])[1]
  if not oldest then redis.call('DEL', KEYS[3]) break end
  total = redis.call('DECRBY', KEYS[3], redis.call('HSTRLEN', KEYS[1], oldest))
  redis.call('HDEL', KEYS[1], oldest)
end
return 1
"""

#: Forgets a request that was set aside.
_FORGET = """
local size = redis.call('HSTRLEN', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('DECRBY', KEYS[3], size)
"""

#: Requests of a queue that were last sent or taken so long ago, and before the one that is taken
#: next was sent: the queue is in order, so they cannot be in it. No more than are accepted for it
#: and not in it, since one that was put back may be at its head; but one at least, since what else
#: waits may never end. A head of another make says nothing.
_OVERDUE = """
local now = redis.call('TIME')
local before, most = now[1] + now[2] / 1e6 - tonumber(ARGV[1]), tonumber(ARGV[2])
local head = redis.call('LINDEX', KEYS[2], -1)
local missing = redis.call('ZCARD', KEYS[1]) - redis.call('LLEN', KEYS[2])
if head then
  local sent_at = tonumber(string.match(head, '"sent_at": ?(%d+%.?%d*)') or '')
  if sent_at then before = math.min(before, sent_at - ARGV[3]) else missing = 1 end
end
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. before, 'LIMIT', 0,
  math.max(1, math.min(missing, most)))
"""

#: Longer than any request is tried.
_RETIRED_SECONDS = 7 * 86_400.0

#: Longer than a host takes from entering a request to sending it, in seconds: of two hosts the one
#: that enters first may send last.
_SENDING_SECONDS = 15


class Accepted(NamedTuple):
    """What was accepted: the request as plain JSON, its queue, and when it was sent (Unix)."""

    request: dict[str, Any]
    queue: str
    sent_at: float

    def packed(self) -> str:
        """Returns it as text."""
        return json.dumps(self._asdict())

    @classmethod
    def unpacked(cls, content: bytes) -> Accepted:
        """Returns what `packed` gave.

        Raises:
            ValueError: it is of another version.
        """
        found = json.loads(content)
        try:
            request, queue, sent_at = found["request"], found["queue"], found["sent_at"]
        except (KeyError, TypeError) as error:
            raise ValueError("this is no accepted request") from error
        if queue not in QUEUES:
            raise ValueError(f"there is no queue {queue!r}")
        return cls(request, queue, sent_at)


class Registry:
    """The requests that are not final yet; every method raises redis.RedisError."""

    def __init__(self, connection: redis.Redis) -> None:
        self._redis = connection
        script = connection.register_script
        self._accept, self._take, self._overdue = script(_ACCEPT), script(_TAKE), script(_OVERDUE)
        self._give_back, self._settle = script(_GIVE_BACK), script(_SETTLE)
        self._set_aside, self._forget = script(_SET_ASIDE), script(_FORGET)

    def accept(
        self, request_id: str, accepted: Accepted, *, most_waiting: int, most_bytes: int
    ) -> None:
        """Enters a request that is about to be sent.

        Args:
            request_id: its id.
            accepted: the request.
            most_waiting: requests that may wait in its queue.
            most_bytes: what all requests that are accepted and not final may have together.

        Raises:
            QueueFull: one of the two is exceeded.
        """
        keys = [_ACCEPTED, _ACCEPTED_BYTES, _at(accepted.queue), QUEUES[accepted.queue]]
        entered = self._accept(keys, [request_id, accepted.packed(), most_waiting, most_bytes])
        if entered == 0:
            raise _full(f"{most_waiting} requests wait", accepted.queue, "LENGTH")
        if entered == -1:
            raise _full(f"requests of {most_bytes} bytes are accepted", accepted.queue, "BYTES")

    def take(self, request_id: str, queue: str, worker: str) -> int:
        """Notes that a worker takes a request; returns how many died of it, or might have."""
        arguments = [request_id, worker, _WORKER]
        return int(cast(int, self._take([_IN_HAND, _at(queue)], arguments)))

    def give_back(self, request_id: str, worker: str) -> None:
        """Notes that a worker which took a request lives, and that it will be taken again."""
        self._give_back([_IN_HAND], [request_id, worker])

    def beat(self, worker: str, seconds: float) -> None:
        """Notes that a worker lives, for so long; without a note it is taken for dead."""
        self._redis.set(_WORKER + worker, "1", px=math.ceil(1000 * seconds))

    def retire(self, worker: str) -> None:
        """Notes that a worker ends by itself: what it had in hand was not its death."""
        with suppress(redis.RedisError):  # then it is counted, once
            self.beat(worker, _RETIRED_SECONDS)

    def settle(self, request_id: str) -> None:
        """Strikes off a request that has its final answer, or was not sent after all."""
        keys = [_ACCEPTED, _ACCEPTED_BYTES, _IN_HAND, *map(_at, QUEUES)]
        self._settle(keys, [request_id])

    def overdue(self, queue: str, *, seconds: float, most: int) -> list[str]:
        """Returns ids of requests that nobody sent or took for so long and that cannot be waiting.

        Args:
            queue: which.
            seconds: longer than a worker may have one in hand.
            most: how many are returned, at most.
        """
        keys, arguments = [_at(queue), QUEUES[queue]], [seconds, most, _SENDING_SECONDS]
        return [str(name, "utf-8") for name in cast(Any, self._overdue(keys, arguments))]

    def accepted(self, request_id: str) -> Accepted | None:
        """Returns a request that is accepted and not final; None where it is not.

        Raises:
            ValueError: it is of another version.
        """
        content = cast(Any, self._redis.hget(_ACCEPTED, request_id))
        return Accepted.unpacked(content) if content else None

    def renew(self, request_id: str, queue: str) -> None:
        """Starts the clock of a request anew, which is about to be sent again."""
        seconds, microseconds = cast(Any, self._redis.time())
        now = seconds + microseconds / 1e6
        self._redis.zadd(_at(queue), {request_id: now}, xx=True)

    def count(self) -> int:
        """Returns how many requests are accepted and not final."""
        return self._redis.hlen(_ACCEPTED)

    def set_aside(self, request_id: str, accepted: Accepted, *, most_bytes: int) -> bool:
        """Keeps a request in quarantine; False where it is too large. The oldest go first."""
        arguments: list[str | float] = [request_id, accepted.packed(), most_bytes]
        return bool(self._set_aside(_QUARANTINE_KEYS, arguments))

    def kept(self, request_id: str) -> Accepted | None:
        """Returns a request that was set aside; None where it is not kept any more."""
        content = cast(Any, self._redis.hget(_QUARANTINED, request_id))
        return Accepted.unpacked(content) if content else None

    def forget(self, request_id: str) -> None:
        """Keeps a request that was set aside no longer."""
        self._forget(_QUARANTINE_KEYS, [request_id])


def _at(queue: str) -> str:
    return f"evenhand.accepted.at.{queue}"


def _full(what: str, queue: str, limit: str) -> QueueFull:
    return QueueFull(
        f"{what} already",
        f"queue {queue}",
        "Send it again later, and fewer at a time; the operator: more workers, or "
        f"MODERATION_MAX_QUEUE_{limit}",
    )
