-- What every script begins with. KEYS[1] is the prefix of the lane's keys, ARGV[1] the time in Unix milliseconds, or
-- nothing: then it is the server's own.
local prefix = KEYS[1]

local function now_ms()
  if ARGV[1] ~= '' then return tonumber(ARGV[1]) end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Lua writes large numbers as 1.7e+12 by itself.
local function int(number)
  return string.format('%.0f', number)
end

-- A job's states, as everywhere.
local QUEUED, RUNNING, RETRYING, DONE, DEAD, DISCARDED = '0', '1', '2', '3', '4', '5'

-- A job as it stands in the hash `jobs`:
--   state attempts crashes replays due started finished suspect owner token error
-- Numbers are decimal, `-` stands for none. The error comes last and may hold anything; it is empty if there is none.
-- A job that was never claimed nor touched is not there: it is queued, due since its delivery was received, and waits in
-- the list `new:<route>`. Most jobs wait once and not for long, and this way they take little memory. Whoever changes
-- such a job writes it into the hash; then the list's entry no longer means anything.
-- suspect: 1 if a process died while it ran (2: it runs alone because of that). The owner is that of a running job; the
-- token stays after an attempt has settled, so that a settle that is repeated is recognised.
local NEW_JOB = '0 0 0 0 - - - 0 - - '
local JOB = '^(%d) (%d+) (%d+) (%d+) (%S+) (%S+) (%S+) (%d) (%S+) (%S+) (.*)$'

-- Its numbers stay texts: to make numbers of them, and texts of these again, is much of what a job would cost.
local function read_job(text)
  local state, attempts, crashes, replays, due, started, finished, suspect, owner, token, err = string.match(text, JOB)
  return {
    state = state, attempts = attempts, crashes = crashes, replays = replays, due = due, started = started,
    finished = finished, suspect = suspect, owner = owner, token = token, err = err,
  }
end

local function write_job(job)
  return job.state .. ' ' .. job.attempts .. ' ' .. job.crashes .. ' ' .. job.replays .. ' ' .. job.due .. ' '
    .. job.started .. ' ' .. job.finished .. ' ' .. job.suspect .. ' ' .. job.owner .. ' ' .. job.token .. ' ' .. job.err
end

-- Lua can't pass any number of arguments at once, so long lists go in pieces of an even length.
local PIECE = 500

-- A command with as many arguments as the list has.
local function call_all(command, key, list)
  for from = 1, #list, PIECE do
    redis.call(command, key, unpack(list, from, math.min(from + PIECE - 1, #list)))
  end
end

-- The values of these fields of a hash, in a list; false for what is not there.
local function get_all(key, fields)
  if #fields <= PIECE then
    return #fields == 0 and {} or redis.call('HMGET', key, unpack(fields))
  end
  local values = {}
  for from = 1, #fields, PIECE do
    local some = redis.call('HMGET', key, unpack(fields, from, math.min(from + PIECE - 1, #fields)))
    for i = 1, #some do values[#values + 1] = some[i] end
  end
  return values
end

-- Counters are summed up and written at the end.
local counts = {}

local function count(name, by)
  counts[name] = (counts[name] or 0) + by
end

-- Jobs are counted by state; one of them goes from one state to another, or so many.
local job_counts = {}

local function count_job(from, to, jobs)
  if from then job_counts[from] = (job_counts[from] or 0) - (jobs or 1) end
  if to then job_counts[to] = (job_counts[to] or 0) + (jobs or 1) end
end

local function save_counts()
  for state, by in pairs(job_counts) do count('j' .. state, by) end
  for name, by in pairs(counts) do
    if by ~= 0 then redis.call('HINCRBY', prefix .. 'stats', name, by) end
  end
end

-- A job's delivery, the number of its event, and its route.
local function split_job(key)
  local event, route = string.match(key, '^(%d+):(.*)$', 17)
  return string.sub(key, 1, 16), event, route
end

-- Writes the attempt that a job tells of into the history.
local function record_attempt(key, job, finished, outcome, err)
  if job.started == '-' then return end
  local id, event, route = split_job(key)
  redis.call('HSET', prefix .. 'attempts:' .. id,
    event .. ' ' .. route .. ' ' .. job.replays .. ' ' .. job.attempts,
    job.started .. ' ' .. finished .. ' ' .. outcome .. ' ' .. err)
end

-- Takes a running job back whose worker died, or stalled past its lease. `now` is text.
local function crash_job(key, job, now, max_crashes)
  job.crashes = job.crashes + 1
  -- Only a crash in which it ran alone proves that it was this one.
  local guilty = job.crashes >= max_crashes and job.suspect == '2'
  job.err = 'the process died, or stalled past its lease, while the handler ran'
  job.owner, job.token = '-', '-'
  record_attempt(key, job, now, 'crashed', job.err)
  if guilty then
    job.state, job.due, job.finished, job.suspect = DEAD, '-', now, '0'
  else
    job.state, job.due, job.finished, job.suspect = RETRYING, now, '-', '1'
    local id, event, route = split_job(key)
    redis.call('ZADD', prefix .. 'suspects:' .. route, now, id .. event)
  end
  redis.call('HSET', prefix .. 'jobs', key, write_job(job))
  redis.call('ZREM', prefix .. 'leases', key)
  redis.call('ZADD', prefix .. 'failing', 0, key)
  count_job(RUNNING, job.state)
end

-- Changes a running job to what it was before it was claimed: the attempt does not count. Says in which set it waits.
local function release_job(job, now)
  job.state = (job.attempts ~= '1' or job.err ~= '') and RETRYING or QUEUED
  job.attempts, job.due, job.owner = job.attempts - 1, now, '-'
  count_job(RUNNING, job.state)
  if job.suspect == '0' then return 'ready:' end
  job.suspect = '1'
  return 'suspects:'
end

-- Tells other hosts that something is ready in this lane. It comes behind the writes, and they have happened: an error here
-- would deny them. Who may not publish is heard of later, when all hosts look by themselves.
local function wake()
  redis.pcall('PUBLISH', 'doorbell:wake', string.match(prefix, ':(%d+)}'))
end

-- What stands in front of a delivery's headers: its first line and its meta data. Nothing if there is no such delivery.
local function read_head(id)
  local key = prefix .. 'd:' .. id
  local text = redis.call('GETRANGE', key, 0, 1023)
  local first_line, meta = string.match(text, '^(%d %d+ %-?%d+ (%d+) %d+\n)')
  if not first_line then return nil end
  local length = #first_line + meta
  if length > #text then text = redis.call('GETRANGE', key, 0, length - 1) end
  return string.sub(text, 1, length)
end
