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
-- the list `new:<route>`: the name of its delivery's bundle, a colon, its id, delivery and event. Most jobs wait once and not
-- for long, and this way they take little memory. Whoever changes such a job writes it into the hash, and its delivery
-- into the hash `jobids`; then the list's entry no longer means anything. If the job was given up, the set `void` has its id
-- until its entry's turn comes, as all else of it may be deleted before. The set `routes` has the routes that had a list.
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

-- A command with as many arguments as the list has. Answers what its last call did.
local function call_all(command, key, list)
  local answer
  for from = 1, #list, PIECE do
    answer = redis.call(command, key, unpack(list, from, math.min(from + PIECE - 1, #list)))
  end
  return answer
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
    if by ~= 0 then redis.call('HINCRBY', prefix .. 'stats', name, int(by)) end
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

-- Deliveries that came with one call stand together in a bundle, under `bundle:<name>`: how many they are (2 bytes), for
-- each its id (16) and where it ends among what follows (4), then one delivery behind the other, as `sealed.rs` puts it
-- together. The sorted set `index` has a member for each bundle: the last id in it, the first one, its name. A key and an
-- entry for each delivery would cost more than all else that is stored of it.
local COUNT, ENTRY, ID, SPAN = 2, 20, 16, 32
-- A bundle has so many deliveries at most.
local MOST_IN_BUNDLE = 64
-- All in a bundle have ids of the same 64 ms, counted from 1970. So what may hold an id is found near it.
local REACH = 64

-- When a delivery was received, by its id: a UUIDv7 begins with the milliseconds.
local function received_at(id)
  return (struct.unpack('>I6', id))
end

-- Whether one id comes before another. Lua would compare texts as the server's locale has it.
local function is_before(id, other)
  local a, b, c = struct.unpack('>I6I6I4', id)
  local d, e, f = struct.unpack('>I6I6I4', other)
  return a < d or a == d and (b < e or b == e and c < f)
end

-- Where the reach of an id begins, and where it ends: no bundle that holds it has a member of the index elsewhere.
local function reach_of(id)
  local number = math.floor(received_at(id) / REACH)
  return struct.pack('>I6', number * REACH), struct.pack('>I6', (number + 1) * REACH)
end

-- What stands in front of a bundle's deliveries, as it was before this script wrote anything. Empty without a bundle.
local fronts = {}

local function front_of(bundle)
  local front = fronts[bundle]
  if not front then
    front = redis.call('GETRANGE', prefix .. 'bundle:' .. bundle, 0, COUNT + ENTRY * MOST_IN_BUNDLE - 1)
    local length = #front >= COUNT and COUNT + ENTRY * struct.unpack('>I2', front) or 0
    front = length <= #front and string.sub(front, 1, length) or ''
    fronts[bundle] = front
  end
  return front
end

-- The ids in a bundle.
local function ids_of(bundle)
  local front, ids = front_of(bundle), {}
  for at = COUNT + 1, #front, ENTRY do ids[#ids + 1] = string.sub(front, at, at + ID - 1) end
  return ids
end

-- Where an id stands in a front; nothing if it does not.
local function place_of(id, front)
  local at = COUNT
  repeat
    at = string.find(front, id, at + 1, true)
  until not at or (at - COUNT - 1) % ENTRY == 0
  return at
end

-- The members of the index within a reach, as they were before this script wrote anything: `alone` has those of bundles
-- with a single delivery, by its id; `others` has the rest, in order. By where the reach begins, and by each millisecond.
local reaches = {}

local function members_near(id)
  local ms = string.sub(id, 1, 6)
  local near = reaches[ms]
  if near then return near end
  local from, to = reach_of(id)
  near = reaches[from]
  if not near then
    near = { alone = {}, others = {} }
    for _, member in ipairs(redis.call('ZRANGEBYLEX', prefix .. 'index', '[' .. from, '(' .. to)) do
      local last, first = string.sub(member, 1, ID), string.sub(member, ID + 1, SPAN)
      if last == first and not near.alone[last] then
        near.alone[last] = member
      elseif #first == ID then
        near.others[#near.others + 1] = member
      end
    end
    reaches[from] = near
  end
  reaches[ms] = near
  return near
end

-- In which bundle a delivery is, and the bundle's member of the index; nothing if there is no such delivery.
local function bundle_of(id)
  local near = members_near(id)

  -- The name of the bundle, if it has the id.
  local function holds(member)
    local bundle = string.sub(member, SPAN + 1)
    return place_of(id, front_of(bundle)) and bundle
  end

  local member = near.alone[id]
  local bundle = member and holds(member)
  if bundle then return bundle, member end
  for i = #near.others, 1, -1 do
    member = near.others[i]
    if is_before(string.sub(member, 1, ID), id) then return nil end
    bundle = not is_before(id, string.sub(member, ID + 1, SPAN)) and holds(member)
    if bundle then return bundle, member end
  end
end

-- Up to so many bytes of a delivery, from its beginning. The bundle may be known. Nothing if there is no such delivery.
local function read_delivery(id, bundle, at_most)
  bundle = bundle or bundle_of(id)
  local front = bundle and front_of(bundle)
  local at = front and place_of(id, front)
  if not at then return nil end
  local first = at > COUNT + 1 and struct.unpack('>I4', front, at - 4) or 0
  local last = struct.unpack('>I4', front, at + ID) - 1
  if at_most then last = math.min(last, first + at_most - 1) end
  return redis.call('GETRANGE', prefix .. 'bundle:' .. bundle, #front + first, #front + last)
end

-- The hash `dedupe` has by what deliveries are recognised. Where a sender's id decides alone, the field is the claim (16 bytes);
-- else it is the claim and what was said (32). The value: the delivery's id (16), until when it is known by this, `f` if an
-- equal body stands in for an id. A claim with others that say different things has their number, too: behind its own
-- value and a `+`, or alone.

-- What stands under a claim: its own value or '', and the number of the others.
local function split_claim(value)
  if not value then return '', 0 end
  if #value <= ID then return '', tonumber(value) end
  local until_ms, others = string.match(value, '^(%d+)%+?(%d*)$', ID + 1)
  return string.sub(value, 1, ID) .. until_ms, tonumber(others) or 0
end

-- The same put together again; nothing if nothing is left.
local function join_claim(alone, others)
  if others == 0 then return alone ~= '' and alone or nil end
  return alone .. (alone ~= '' and '+' or '') .. int(others)
end

-- A bundle without some of its deliveries, or with others in their place: `change` is told an id, what stands there and its
-- place, and answers what shall stand there, or nothing. Nothing if none is left.
local function rebundle(text, change)
  local count = struct.unpack('>I2', text)
  local before, first, last = COUNT + ENTRY * count, 0, 0
  local front, deliveries = {}, {}
  for i = 1, count do
    local id, ends = struct.unpack('>c16I4', text, COUNT + 1 + ENTRY * (i - 1))
    local delivery = change(id, string.sub(text, before + first + 1, before + ends), i)
    first = ends
    if delivery then
      last = last + #delivery
      front[#front + 1] = struct.pack('>c16I4', id, last)
      deliveries[#deliveries + 1] = delivery
    end
  end
  return #front > 0 and struct.pack('>I2', #front) .. table.concat(front) .. table.concat(deliveries) or nil
end

-- What stands in front of a delivery's headers: its first line and its meta data. Nothing if there is no such delivery.
local function read_head(id, bundle)
  bundle = bundle or bundle_of(id)
  local text = bundle and read_delivery(id, bundle, 1024) or ''
  local first_line, meta = string.match(text, '^(%d %d+ %-?%d+ (%d+) %d+\n)')
  if not first_line then return nil end
  local length = #first_line + meta
  if length > #text then text = read_delivery(id, bundle, length) end
  return string.sub(text, 1, length)
end
