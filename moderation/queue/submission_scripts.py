"""What Redis runs in one step for who sends requests, in Lua, by the rules of `scripts`."""

from __future__ import annotations

from moderation.queue.scripts import NOW

#: Whether a worker has begun with a request, by its id, which our messages have near their end.
#: Keys: hand, and what comes later of interactive, of bulk.
_BEGUN = """
local function names(message, id) return string.find(string.sub(message, -2000), id, 1, true) end
local function is_begun(id, hand, ...)
  for _, tag in ipairs(redis.call('HKEYS', hand)) do
    if names(redis.call('HGET', hand, tag), id) then return true end
  end
  for _, later in ipairs({...}) do
    for index = 0, redis.call('ZCARD', later) - 1 do
      if names(redis.call('ZRANGE', later, index, index)[1], id) then return true end
    end
  end
  return false
end
"""

#: Refuses what there is no room for: 0 if too many wait, -1 if too many bytes are submitted. Needs
#: the queue, its bytes, the hand, what comes later and the other queue as KEYS from the first.
_REFUSE = """
local function refused(size, most_waiting, most_bytes)
  if redis.call('LLEN', KEYS[1]) >= tonumber(most_waiting) then return 0 end
  local bytes = tonumber(redis.call('GET', KEYS[2]) or 0) or 0
  if bytes + size <= tonumber(most_bytes) then return end
  local empty = redis.call('LLEN', KEYS[1]) + redis.call('LLEN', KEYS[6]) == 0
    and redis.call('ZCARD', KEYS[4]) + redis.call('ZCARD', KEYS[5]) == 0
    and redis.call('HLEN', KEYS[3]) == 0
  if not empty or size > tonumber(most_bytes) then return -1 end
  redis.call('SET', KEYS[2], 0)
end
"""

#: Puts a message on its queue unless there is no room for it; returns 1 if it is there. What may
#: have come already, as the reply was lost, is looked for first. Keys: queue, bytes, hand, later of
#: interactive, of bulk, the other queue, withdrawn. Arguments: message, its size, most that may
#: wait, most bytes, id if it may have come already.
ACCEPT = f"""
{_BEGUN}
{_REFUSE}
if redis.call('EXISTS', KEYS[7]) == 1 then return redis.error_reply('it was withdrawn') end
if ARGV[5] ~= '' and (redis.call('LPOS', KEYS[1], ARGV[1])
  or is_begun(ARGV[5], KEYS[3], KEYS[4], KEYS[5])) then return 1 end
local why = refused(tonumber(ARGV[2]), ARGV[3], ARGV[4])
if why then return why end
redis.call('INCRBY', KEYS[2], ARGV[2])
redis.call('LPUSH', KEYS[1], ARGV[1])
return 1
"""

#: Takes back a message that may have been put on its queue, and bars it from it for some
#: milliseconds, as that call may still be under way. Returns 0 if a worker has begun with it, 1 if
#: it was taken back, 2 if it was not there: it never came, or is answered. Keys: as for `ACCEPT`.
#: Arguments: message, its size, id, milliseconds.
WITHDRAW = f"""
{_BEGUN}
local waited = redis.call('LREM', KEYS[1], 0, ARGV[1])
if waited > 0 and redis.call('DECRBY', KEYS[2], waited * ARGV[2]) <= 0 then
  redis.call('DEL', KEYS[2])
end
if is_begun(ARGV[3], KEYS[3], KEYS[4], KEYS[5]) then return 0 end
redis.call('SET', KEYS[7], '', 'PX', ARGV[4])
return waited > 0 and 1 or 2
"""

#: Enters a message among those that come later, after some seconds, unless there is no room for it;
#: returns 1 if it was entered. Keys: queue, bytes, hand, later of interactive, of bulk, the other
#: queue, the queue's own of the two later. Arguments: message, its size, most that may wait, most
#: bytes, seconds.
ENTER_LATER = f"""
{NOW}
{_REFUSE}
if redis.call('ZSCORE', KEYS[7], ARGV[1]) then return 1 end
local why = refused(tonumber(ARGV[2]), ARGV[3], ARGV[4])
if why then return why end
redis.call('INCRBY', KEYS[2], ARGV[2])
redis.call('ZADD', KEYS[7], now + tonumber(ARGV[5]), ARGV[1])
return 1
"""

#: Lets a message come at once, also one that has come already. Key: later. Argument: message.
MAKE_DUE = f"""
{NOW}
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], now, ARGV[1])
"""

#: Keeps a request in quarantine, and drops the oldest while there are too many bytes: 1 if it fits.
#: Keys: quarantined, their times, their bytes. Arguments: id, content, most bytes.
KEEP = f"""
local most, size = tonumber(ARGV[3]), string.len(ARGV[2])
if size > most then return 0 end
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 1 end
{NOW}
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], now, ARGV[1])
local total = redis.call('INCRBY', KEYS[3], size)
while total > most do
  local oldest = redis.call('ZPOPMIN', KEYS[2])[1]
  if not oldest then redis.call('DEL', KEYS[3]) break end
  total = redis.call('DECRBY', KEYS[3], redis.call('HSTRLEN', KEYS[1], oldest))
  redis.call('HDEL', KEYS[1], oldest)
end
return 1
"""

#: Forgets a request in quarantine. Keys: as for `KEEP`. Argument: id.
FORGET = """
local size = redis.call('HSTRLEN', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('DECRBY', KEYS[3], size) <= 0 then redis.call('DEL', KEYS[3]) end
"""
