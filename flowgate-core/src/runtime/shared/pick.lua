-- Whose turn it is: the account that has waited longest of those that do not rest.
-- KEYS: turns (sorted set, by microseconds), number, facts (hash), changes (stream)
-- ARGV: now in milliseconds (0: the time of the server), milliseconds of a probe, model, who, prefix
-- of leases, most changes, token, milliseconds between canaries, then the accounts that may not serve
local now = tonumber(ARGV[1])
-- Turns of one millisecond are told apart by their number where no finer time is known.
local micros, upto = now * 1000, now * 1000 + 999
local given = now > 0
if not given then
  local time = redis.call('TIME')
  micros = time[1] * 1000000 + time[2]
  now, upto = math.floor(micros / 1000), micros
end

-- Until when a subject rests, whether it rested, and when it failed last.
local function rests(fact)
  if not fact then return 0, false, 0 end
  local till, failed = string.match(fact, '^%d+:(%d+):%d+:%d+:%d+:(%d+):%d+$')
  till = tonumber(till) or 0
  return till, till > 0, tonumber(failed) or 0
end

local function lease(subject)
  local key = ARGV[5] .. subject
  local till = string.format('%.0f', now + ARGV[2])
  local holder = redis.call('GET', key)
  if holder and (tonumber(string.match(holder, '|(%d+)$') or '') or 0) <= now then redis.call('DEL', key) end
  if redis.call('SET', key, ARGV[7] .. '|' .. till, 'NX', 'PX', ARGV[2]) then
    redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[6], '*', 's', subject, 'l', till, 'w', ARGV[4])
    return true
  end
  return false
end

local function is_excluded(account)
  for place = 9, #ARGV do
    if ARGV[place] == account then return true end
  end
  return false
end

-- Mostly the first has it; then a few at a time.
local from, count, soonest = 0, 1, nil
while from < 256 do
  local turns = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', upto, 'LIMIT', from, count)
  local moved = 0
  for _, account in ipairs(turns) do
    if not is_excluded(account) then
      local whole, model, facts = 'a\31' .. account, nil, nil
      if ARGV[3] == '' then
        facts = { redis.call('HGET', KEYS[3], whole), false }
      else
        model = 'm\31' .. account .. '\31' .. ARGV[3]
        facts = redis.call('HMGET', KEYS[3], whole, model)
      end
      local till, tries, failed = rests(facts[1])
      local of_model, tries_model = rests(facts[2])
      local again = till
      if till > now and till - failed > tonumber(ARGV[8]) then
        -- A long rest lets a canary through from time to time.
        local gone = tonumber(redis.call('GET', ARGV[5] .. 'k\31' .. account) or '')
        again = math.min(till, math.max(gone or 0, failed + ARGV[8]))
      end
      if again > now then
        -- Not looked at again before it is over.
        redis.call('ZADD', KEYS[1], 'GT', again * 1000, account)
        moved = moved + 1
        soonest = math.min(soonest or again, again)
      elseif of_model > now then
        soonest = math.min(soonest or of_model, of_model)
      elseif tries and not lease(whole) then
        soonest = math.min(soonest or math.huge, now + ARGV[2])
      elseif tries_model and not lease(model) then
        if tries then redis.call('DEL', ARGV[5] .. whole) end
        soonest = math.min(soonest or math.huge, now + ARGV[2])
      else
        if till > now then
          redis.call('SET', ARGV[5] .. 'k\31' .. account, string.format('%.0f', now + ARGV[8]), 'PX', ARGV[8])
        end
        if given then micros = micros + redis.call('INCR', KEYS[2]) % 1000 end
        redis.call('ZADD', KEYS[1], micros, account)
        return { account, tries and 1 or 0, tries_model and 1 or 0, string.format('%.0f', now + ARGV[2]) }
      end
    end
  end
  if #turns < count then break end
  from, count = from + count - moved, 16
end
local next_turn = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', upto), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
if next_turn then soonest = math.min(soonest or math.huge, math.ceil(tonumber(next_turn) / 1000)) end
return string.format('%.0f', soonest or 0)
