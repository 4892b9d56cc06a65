"""What Redis runs for us in one step, in Lua; a comment says what keys and arguments each takes.

A full Redis refuses a script at its first command that may take memory, unless the script has
written already. So those that make room begin with a command that takes none: they also work on a
full Redis.
"""

from __future__ import annotations

#: When a message was sent, as it says itself: Unix seconds as text, nil if it does not say. The
#: body is base64, so no text in it can be mistaken for that, and it is not parsed.
_SENT_AT = """
local function sent_at(message)
  local place = string.find(message, '"sent_at"', 1, true)
  local text = place and string.match(message, '^"sent_at"%s*:%s*([-+.%deE]+)', place)
  local number = text and tonumber(text)
  if number and math.abs(number) < 1e12 then return text end
end
"""

#: Enters a request unless too many wait, or too much is accepted, and puts its message on the queue
#: if one is given. Returns 1 if it was entered, also by an earlier call whose answer was lost.
#: Keys: accepted, their bytes, their times, queue, withdrawn. Arguments: id, content, most that may
#: wait, most bytes, message.
ACCEPT = """
if ARGV[5] ~= '' and redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return 1 end
if ARGV[5] ~= '' and redis.call('EXISTS', KEYS[5]) == 1 then
  return redis.error_reply('it was withdrawn')
end
if redis.call('LLEN', KEYS[4]) >= tonumber(ARGV[3]) then return 0 end
local more = string.len(ARGV[2]) - redis.call('HSTRLEN', KEYS[1], ARGV[1])
if tonumber(redis.call('GET', KEYS[2]) or 0) + more > tonumber(ARGV[4]) then return -1 end
local now = redis.call('TIME')
redis.call('INCRBY', KEYS[2], more)
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[3], now[1] + now[2] / 1e6, ARGV[1])
if ARGV[5] ~= '' then redis.call('LPUSH', KEYS[4], ARGV[5]) end
return 1
"""

#: Strikes a request off.
_STRIKE_OFF = """
local size = redis.call('HSTRLEN', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
if size > 0 and redis.call('DECRBY', KEYS[2], size) <= 0 then redis.call('DEL', KEYS[2]) end
"""

#: Strikes a request off. Keys: accepted, their bytes, in hand, times of each queue. Argument: id.
SETTLE = f"""
{_STRIKE_OFF}
redis.call('HDEL', KEYS[3], ARGV[1])
for index = 4, #KEYS do redis.call('ZREM', KEYS[index], ARGV[1]) end
"""

#: Takes back a request that may have been entered, and bars it from being entered for some
#: milliseconds, as that call may still be under way. Returns 0 if a worker has it, 1 if it was
#: taken back, 2 if it was not there: it never came, or is final. Keys: as for `ACCEPT`. Arguments:
#: id, message, milliseconds.
WITHDRAW = f"""
local waited = redis.call('LREM', KEYS[4], 1, ARGV[2])
local accepted = redis.call('HEXISTS', KEYS[1], ARGV[1])
if waited == 0 and accepted == 1 then return 0 end
{_STRIKE_OFF}
redis.call('ZREM', KEYS[3], ARGV[1])
if ARGV[3] ~= '0' then redis.call('SET', KEYS[5], '', 'PX', ARGV[3]) end
return waited == 0 and accepted == 0 and 2 or 1
"""

#: Restarts the clock of a request, and puts its message on the queue if one is given. Keys: times,
#: queue. Arguments: id, message.
RENEW = """
local now = redis.call('TIME')
redis.call('ZADD', KEYS[1], 'XX', now[1] + now[2] / 1e6, ARGV[1])
if ARGV[2] ~= '' then redis.call('LPUSH', KEYS[2], ARGV[2]) end
"""

#: Keeps the key of a worker for some time. Key: of a worker. Argument: milliseconds.
BEAT = """
if redis.call('PEXPIRE', KEYS[1], ARGV[1]) == 0 then
  redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
end
"""

#: Notes who takes a request, and restarts its clock. Returns how many of those who had it are dead;
#: of the living who did not come back from it, three count as one. Keys: in hand, times. Arguments:
#: id, worker, how the keys of workers begin.
TAKE = """
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

#: Notes that a worker which took a request lives and no longer has it. Key: in hand. Arguments: id,
#: worker.
GIVE_BACK = """
local takers = cjson.decode(redis.call('HGET', KEYS[1], ARGV[1]) or '[]')
for index, taker in ipairs(takers) do
  if taker == ARGV[2] then table.remove(takers, index) break end
end
redis.call('HDEL', KEYS[1], ARGV[1])
if #takers > 0 then redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(takers)) end
"""

#: Returns requests of a queue that were last sent or taken that long ago, and before the next one
#: in the queue was sent: as the queue is in order, they cannot be in it. As one that was put back
#: may be at its head, it returns no more than are accepted for the queue and not in it; but at
#: least one, since the rest may wait for ever. A head without a time says nothing. Keys: times,
#: queue. Arguments: seconds, most, seconds that a host takes to send.
OVERDUE = f"""
{_SENT_AT}
local now = redis.call('TIME')
local before, most = now[1] + now[2] / 1e6 - tonumber(ARGV[1]), tonumber(ARGV[2])
local head = redis.call('LINDEX', KEYS[2], -1)
local missing = redis.call('ZCARD', KEYS[1]) - redis.call('LLEN', KEYS[2])
if head then
  local at = sent_at(head)
  if at then before = math.min(before, at - ARGV[3]) else missing = 1 end
end
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. before, 'LIMIT', 0,
  math.max(1, math.min(missing, most)))
"""

#: Quarantines a request, and drops the oldest while there are too many bytes: 1 if it fits.
#: Keys: quarantined, their times, their bytes. Arguments: id, content, most bytes.
QUARANTINE = """
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

#: Forgets a request in quarantine. Keys: as for `QUARANTINE`. Argument: id.
FORGET = """
local size = redis.call('HSTRLEN', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('DECRBY', KEYS[3], size)
"""

#: Returns the time (seconds and microseconds), how many are in hand, and for each queue how many
#: wait and when the next one was sent. Keys: in hand, queues.
LOOK = f"""
{_SENT_AT}
local now = redis.call('TIME')
local found = {{now[1], now[2], redis.call('HLEN', KEYS[1])}}
for index = 2, #KEYS do
  local head = redis.call('LINDEX', KEYS[index], -1)
  table.insert(found, redis.call('LLEN', KEYS[index]))
  table.insert(found, head and sent_at(head) or false)
end
return found
"""

#: Moves a note of what a worker has in hand, unless its queue is another's: 1 if it was moved.
#: Keys: notes and their times, from and to. Arguments: tag, how notes of our queues end.
TAKE_OVER = """
local note = redis.call('HGET', KEYS[1], ARGV[1])
for index = 2, #ARGV do
  if note and string.sub(note, -string.len(ARGV[index])) == ARGV[index] then
    local at = redis.call('ZSCORE', KEYS[2], ARGV[1]) or redis.call('TIME')[1]
    redis.call('HSET', KEYS[3], ARGV[1], note)
    redis.call('ZADD', KEYS[4], at, ARGV[1])
    redis.call('HDEL', KEYS[1], ARGV[1])
    redis.call('ZREM', KEYS[2], ARGV[1])
    return 1
  end
end
return 0
"""
