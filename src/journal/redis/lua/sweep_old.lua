-- Moves the sweep's hand over the next deliveries in the order of arrival, on behalf of all hosts.
-- ARGV: time, from what age on a delivery may be too old, in ms ('' if none ever is), how many to look at, about, the host,
-- for how long a host that was at it is left to it, in ms.
-- Answers: time; id and head of each delivery passed; whether this host is the one that sweeps the lane. When the hand
-- has come round, it rests until `sweep_round`.
local now = now_ms()
local hands = prefix .. 'sweep'
local passed = {}
local by, at, place, rests = unpack(redis.call('HMGET', hands, 'by', 'at', 'delivery', 'delivery_rests'))
-- A time that lies ahead is from before Redis' clock was set back.
if by and by ~= ARGV[4] and math.abs(now - at) < tonumber(ARGV[5]) then return { int(now), passed, 0 } end
redis.call('HSET', hands, 'by', ARGV[4], 'at', int(now))
if rests then return { int(now), passed, 1 } end

local limit = tonumber(ARGV[3])
local members = {}
if ARGV[2] ~= '' then
  members = redis.call('ZRANGEBYLEX', prefix .. 'index', place and '(' .. place or '-', '+', 'LIMIT', 0, limit)
end

-- Passes the deliveries of a bundle. Says whether all of them may be too old.
local function pass(member)
  local bundle = string.sub(member, SPAN + 1)
  local ids = ids_of(bundle)
  -- It was evicted, or can't be read: it goes when what was in it would have gone.
  if not ids[1] and received_at(member) < now - ARGV[2] then
    redis.call('ZREM', prefix .. 'index', member)
    redis.call('UNLINK', prefix .. 'bundle:' .. bundle)
  end
  for _, id in ipairs(ids) do
    local head = read_head(id, bundle)
    local received = head and tonumber((string.match(head, '^%d %d+ (%-?%d+)')))
    if received then
      if received >= now - ARGV[2] then return false end
      passed[#passed + 1] = id
      passed[#passed + 1] = head
    end
  end
  return true
end

local come_round = #members < limit
for i = 1, #members do
  if not pass(members[i]) then
    come_round = true
    break
  end
  place = members[i]
  if #passed >= 2 * limit then
    come_round = come_round and i == #members
    break
  end
end
if come_round then
  redis.call('HDEL', hands, 'delivery')
  redis.call('HSET', hands, 'delivery_rests', 1)
else
  redis.call('HSET', hands, 'delivery', place)
end
return { int(now), passed, 1 }
