-- Takes a slice out of a bucket that many share, or puts back what is left of one.
-- KEYS: the bucket (hash)
-- ARGV: now (0: the time of the server), then cap, rate in a millisecond, level or '', wanted
-- for requests, and the same for tokens; a cap of 0: nothing is known
if redis.call('TYPE', KEYS[1])['ok'] ~= 'hash' then redis.call('DEL', KEYS[1]) end
local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local granted = {}
for dim = 0, 1 do
  local cap, rate = tonumber(ARGV[2 + dim * 4]), tonumber(ARGV[3 + dim * 4])
  local stated, want = tonumber(ARGV[4 + dim * 4]), tonumber(ARGV[5 + dim * 4])
  local got = 0
  if cap > 0 then
    local level = tonumber(redis.call('HGET', KEYS[1], 'l' .. dim) or '')
    local at = tonumber(redis.call('HGET', KEYS[1], 't' .. dim) or '')
    if level and at and level == level and at <= now then
      level = math.min(cap, level + rate * (now - at))
    elseif not level or level ~= level then
      level = stated or (want > 0 and cap or 0)
    end
    -- What headers state is what is left for all. It is believed if it is less.
    if stated then level = math.min(level, math.max(stated, 0)) end
    if want > 0 then
      got = math.max(0, math.min(want, level))
    else
      got = math.max(want, level - cap)
    end
    level = level - got
    redis.call('HSET', KEYS[1], 'l' .. dim, string.format('%.6f', level), 't' .. dim, string.format('%.0f', now))
  end
  granted[dim + 1] = string.format('%.6f', got)
end
redis.call('PEXPIRE', KEYS[1], 86400000)
return granted
