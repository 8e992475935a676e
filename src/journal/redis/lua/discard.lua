-- Gives up a job that waits, or is dead.
-- ARGV: time, delivery and event, route, why, id.
-- Answers: the state in which it was.
local member, route = ARGV[2], ARGV[3]
local key = member .. ':' .. route
local known = redis.call('HGET', prefix .. 'jobs', key)
local job = read_job(known or NEW_JOB)
local before = job.state
if before == QUEUED or before == RETRYING or before == DEAD then
  job.state, job.due, job.suspect, job.finished = DISCARDED, '-', '0', int(now_ms())
  if job.err == '' then job.err = ARGV[4] end
  redis.call('HSET', prefix .. 'jobs', key, write_job(job))
  if not known then
    redis.call('HSET', prefix .. 'jobids', ARGV[5], string.sub(member, 1, 16))
    redis.call('SADD', prefix .. 'void', ARGV[5])
  end
  redis.call('ZREM', prefix .. 'ready:' .. route, member)
  redis.call('ZREM', prefix .. 'suspects:' .. route, member)
  redis.call('ZADD', prefix .. 'failing', 0, key)
  count_job(before, DISCARDED)
  save_counts()
end
return before
