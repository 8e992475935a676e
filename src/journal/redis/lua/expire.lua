-- Takes jobs back whose lease ran out, a bounded number of them.
-- ARGV: time, owner, after how many crashes a job is dead, whether to take any, up to when the caller believes the time.
-- Answers: time; how many were taken; in how many ms the next lease ends (-1: there is none); which of the caller's own
-- tokens were among them.
local now = now_ms()
local leases = prefix .. 'leases'
local taken, tokens = 0, {}
if ARGV[4] == '1' and now <= tonumber(ARGV[5]) then
  local keys = redis.call('ZRANGEBYSCORE', leases, '-inf', int(now), 'LIMIT', 0, 64)
  local texts = get_all(prefix .. 'jobs', keys)
  for i, key in ipairs(keys) do
    local job = texts[i] and read_job(texts[i])
    if job and job.state == RUNNING then
      if job.owner == ARGV[2] then tokens[#tokens + 1] = job.token end
      crash_job(key, job, int(now), tonumber(ARGV[3]))
    else
      redis.call('ZREM', leases, key)
    end
  end
  taken = #keys
  save_counts()
  if taken > 0 then wake() end
end
local first = redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')
return { int(now), taken, first[2] and math.max(tonumber(first[2]) - now, 0) or -1, tokens }
