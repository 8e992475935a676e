-- Queues jobs again, as far as they are still in the state that the caller saw.
-- ARGV: time, then for each: delivery and event, route, state.
-- Answers: how many were queued.
local now = int(now_ms())
local fields = {}
for at = 2, #ARGV, 3 do fields[#fields + 1] = ARGV[at] .. ':' .. ARGV[at + 1] end
local texts = get_all(prefix .. 'jobs', fields)

local changed, queued = {}, 0
for i, key in ipairs(fields) do
  local at = 2 + 3 * (i - 1)
  local member, route, seen = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local job = texts[i] and read_job(texts[i])
  if job and job.state == seen and seen ~= QUEUED and seen ~= RUNNING then
    -- The job tells of its last success only until it is reset; a failure is in the history already.
    if seen == DONE then record_attempt(key, job, job.finished, 'done', '') end
    changed[#changed + 1] = key
    changed[#changed + 1] = write_job({
      state = QUEUED, attempts = 0, crashes = 0, replays = job.replays + 1, due = now, started = '-', finished = '-',
      suspect = '0', owner = '-', token = '-', err = '',
    })
    redis.call('ZREM', prefix .. 'failing', key)
    redis.call('ZREM', prefix .. 'suspects:' .. route, member)
    redis.call('ZADD', prefix .. 'ready:' .. route, now, member)
    count_job(seen, QUEUED)
    queued = queued + 1
  end
end
call_all('HSET', prefix .. 'jobs', changed)
save_counts()
if queued > 0 then wake() end
return queued
