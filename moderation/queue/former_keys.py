"""What hosts and workers of former versions leave in Redis, put on the queues as it grows old.

So an upgrade loses nothing if workers are replaced before hosts: a worker of a former version that
is killed while it takes a message loses it, unless a host of that version entered it in a registry.
Workers of former versions note what is in hand in Celery's own way, at first under names that every
Celery app shares: the notes of others are left alone.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any, cast

import redis

from moderation.messages import QUEUES, TASK_NAME, QueueName
from moderation.queue.keys import FORMER
from moderation.queue.packed_message import pack_message
from moderation.queue.scripts import NOW, SENT_AT, STRIKE_OFF_FORMER
from moderation.settings import Settings

log = logging.getLogger(__name__)

#: Notes of what is in hand, and their times: those of kombu, which are also other apps', and ours.
_SHARED, _OWN = ("unacked", "unacked_index"), ("evenhand.unacked", "evenhand.unacked.index")
_ACCEPTED, _, _IN_HAND, *_TIMES = FORMER

#: How many are looked at in one step.
_AT_ONCE = 100
#: Longer than a host takes from entering a request to sending it, in seconds: of two hosts, the one
#: that enters a request first may send it last.
_SENDING_SECONDS = 15
#: Seconds between two looks, at most.
_LONGEST_PAUSE = 30.0

#: Puts notes that are old on their queues, unless they are another app's; returns how many. A note
#: is a list of the message, its exchange and its queue. Keys: notes and their times, both queues.
#: Arguments: seconds after which one is old, how notes of each queue end, tags.
_PUT_BACK_NOTES = f"""
{NOW}
for index = 3, 4 do redis.call('LLEN', KEYS[index]) end
local count = 0
for index = 4, #ARGV do
  local tag = ARGV[index]
  local note = redis.call('HGET', KEYS[1], tag)
  local at = redis.call('ZSCORE', KEYS[2], tag)
  for queue = 1, 2 do
    local ending = ARGV[queue + 1]
    if note and string.sub(note, -string.len(ending)) == ending
      and (not at or at + ARGV[1] < now) then
      redis.call('ZREM', KEYS[2], tag)
      redis.call('RPUSH', KEYS[queue + 2], string.sub(note, 2, -string.len(ending) - 1))
      redis.call('HDEL', KEYS[1], tag)
      count = count + 1
    end
  end
end
return count
"""

#: Returns ids of a queue that were last sent or taken that long ago, and before the next one in the
#: queue was sent: as the queue is in order, they cannot be in it. As one that was put back may be
#: at its head, it returns no more than are entered for the queue and not in it; but at least one,
#: since the rest may wait for ever. A head without a time says nothing. Keys: times, queue.
#: Arguments: seconds, most, seconds that a host takes to send.
_OVERDUE = f"""
{NOW}
{SENT_AT}
local before, most = now - tonumber(ARGV[1]), tonumber(ARGV[2])
local head = redis.call('LINDEX', KEYS[2], -1)
local missing = redis.call('ZCARD', KEYS[1]) - redis.call('LLEN', KEYS[2])
if head then
  local at = sent_at(head)
  if at then before = math.min(before, at - ARGV[3]) else missing = 1 end
end
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. before, 'LIMIT', 0,
  math.max(1, math.min(missing, most)))
"""

#: Strikes a request off, and puts its message on the queue if one is given and it was not struck
#: off before. Keys: the former ones, queue. Arguments: id, message.
_SEND = f"""
{STRIKE_OFF_FORMER}
redis.call('LLEN', KEYS[6])
if strike_off_former(ARGV[1], 1) and ARGV[2] ~= '' then
  redis.call('LPUSH', KEYS[6], ARGV[2])
end
"""


class FormerKeys:
    """One worker's looks for what former versions left; they cost next to nothing without any."""

    def __init__(self, connection: redis.Redis, settings: Settings) -> None:
        self._redis = connection
        self._timeout = settings.visibility_timeout_seconds
        self._pause = min(_LONGEST_PAUSE, self._timeout / 4)
        self._look_at = self._look_at_shared = 0.0
        script = connection.register_script
        self._put_back, self._overdue = script(_PUT_BACK_NOTES), script(_OVERDUE)
        self._send = script(_SEND)

    def take_over(self) -> int:
        """Puts what is older than the visibility timeout on its queue; returns how many.

        It may be called often, and then does nothing most of the time.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        now, count = time.monotonic(), 0
        if now < self._look_at:
            return 0
        self._look_at = now + self._pause
        if now >= self._look_at_shared:  # they may be many, of others
            self._look_at_shared = now + self._timeout
            count += self._take_over_notes(*_SHARED)
        if self._redis.exists(*FORMER, *_OWN):
            count += self._take_over_notes(*_OWN)
            count += sum(self._take_over_entered(queue) for queue in QUEUES)
            if not self._redis.exists(_ACCEPTED, *_OWN):
                self._redis.delete(_IN_HAND)
        if count:
            log.warning("taken over from a former version: %s requests", count)
        return count

    def _take_over_notes(self, notes: str, times: str) -> int:
        """Puts old notes on their queues. Redis looks into them, since they may hold images."""
        endings = [f', "", {json.dumps(queue)}]' for queue in QUEUES.values()]
        tags = [cast(bytes, tag) for tag, _ in self._redis.zscan_iter(times, count=1_000)]
        count = 0
        for start in range(0, len(tags), _AT_ONCE):
            some = tags[start : start + _AT_ONCE]
            keys = [notes, times, *QUEUES.values()]
            count += int(cast(int, self._put_back(keys, [self._timeout, *endings, *some])))
        return count

    def _take_over_entered(self, queue: QueueName) -> int:
        """Sends requests of a registry that are neither waiting nor answered."""
        times = _TIMES[list(QUEUES).index(queue)]
        arguments = [self._timeout, _AT_ONCE, _SENDING_SECONDS]
        names = cast(Any, self._overdue([times, QUEUES[queue]], arguments))
        return sum(self._send_entered(str(name, "utf-8"), queue) for name in names)

    def _send_entered(self, name: str, queue: QueueName) -> bool:
        """Strikes a request off the registry and sends it; whether there was one to send."""
        content = cast(Any, self._redis.hget(_ACCEPTED, name))
        message = ""
        if content:
            try:
                found = json.loads(content)
                message = pack_message(
                    TASK_NAME, name, found["request"], QUEUES[queue], found["sent_at"]
                )
            except (ValueError, KeyError, TypeError):
                log.error("given up: of an unknown version", extra={"request_id": name})
        self._send([*FORMER, QUEUES[queue]], [name, message])
        return bool(message)
