-- Whose turn it is: the account that has waited longest of those that do not rest.
-- KEYS: turns (sorted set, by microseconds), number, facts (hash), changes (stream)
-- ARGV: now in milliseconds (0: the time of the server), milliseconds of a probe, model, who, prefix
-- of leases, most changes, token, milliseconds between canaries, then the accounts that may not serve
-- Answers the account; with what was leased for probes: account, whether of the account, whether of the
-- model, until when; or, a number, when somebody has a turn (0: nobody).
local now, upto, turn = tonumber(ARGV[1]), nil, nil
if now > 0 then
  upto = now * 1000 + 999
else
  local time = redis.call('TIME')
  turn = time[1] .. string.format('%06d', time[2])
  upto = tonumber(turn)
  now = math.floor(upto / 1000)
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
local from, count, soonest, later = 0, 1, nil, nil
while from < 256 and not later do
  local turns = redis.call('ZRANGE', KEYS[1], from, from + count - 1, 'WITHSCORES')
  local moved = 0
  for place = 1, #turns, 2 do
    local account, score = turns[place], tonumber(turns[place + 1])
    if score > upto then
      later = score
      break
    end
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
        -- Turns of one millisecond are told apart by their number where no finer time is known.
        turn = turn or string.format('%.0f', now * 1000 + redis.call('INCR', KEYS[2]) % 1000)
        redis.call('ZADD', KEYS[1], turn, account)
        if not (tries or tries_model) then return account end
        return { account, tries and 1 or 0, tries_model and 1 or 0, string.format('%.0f', now + ARGV[2]) }
      end
    end
  end
  if #turns < 2 * count then break end
  from, count = from + count - moved, 16
end
if from >= 256 and not later then
  later = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', upto), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
end
if later then soonest = math.min(soonest or math.huge, math.ceil(tonumber(later) / 1000)) end
return soonest or 0
