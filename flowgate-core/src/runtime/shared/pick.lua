-- Whose turn it is: the account that has waited longest of those that do not rest.
-- KEYS: turns (sorted set, by microseconds), permits (sorted set), number, facts (hash), changes
-- ARGV: now in milliseconds (0: the time of the server), milliseconds of a permit, of a probe,
-- model, who, prefix of leases, most changes, token, milliseconds between canaries, then the
-- accounts that may not serve
local now = tonumber(ARGV[1])
local micros = now * 1000
if now == 0 then
  local time = redis.call('TIME')
  micros = time[1] * 1000000 + time[2]
  now = math.floor(micros / 1000)
end
-- Turns of one millisecond are told apart by their number where no finer time is known.
local upto = tonumber(ARGV[1]) == 0 and micros or micros + 999
local excluded = {}
for place = 10, #ARGV do excluded[ARGV[place]] = true end

-- Permits of which nothing was heard come back, a few each time.
for _, permit in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 4)) do
  redis.call('ZREM', KEYS[2], permit)
end

-- Until when a subject rests, whether it rested, and its epoch.
local function rests(subject)
  local fact = redis.call('HGET', KEYS[4], subject)
  if not fact then return 0, false, '0' end
  local epoch, till, failed = string.match(fact, '^(%d+):(%d+):%d+:%d+:%d+:(%d+):%d+$')
  till = tonumber(till) or 0
  return till, till > 0, epoch or '0', tonumber(failed) or 0
end

local function lease(subject)
  local key = ARGV[6] .. subject
  local till = string.format('%.0f', now + tonumber(ARGV[3]))
  local holder = redis.call('GET', key)
  if holder and (tonumber(string.match(holder, '|(%d+)$') or '') or 0) <= now then redis.call('DEL', key) end
  if redis.call('SET', key, ARGV[8] .. '|' .. till, 'NX', 'PX', ARGV[3]) then
    redis.call('XADD', KEYS[5], 'MAXLEN', '~', ARGV[7], '*', 's', subject, 'l', till, 'w', ARGV[5])
    return true
  end
  return false
end

local from = 0
local soonest = nil
while from < 256 do
  local turns = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', upto, 'LIMIT', from, 16)
  if #turns == 0 then break end
  local moved = 0
  for _, account in ipairs(turns) do
    if not excluded[account] then
      local whole, model = 'a\31' .. account, ARGV[4] ~= '' and 'm\31' .. account .. '\31' .. ARGV[4] or nil
      local till, tries, epoch, failed = rests(whole)
      local again = till
      if till > now and till - failed > tonumber(ARGV[9]) then
        -- A long rest lets a canary through from time to time.
        local gone = tonumber(redis.call('GET', ARGV[6] .. 'k\31' .. account) or '')
        again = math.min(till, math.max(gone or 0, failed + tonumber(ARGV[9])))
      end
      local of_model, tries_model = 0, false
      if model then of_model, tries_model = rests(model) end
      if again > now then
        -- Not looked at again before it is over.
        redis.call('ZADD', KEYS[1], 'GT', string.format('%.0f', again * 1000), account)
        moved = moved + 1
        soonest = math.min(soonest or again, again)
      elseif of_model > now then
        soonest = math.min(soonest or of_model, of_model)
      elseif tries and not lease(whole) then
        soonest = math.min(soonest or math.huge, now + tonumber(ARGV[3]))
      elseif tries_model and not lease(model) then
        if tries then redis.call('DEL', ARGV[6] .. whole) end
        soonest = math.min(soonest or math.huge, now + tonumber(ARGV[3]))
      else
        if till > now then
          local due = string.format('%.0f', now + tonumber(ARGV[9]))
          redis.call('SET', ARGV[6] .. 'k\31' .. account, due, 'PX', ARGV[9])
        end
        local number = redis.call('INCR', KEYS[3])
        local permit = account .. '|' .. epoch .. '|' .. number
        redis.call('ZADD', KEYS[1], string.format('%.0f', tonumber(ARGV[1]) == 0 and micros or micros + number % 1000), account)
        redis.call('ZADD', KEYS[2], now + tonumber(ARGV[2]), permit)
        return { account, permit, tries and 1 or 0, tries_model and 1 or 0, string.format('%.0f', now + tonumber(ARGV[3])) }
      end
    end
  end
  from = from + 16 - moved
end
local next_turn = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', upto), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
if next_turn then soonest = math.min(soonest or math.huge, math.ceil(tonumber(next_turn) / 1000)) end
return string.format('%.0f', soonest or 0)
