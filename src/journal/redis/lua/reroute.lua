-- Replaces what is known of a delivery, and queues the jobs that it has now and did not have, unless it has changed
-- since the caller read it.
-- ARGV: time, id, what stood in front of the body, what shall stand there, by how many more events are unrouted, whether
-- any is, whether it was quarantined, then for each new job: number of its event, route, id.
-- Answers: 1 (done), 0 (it has changed).
local id, before, after = ARGV[2], ARGV[3], ARGV[4]
local bundle = bundle_of(id)
if not bundle or read_delivery(id, bundle, #before) ~= before then return 0 end
local key = prefix .. 'bundle:' .. bundle
redis.call('SET', key, rebundle(redis.call('GET', key), function(other, delivery)
  return other == id and after .. string.sub(delivery, #before + 1) or delivery
end))
if ARGV[6] == '1' then
  redis.call('ZADD', prefix .. 'odd', 0, id)
else
  redis.call('ZREM', prefix .. 'odd', id)
end
count('unrouted', tonumber(ARGV[5]))
if ARGV[7] == '1' then
  count('quarantined', -1)
  count('accepted', 1)
end

local now = int(now_ms())
local new_job = '0 0 0 0 ' .. now .. ' - - 0 - - '
local jobs, job_ids = {}, {}
for at = 8, #ARGV, 3 do
  local member, route = id .. ARGV[at], ARGV[at + 1]
  jobs[#jobs + 1] = member .. ':' .. route
  jobs[#jobs + 1] = new_job
  job_ids[#job_ids + 1] = ARGV[at + 2]
  job_ids[#job_ids + 1] = id
  redis.call('ZADD', prefix .. 'ready:' .. route, now, member)
  count_job(nil, QUEUED)
end
call_all('HSET', prefix .. 'jobs', jobs)
call_all('HSET', prefix .. 'jobids', job_ids)
save_counts()
if #jobs > 0 then wake() end
return 1
