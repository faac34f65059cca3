-- Joins facts into those that are known, and tells everybody about those that changed.
-- KEYS: facts (hash), their ends (sorted set), changes (stream), turns (sorted set)
-- ARGV: milliseconds to keep a fact, most changes, who tells, then subject, fact, subject, fact …
local function read(text)
  local fact = {}
  if type(text) ~= 'string' then return nil end
  for number in string.gmatch(text .. ':', '(%d*):') do
    if number == '' or #number > 16 then return nil end
    fact[#fact + 1] = tonumber(number)
  end
  if #fact ~= 7 or not string.match(text, '^[%d:]+$') then return nil end
  return fact
end

local function join(a, b)
  if a[1] ~= b[1] then return a[1] > b[1] and a or b end
  local longer = a
  if b[2] > a[2] or (b[2] == a[2] and b[3] > a[3]) then longer = b end
  return { a[1], longer[2], longer[3], math.max(a[4], b[4]), math.max(a[5], b[5]), math.max(a[6], b[6]),
    math.max(a[7], b[7]) }
end

local function write(fact)
  return string.format('%.0f:%.0f:%.0f:%.0f:%.0f:%.0f:%.0f', unpack(fact))
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local keep = tonumber(ARGV[1])
for _, key in ipairs(KEYS) do
  -- Whoever put something else there has broken it: it is made anew.
  local kind = redis.call('TYPE', key)['ok']
  if kind ~= 'none' and kind ~= ({ 'hash', 'zset', 'stream', 'zset' })[_] then redis.call('DEL', key) end
end
local changed = 0
for place = 4, #ARGV, 2 do
  local subject, text = ARGV[place], ARGV[place + 1]
  local told = read(text)
  if told then
    local old = redis.call('HGET', KEYS[1], subject)
    local known = read(old)
    local joined = known and join(known, told) or told
    local new = write(joined)
    redis.call('ZADD', KEYS[2], math.max(now, joined[2]) + keep, subject)
    if new ~= old then
      local first = redis.call('HSET', KEYS[1], subject, new) == 1 and redis.call('HLEN', KEYS[1]) == 1
      if first then
        -- A short hash is a list, which is searched from end to end: a long value makes it a table, which
        -- it stays.
        redis.call('HSET', KEYS[1], '', string.rep(' ', 4096))
        redis.call('HDEL', KEYS[1], '')
      end
      redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[2], '*', 's', subject, 'f', new, 'w', ARGV[3])
      changed = changed + 1
      -- Who serves again has its turn: strict choices had put it off.
      if joined[2] == 0 and string.sub(subject, 1, 2) == 'a\31' then
        redis.call('ZADD', KEYS[4], 'XX', 'LT', '0', string.sub(subject, 3))
      end
    end
  end
end
-- A few of those whose time is over go each time, so that the whole never grows without end.
for _, subject in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 4)) do
  redis.call('ZREM', KEYS[2], subject)
  redis.call('HDEL', KEYS[1], subject)
end
-- 32 days is the longest rest there is.
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, 2764800000 + keep) end
return changed
