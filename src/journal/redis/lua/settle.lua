-- Records how attempts ended.
-- ARGV: time, owner, then for each: delivery and event, route, token, outcome ('d' done, 'r' retry, 'x' dead,
-- 'c' discarded, 'l' released), in how many ms to retry, error, whether this is said again because no answer came.
-- Answers for each: 1 (recorded), 0 (the job is no longer this attempt's).
local now = now_ms()
local now_text = int(now)
local owner = ARGV[2]
local OUTCOMES = { r = 'retry', x = 'dead', c = 'discarded' }
local STATES = { r = RETRYING, x = DEAD, c = DISCARDED }

local fields, total = {}, 0
for at = 3, #ARGV, 7 do
  total = total + 1
  fields[total] = ARGV[at] .. ':' .. ARGV[at + 1]
end
local found = get_all(prefix .. 'jobs', fields)
local texts = {}
for i = 1, total do texts[fields[i]] = found[i] end

local answers, settled, failing, mended, waiting = {}, {}, {}, {}, {}
-- Whether something can be claimed again at once. Who gives it back may be about to end, and then only others can.
local ready = false

local function waits(set, due, member)
  local queue = waiting[set]
  if not queue then
    queue = {}
    waiting[set] = queue
  end
  queue[#queue + 1] = due
  queue[#queue + 1] = member
end

local done = 0

-- What a job is when it is done; nothing if it is not this attempt's, or has failed before and takes the longer way. Most
-- end like this, and so it is not taken apart further than it has to be.
local function done_at_once(text, token)
  local tail = ' ' .. owner .. ' ' .. token .. ' '
  if string.sub(text, -#tail) ~= tail then return nil end
  local counts, started = string.match(text, '^1 (1 %d+ %d+) %S+ (%S+)')
  if not counts then return nil end
  done = done + 1
  return DONE .. ' ' .. counts .. ' - ' .. started .. ' ' .. now_text .. ' 0 - ' .. token .. ' '
end

local changed, settled_count = {}, 0
for i = 1, total do
  local key = fields[i]
  local at = 3 + 7 * (i - 1)
  local token, outcome = ARGV[at + 2], ARGV[at + 3]
  local text, after = texts[key], nil
  if text and outcome == 'd' then after = done_at_once(text, token) end
  if not after then
    local member, route = ARGV[at], ARGV[at + 1]
    local job = text and read_job(text)
    if not job or job.token ~= token then
      answers[i] = 0
    elseif job.state ~= RUNNING or job.owner ~= owner then
      answers[i] = ARGV[at + 6] == '1' and job.state ~= RUNNING and 1 or 0
    else
      if outcome == 'd' then
        if job.err ~= '' or job.attempts ~= '1' then mended[#mended + 1] = key end
        job.state, job.due, job.finished, job.suspect, job.owner, job.err = DONE, '-', now_text, '0', '-', ''
        done = done + 1
      elseif outcome == 'l' then
        waits(release_job(job, now_text) .. route, now_text, member)
        ready = true
      else
        job.state, job.due, job.finished, job.err = STATES[outcome], '-', now_text, ARGV[at + 5]
        record_attempt(key, job, now_text, OUTCOMES[outcome], job.err)
        failing[#failing + 1] = '0'
        failing[#failing + 1] = key
        if outcome == 'r' then
          job.due, job.finished = int(now + ARGV[at + 4]), '-'
          waits('ready:' .. route, job.due, member)
          ready = ready or ARGV[at + 4] == '0'
        end
        job.suspect, job.owner = '0', '-'
        count_job(RUNNING, job.state)
      end
      after = write_job(job)
    end
  end
  if after then
    answers[i], texts[key] = 1, after
    settled_count = settled_count + 1
    settled[settled_count] = key
    changed[2 * settled_count - 1], changed[2 * settled_count] = key, after
  end
end

if done > 0 then count_job(RUNNING, DONE, done) end
call_all('HSET', prefix .. 'jobs', changed)
call_all('ZREM', prefix .. 'leases', settled)
call_all('ZADD', prefix .. 'failing', failing)
call_all('ZREM', prefix .. 'failing', mended)
for set, queue in pairs(waiting) do call_all('ZADD', prefix .. set, queue) end
save_counts()
if ready then wake() end
return answers
