-- Puts jobs back that were claimed by a call whose answer never came, among one page of the leases.
-- ARGV: time, owner, numbers of the first and of the last token of the call, where the page begins.
-- Answers: how many leases the page has, how many of the jobs were put back.
local PAGE = 250
-- The call may still be on its way. For longer than that it is not.
local GIVEN_UP_SECONDS = 3600
local key = prefix .. 'given-up:' .. ARGV[2]
local given_up = redis.call('GET', key)
-- A later call that was given up stays so.
if not given_up or tonumber(given_up) <= tonumber(ARGV[4]) then
  redis.call('SET', key, ARGV[4], 'EX', GIVEN_UP_SECONDS)
end
local first, last, from = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local keys = redis.call('ZRANGE', prefix .. 'leases', from, from + PAGE - 1)
local texts = get_all(prefix .. 'jobs', keys)
local now = int(now_ms())
local put_back = 0
for i, key in ipairs(keys) do
  local job = texts[i] and read_job(texts[i])
  if job and job.state == RUNNING and job.owner == ARGV[2] then
    local token = math.floor(tonumber(job.token) / 256)
    if token >= first and token <= last then
      local id, event, route = split_job(key)
      redis.call('ZADD', prefix .. release_job(job, now) .. route, now, id .. event)
      redis.call('HSET', prefix .. 'jobs', key, write_job(job))
      redis.call('ZREM', prefix .. 'leases', key)
      put_back = put_back + 1
    end
  end
end
save_counts()
if put_back > 0 then wake() end
return { #keys, put_back }
