-- Moves the sweep's other hand over the next dedupe keys: one is kept for its window, and as long as its delivery is.
-- ARGV: time, how many to look at, about.
-- Answers: how many were deleted; whether both hands have come round.
local NO_CONTENT = string.rep('\0', 16)
local now = now_ms()
local hands, key = prefix .. 'sweep', prefix .. 'dedupe'
local place, rests, other_rests = unpack(redis.call('HMGET', hands, 'key', 'key_rests', 'delivery_rests'))
local deleted = 0

if not rests then
  local found = redis.call('HSCAN', key, place or '0', 'COUNT', ARGV[2])
  local entries = found[2]
  for i = 1, #entries, 2 do
    local field, value = entries[i], entries[i + 1]
    -- Shorter ones count the keys of one sender's id.
    local until_ms, kind = string.match(value, '^(%d+)(f?)$', 17)
    if #field == 32 and until_ms and tonumber(until_ms) < now
      and not bundle_of(string.sub(value, 1, 16)) then
      redis.call('HDEL', key, field)
      deleted = deleted + 1
      if kind == '' and string.sub(field, 17) ~= NO_CONTENT then
        local claim = string.sub(field, 1, 16)
        if redis.call('HINCRBY', key, claim, -1) <= 0 then redis.call('HDEL', key, claim) end
      end
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
