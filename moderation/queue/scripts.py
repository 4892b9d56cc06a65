"""What Redis runs for us in one step, in Lua; a comment says what keys and arguments each takes.

A full Redis refuses a script at its first command that may take memory, unless the script has
written already. So those that make room, or move what is there, write first with a command that
takes none: they also work on a full Redis. A key of the wrong type ends a script where it is. So
each key is read before anything is taken out of another.
"""

from __future__ import annotations

from moderation.messages.queues import BULK_TURN

#: What kombu has between the name of a queue and a priority, in the name of a list.
PRIORITY = "\x06\x16"
#: The priorities that have a list of their own; all others are the queue itself.
PRIORITIES = (3, 6, 9)

#: The time by the clock of Redis.
NOW = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1e6
"""

#: When a message was sent, as it says itself: Unix seconds as text, nil if it does not say. The
#: body is base64, so no text in it can be mistaken for that, and it is not parsed. Ours have the
#: rest at their end.
SENT_AT = """
local function sent_at(message)
  local text = string.sub(message, -2000)
  local place = string.find(text, '"sent_at"', 1, true)
  if not place then
    text = message
    place = string.find(text, '"sent_at"', 1, true)
  end
  local digits = place and string.match(text, '^"sent_at"%s*:%s*([-+.%deE]+)', place)
  local number = digits and tonumber(digits)
  if number and math.abs(number) < 1e12 then return digits end
end
"""

#: Moves what is due from `later` to the head of its queue, and what a host of Celery's gave a
#: priority to its end; then what there is room for from the queues to the hand, interactive first,
#: with bulk's turn. What an earlier call took from the same number on, whose reply was lost, is
#: found again. Returns the next number, for how many places bulk has waited, and tag and message of
#: each. Keys: hand, due, later and queue of interactive, of bulk. Arguments: worker, number, room,
#: most bytes, seconds until it is due, for how many places bulk has waited, whether interactive and
#: bulk are served.
TAKE = f"""
{NOW}
local number, room, most = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local deadline, passed = now + tonumber(ARGV[5]), tonumber(ARGV[6])
local taken, count, bytes = {{0, 0}}, 0, 0
local names, queues, left = {{'interactive', 'bulk'}}, {{KEYS[4], KEYS[6]}}, {{}}
redis.call('ZCARD', KEYS[2])

local function tag(name) return string.format('%s:%d:%s', ARGV[1], number, name) end
local function keep(name, message)
  table.insert(taken, tag(name))
  table.insert(taken, message)
  redis.call('ZADD', KEYS[2], deadline, tag(name))
  count, bytes, number = count + 1, bytes + string.len(message), number + 1
end

local function find_again()
  for _, name in ipairs(names) do
    local message = redis.call('HGET', KEYS[1], tag(name))
    if message then
      redis.call('ZREM', KEYS[2], tag(name))
      keep(name, message)
      return true
    end
  end
end
while count < room and bytes < most and find_again() do end

for index, later in ipairs({{KEYS[3], KEYS[5]}}) do
  left[index] = redis.call('LLEN', queues[index])
  for _ = 1, 100 do
    local due = redis.call('ZRANGEBYSCORE', later, '-inf', now, 'LIMIT', 0, 1)[1]
    if not due then break end
    redis.call('ZREM', later, due)
    left[index] = redis.call('RPUSH', queues[index], due)
  end
  for _, priority in ipairs({{{", ".join(map(str, PRIORITIES))}}}) do
    for _ = 1, 100 do
      local message = redis.call('RPOP', queues[index] .. '{PRIORITY}' .. priority)
      if not message then break end
      left[index] = redis.call('LPUSH', queues[index], message)
    end
  end
  if count > 0 or ARGV[6 + index] == '0' then left[index] = 0 end
end

while count < room do
  local turn = 1
  if left[2] > 0 and (left[1] == 0 or passed >= {BULK_TURN - 1}) then turn = 2 end
  if left[turn] == 0 then break end
  local message = redis.call('RPOP', queues[turn])
  if count > 0 and bytes + string.len(message) > most then
    redis.call('RPUSH', queues[turn], message)
    break
  end
  passed = turn == 1 and left[2] > 0 and passed + 1 or 0
  left[turn] = left[turn] - 1
  while redis.call('HSETNX', KEYS[1], tag(names[turn]), message) == 0 do number = number + 1 end
  keep(names[turn], message)
end
taken[1], taken[2] = number, passed
return taken
"""

#: The key of the queue of a tag; needs those of both.
_QUEUE_OF = """
local function queue_of(tag, interactive, bulk)
  return string.match(tag, ':bulk$') and bulk or interactive
end
"""

#: Strikes a request off among those that hosts of a former version entered; returns whether it was
#: there. The place of the first of the former keys is given.
STRIKE_OFF_FORMER = """
local function strike_off_former(id, first)
  local size = redis.call('HSTRLEN', KEYS[first], id)
  for index = first + 3, first + 4 do redis.call('ZREM', KEYS[index], id) end
  redis.call('HDEL', KEYS[first], id)
  redis.call('HDEL', KEYS[first + 2], id)
  if size > 0 and redis.call('DECRBY', KEYS[first + 1], size) <= 0 then
    redis.call('DEL', KEYS[first + 1])
  end
  return size > 0
end
"""

#: Writes the results of what is answered, and strikes it off. Who may not publish a result still
#: writes it: hosts look for it. Keys: hand, due, held, bytes, later and
#: queue of interactive, of bulk, and those of a former version. Arguments: how long a result is
#: kept (s), what begins its key; then of each tag, size, result's key and value, empty if none.
SETTLE = f"""
{STRIKE_OFF_FORMER}
local freed, former = 0, redis.call('EXISTS', KEYS[9]) == 1
for index = 3, #ARGV, 4 do
  local tag, key, value = ARGV[index], ARGV[index + 2], ARGV[index + 3]
  redis.call('SREM', KEYS[3], tag)
  if value ~= '' then
    redis.call('SETEX', key, ARGV[1], value)
    redis.pcall('PUBLISH', key, value)
  end
end
for index = 3, #ARGV, 4 do
  local tag, size, key = ARGV[index], ARGV[index + 1], ARGV[index + 2]
  redis.call('ZREM', KEYS[2], tag)
  if redis.call('HDEL', KEYS[1], tag) == 1 then freed = freed + tonumber(size) end
  if former and key ~= '' then strike_off_former(string.sub(key, string.len(ARGV[2]) + 1), 9) end
end
if freed > 0 then
  local left = redis.pcall('DECRBY', KEYS[4], freed)
  if type(left) ~= 'number' or left <= 0 then redis.call('DEL', KEYS[4]) end
end
if redis.call('HLEN', KEYS[1]) == 0
  and redis.call('ZCARD', KEYS[5]) + redis.call('ZCARD', KEYS[7]) == 0
  and redis.call('LLEN', KEYS[6]) + redis.call('LLEN', KEYS[8]) == 0
then redis.call('DEL', KEYS[4]) end
"""

#: Puts what is in hand back to the head of its queue, the last one first. Keys: hand, due, held,
#: both queues. Arguments: tags.
PUT_BACK = f"""
{_QUEUE_OF}
for index = 4, 5 do redis.call('LLEN', KEYS[index]) end
for index = #ARGV, 1, -1 do
  local tag = ARGV[index]
  local message = redis.call('HGET', KEYS[1], tag)
  if message then
    redis.call('SREM', KEYS[3], tag)
    redis.call('ZREM', KEYS[2], tag)
    redis.call('RPUSH', queue_of(tag, KEYS[4], KEYS[5]), message)
    redis.call('HDEL', KEYS[1], tag)
  end
end
"""

#: Replaces what is in hand by a message that comes later. Keys: hand, due, held, later. Arguments:
#: tag, message, seconds.
POSTPONE = f"""
{NOW}
redis.call('ZCARD', KEYS[4])
redis.call('SREM', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('HDEL', KEYS[1], ARGV[1]) == 1 then
  redis.call('ZADD', KEYS[4], now + tonumber(ARGV[3]), ARGV[2])
end
"""

#: Notes what is in hand as not begun. Keys: hand, held. Arguments: tags.
HOLD = """
for _, tag in ipairs(ARGV) do
  redis.call('SREM', KEYS[2], tag)
  if redis.call('HEXISTS', KEYS[1], tag) == 1 then redis.call('SADD', KEYS[2], tag) end
end
"""

#: Notes what is in hand as begun now; 0 if it is not in hand any more. Keys: hand, due, held.
#: Arguments: tag, seconds until it is due.
BEGIN = f"""
{NOW}
redis.call('SREM', KEYS[3], ARGV[1])
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[2]), ARGV[1])
return 1
"""

#: Keeps the key of a worker for some time; returns whether it was still there. Key: of a worker.
#: Argument: milliseconds.
BEAT = """
local there = redis.call('PEXPIRE', KEYS[1], ARGV[1])
if there == 0 then redis.call('SET', KEYS[1], '1', 'PX', ARGV[1]) end
return there
"""

#: Whether what has a tag is to go back: its worker is dead, or it is past its deadline.
_LEFT = """
local function left(tag, worker_lives, due)
  local at = redis.call('ZSCORE', due, tag)
  return not worker_lives or not at or tonumber(at) < now
end
"""

#: Returns tag, size and strikes of what workers left in hand; nothing where another worker has just
#: looked. Keys: hand, due, held, swept. Arguments: milliseconds for which nobody else need look,
#: what begins the keys of workers, most that are returned.
LEFT_BEHIND = f"""
{NOW}
{_LEFT}
if redis.call('PTTL', KEYS[4]) > 0 then return {{}} end
redis.call('DEL', KEYS[4])
redis.call('SET', KEYS[4], '1', 'PX', ARGV[1])
local lives, found = {{}}, {{}}
for _, tag in ipairs(redis.call('HKEYS', KEYS[1])) do
  local worker = string.match(tag, '^[^:]*')
  if lives[worker] == nil then lives[worker] = redis.call('EXISTS', ARGV[2] .. worker) == 1 end
  if left(tag, lives[worker], KEYS[2]) then
    local held = redis.call('SISMEMBER', KEYS[3], tag) == 1
    table.insert(found, tag)
    table.insert(found, redis.call('HSTRLEN', KEYS[1], tag))
    table.insert(found, held and 0 or lives[worker] and 1 or 3)
    if #found >= 3 * tonumber(ARGV[3]) then break end
  end
end
return found
"""

#: Puts back what a worker left, if that still holds, as the message that is given, or as it was if
#: that is empty: 1 if it did. Keys: hand, due, held, both queues, worker. Arguments: tag, message.
RETURN = f"""
{NOW}
{_LEFT}
{_QUEUE_OF}
local message = redis.call('HGET', KEYS[1], ARGV[1])
if not message then return 0 end
for index = 4, 5 do redis.call('LLEN', KEYS[index]) end
if not left(ARGV[1], redis.call('EXISTS', KEYS[6]) == 1, KEYS[2]) then return 0 end
redis.call('SREM', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if ARGV[2] ~= '' then message = ARGV[2] end
redis.call('RPUSH', queue_of(ARGV[1], KEYS[4], KEYS[5]), message)
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
"""

#: Returns the time (seconds and microseconds), how many are in hand or come later, and for each
#: queue how many wait and when the next one was sent. Keys: hand, later of both, queues.
LOOK = f"""
{SENT_AT}
local now = redis.call('TIME')
local in_hand = redis.call('HLEN', KEYS[1]) + redis.call('ZCARD', KEYS[2])
  + redis.call('ZCARD', KEYS[3])
local found = {{now[1], now[2], in_hand}}
for index = 4, #KEYS do
  local head = redis.call('LINDEX', KEYS[index], -1)
  table.insert(found, redis.call('LLEN', KEYS[index]))
  table.insert(found, head and sent_at(head) or false)
end
return found
"""
