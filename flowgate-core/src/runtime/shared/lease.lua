-- Takes, or gives back, the right to be the only one.
-- KEYS: the lease, changes (stream)
-- ARGV: token, milliseconds (0: give back), until, subject, most changes, who, now (0: the time of
-- the server)
local function tell(until_)
  if redis.call('TYPE', KEYS[2])['ok'] ~= 'stream' then redis.call('DEL', KEYS[2]) end
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], '*', 's', ARGV[4], 'l', until_, 'w', ARGV[6])
end

if redis.call('TYPE', KEYS[1])['ok'] ~= 'string' then redis.call('DEL', KEYS[1]) end
local holder = redis.call('GET', KEYS[1])
local now = tonumber(ARGV[7])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
-- Whoever has it may have ended long ago, by the clock that all of them use.
if holder and (tonumber(string.match(holder, '|(%d+)$') or '') or 0) <= now then
  redis.call('DEL', KEYS[1])
  holder = false
end
local value = ARGV[1] .. '|' .. ARGV[3]
if tonumber(ARGV[2]) == 0 then
  if holder and string.sub(holder, 1, #ARGV[1] + 1) == ARGV[1] .. '|' then
    redis.call('DEL', KEYS[1])
    tell('0')
    return 1
  end
  return 0
end
if redis.call('SET', KEYS[1], value, 'NX', 'PX', ARGV[2]) then
  tell(ARGV[3])
  return 'mine'
end
return { holder, redis.call('PTTL', KEYS[1]) }
