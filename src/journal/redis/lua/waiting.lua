-- Looks for a job that was never claimed among those of a route that wait, from the newest on: what is claimed meanwhile
-- moves none of those that were not looked at.
-- ARGV: time, id, route, how many were looked at, how many to look at.
-- Answers: its delivery (nothing: it is not among these), how many wait.
local id, looked_at, count = ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5])
local entries = redis.call('LRANGE', prefix .. 'new:' .. ARGV[3], -looked_at - count, -looked_at - 1)
for i = 1, #entries do
  local colon = string.find(entries[i], ':', 1, true)
  if string.sub(entries[i], colon + 1, colon + 16) == id then
    return { string.sub(entries[i], colon + 17, colon + 32), 0 }
  end
end
return { false, redis.call('LLEN', prefix .. 'new:' .. ARGV[3]) }
