-- Moves the sweep's other hand over the next dedupe keys: one is kept for its window, and as long as its delivery is.
-- ARGV: time, how many to look at, about.
-- Answers: how many were deleted; whether both hands have come round.
local now = now_ms()
local hands, key = prefix .. 'sweep', prefix .. 'dedupe'
local place, rests, other_rests = unpack(redis.call('HMGET', hands, 'key', 'key_rests', 'delivery_rests'))
local deleted = 0

-- What a claim is to be from now on; nothing if nothing is left.
local function put(claim, value)
  if value then redis.call('HSET', key, claim, value) else redis.call('HDEL', key, claim) end
end

-- Forgets what stands in a field for itself. It may have changed since the page was read.
local function forget(field)
  local value = redis.call('HGET', key, field)
  if not value or #value <= ID then return end
  deleted = deleted + 1
  if #field == ID then
    local _, others = split_claim(value)
    return put(field, join_claim('', others))
  end
  redis.call('HDEL', key, field)
  if string.sub(value, -1) == 'f' then return end
  local claim = string.sub(field, 1, ID)
  local alone, others = split_claim(redis.call('HGET', key, claim))
  put(claim, join_claim(alone, math.max(others - 1, 0)))
end

if not rests then
  local found = redis.call('HSCAN', key, place or '0', 'COUNT', ARGV[2])
  local entries = found[2]
  for i = 1, #entries, 2 do
    local until_ms = string.match(entries[i + 1], '^%d+', ID + 1)
    if until_ms and tonumber(until_ms) < now and not bundle_of(string.sub(entries[i + 1], 1, ID)) then
      forget(entries[i])
    end
  end
  if found[1] == '0' then
    rests = '1'
    redis.call('HDEL', hands, 'key')
    redis.call('HSET', hands, 'key_rests', 1)
  else
    redis.call('HSET', hands, 'key', found[1])
  end
end
return { deleted, rests and other_rests and 1 or 0 }
