-- Records how attempts ended.
-- ARGV: time, owner, then for each: delivery and event, route, token, outcome ('d' done, 'r' retry, 'x' dead,
-- 'c' discarded, 'l' released), in how many ms to retry, error, whether this is said again because no answer came.
-- Answers for each: 1 (recorded), 0 (the job is no longer this attempt's).
local now = now_ms()
local now_text = int(now)
local owner = ARGV[2]
local OUTCOMES = { r = 'retry', x = 'dead', c = 'discarded' }
local STATES = { r = RETRYING, x = DEAD, c = DISCARDED }

local fields = {}
for at = 3, #ARGV, 7 do fields[#fields + 1] = ARGV[at] .. ':' .. ARGV[at + 1] end
local found = get_all(prefix .. 'jobs', fields)
local texts = {}
for i = 1, #fields do texts[fields[i]] = found[i] end

local answers, settled, failing, mended, waiting = {}, {}, {}, {}, {}

local function waits(set, due, member)
  local queue = waiting[set]
  if not queue then
    queue = {}
    waiting[set] = queue
  end
  queue[#queue + 1] = due
  queue[#queue + 1] = member
end

local changed = {}
for i, key in ipairs(fields) do
  local at = 3 + 7 * (i - 1)
  local member, route, token, outcome = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local job = texts[key] and read_job(texts[key])
  if not job or job.token ~= token then
    answers[i] = 0
  elseif job.state ~= RUNNING or job.owner ~= owner then
    answers[i] = ARGV[at + 6] == '1' and job.state ~= RUNNING and 1 or 0
  else
    answers[i] = 1
    settled[#settled + 1] = key
    if outcome == 'l' then
      waits(release_job(job, now_text) .. route, now_text, member)
    else
      if outcome == 'd' then
        if job.attempts > 1 or job.err ~= '' then mended[#mended + 1] = key end
        job.state, job.due, job.finished, job.err = DONE, '-', now_text, ''
      else
        job.state, job.due, job.finished, job.err = STATES[outcome], '-', now_text, ARGV[at + 5]
        record_attempt(key, job, now_text, OUTCOMES[outcome], job.err)
        failing[#failing + 1] = 0
        failing[#failing + 1] = key
        if outcome == 'r' then
          job.due, job.finished = int(now + ARGV[at + 4]), '-'
          waits('ready:' .. route, job.due, member)
        end
      end
      job.suspect, job.owner = '0', '-'
      count_job(RUNNING, job.state)
    end
    texts[key] = write_job(job)
    changed[#changed + 1] = key
    changed[#changed + 1] = texts[key]
  end
end

call_all('HSET', prefix .. 'jobs', changed)
call_all('ZREM', prefix .. 'leases', settled)
call_all('ZADD', prefix .. 'failing', failing)
call_all('ZREM', prefix .. 'failing', mended)
for set, queue in pairs(waiting) do call_all('ZADD', prefix .. set, queue) end
save_counts()
return answers
