-- Extends leases to a full one from now. ARGV: time, owner, lease in ms, then for each: job, token.
-- Answers for each: 1 (extended), 0 (lost).
local lease_end = int(now_ms() + ARGV[3])
local fields = {}
for at = 4, #ARGV, 2 do fields[#fields + 1] = ARGV[at] end
local texts = get_all(prefix .. 'jobs', fields)
local answers, leases = {}, {}
for i, key in ipairs(fields) do
  local job = texts[i] and read_job(texts[i])
  local ours = job and job.state == RUNNING and job.owner == ARGV[2] and job.token == ARGV[4 + 2 * i - 1]
  answers[i] = ours and 1 or 0
  if ours then
    leases[#leases + 1] = lease_end
    leases[#leases + 1] = key
  end
end
call_all('ZADD', prefix .. 'leases', leases)
return answers
