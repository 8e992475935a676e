-- Takes back what earlier processes of a host left running, among one page of the leases.
-- ARGV: time, owner, after how many crashes a job is dead, where the page begins.
-- Answers: how many leases the page has, how many of them were taken back.
local PAGE = 250
local from = tonumber(ARGV[4])
local host = string.match(ARGV[2], '^.*/')
local keys = redis.call('ZRANGE', prefix .. 'leases', from, from + PAGE - 1)
local texts = get_all(prefix .. 'jobs', keys)
local now = int(now_ms())
local taken = 0
for i, key in ipairs(keys) do
  local job = texts[i] and read_job(texts[i])
  if job and job.state == RUNNING and job.owner ~= ARGV[2] and string.sub(job.owner, 1, #host) == host then
    crash_job(key, job, now, tonumber(ARGV[3]))
    taken = taken + 1
  end
end
save_counts()
if taken > 0 then wake() end
return { #keys, taken }
