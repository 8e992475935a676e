-- Stores a batch of deliveries and queues their jobs, except for those that are known.
-- ARGV: time, who asks (0: a sender; 1: a relay; 2: a relay that brings nothing, and waits until all before is safe), then
-- for each delivery:
-- id, dedupe key or nothing, what kind of key ('i' an id, 'f' an equal body), its window in ms, state, number of unrouted
-- events, value, number of jobs, and for each job: number of its event, route, id.
-- Answers for each: nothing (new), 'r' (new, but its sender's id was used before), or the id of the original; then the
-- replication id or nothing.
local now = now_ms()
-- Before anything is written: a user who may not ask would else be refused what has been done, and repeat it for ever.
local history = ''
if ARGV[2] ~= '0' then
  history = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or ''
end
local NO_CONTENT = string.rep('\0', 16)

-- A delivery is read where it stands in ARGV: a table for each would cost more than all that is done with it. For the same
-- reason lists are counted, and not asked for their length.
local ID, KEY, KIND, WINDOW, STATE, UNROUTED, VALUE, JOBS, HEAD = 0, 1, 2, 3, 4, 5, 6, 7, 8
local at, last = 3, #ARGV

-- What is known of their keys, and which of them are stored already. A delivery with an id of its sender's is known by that
-- for as long as it is stored.
local fields, field_count, keys, key_count = {}, 0, {}, 0
while at <= last do
  local key, kind = ARGV[at + KEY], ARGV[at + KIND]
  if key ~= '' then
    field_count = field_count + 1
    fields[field_count] = key
  end
  if kind == 'i' then
    field_count = field_count + 1
    fields[field_count] = string.sub(key, 1, 16)
    if string.sub(key, 17) ~= NO_CONTENT then
      field_count = field_count + 1
      fields[field_count] = fields[field_count - 1] .. NO_CONTENT
    end
  else
    key_count = key_count + 1
    keys[key_count] = prefix .. 'd:' .. ARGV[at + ID]
  end
  at = at + HEAD + 3 * ARGV[at + JOBS]
end

local known, changed = {}, {}
local values = get_all(prefix .. 'dedupe', fields)
for i = 1, field_count do known[fields[i]] = values[i] end

local stored, exists = {}, 0
for from = 1, key_count, PIECE do
  exists = exists + redis.call('EXISTS', unpack(keys, from, math.min(from + PIECE - 1, key_count)))
end
if exists > 0 then
  for i = 1, key_count do stored[string.sub(keys[i], -16)] = redis.call('EXISTS', keys[i]) == 1 end
end

local function remember(field, value)
  known[field], changed[field] = value, value
end

-- When the delivery there was seen, for the window of its key. Equal bodies are told apart by when they were received: a
-- relay that was held up brings in one batch what came minutes apart, and by the time of the batch the second would be
-- taken for the first and lost.
local function seen_at(at)
  if ARGV[at + KIND] == 'i' then return now end
  return tonumber(string.match(ARGV[at + VALUE], '^%d+ %d+ (%d+)'))
end

-- Most deliveries of a batch are kept for the same window from the same time, and making a text of a number is slow.
local untils = {}

local function until_text(at)
  local number = seen_at(at) + ARGV[at + WINDOW]
  local text = untils[number]
  if not text then
    text = int(number)
    untils[number] = text
  end
  return text
end

-- The delivery that the one there repeats, if there is one.
local function original_of(at, entry)
  local own_id = ARGV[at + ID]
  if entry then
    local id = string.sub(entry, 1, 16)
    if id == own_id then return id end
    local until_ms = tonumber((string.match(entry, '^%d+', 17)))
    local window, kind = tonumber(ARGV[at + WINDOW]), ARGV[at + KIND]
    local seen = seen_at(at)
    -- Relays of two hosts may bring the later one first.
    local close = until_ms - 2 * window <= seen and seen <= until_ms
    if kind == 'i' or close then
      local seen_until = seen + window
      if seen_until > until_ms then
        remember(ARGV[at + KEY], id .. int(seen_until) .. (kind == 'f' and 'f' or ''))
      end
      count('duplicate', 1)
      return id
    end
  end
  return stored[own_id] and own_id
end

-- Remembers the key of a new delivery; whether its sender's id was used before.
local function claim_key(at, key)
  local kind, reused = ARGV[at + KIND], false
  if kind == 'i' then
    local claim = string.sub(key, 1, 16)
    local others = known[claim]
    reused = others and others ~= '0'
    if string.sub(key, 17) ~= NO_CONTENT then
      reused = reused or known[claim .. NO_CONTENT] and true
      remember(claim, others and int(others + 1) or '1')
    end
    remember(key, ARGV[at + ID] .. until_text(at))
  else
    remember(key, ARGV[at + ID] .. until_text(at) .. 'f')
  end
  return reused
end

local answers, answer_count, records, record_count, index, odd, job_ids, new = {}, 0, {}, 0, {}, {}, {}, {}
local lengths, job_count = {}, 0
local accepted, quarantined, id_reused, unrouted = 0, 0, 0, 0

at = 3
while at <= last do
  local id, key, jobs = ARGV[at + ID], ARGV[at + KEY], ARGV[at + JOBS] + 0
  local original = original_of(at, key ~= '' and known[key])
  local answer = original
  if not original then
    local reused = key ~= '' and claim_key(at, key)
    stored[id] = true
    index[record_count + 1], index[record_count + 2] = '0', id
    records[record_count + 1], records[record_count + 2] = prefix .. 'd:' .. id, ARGV[at + VALUE]
    record_count = record_count + 2
    local state, without_route = ARGV[at + STATE], ARGV[at + UNROUTED]
    if state == '0' then
      accepted = accepted + 1
    elseif state == '1' then
      quarantined = quarantined + 1
    end
    if state == '1' or without_route ~= '0' then
      odd[#odd + 1] = '0'
      odd[#odd + 1] = id
      unrouted = unrouted + without_route
    end
    for job = at + HEAD, at + HEAD + 3 * (jobs - 1), 3 do
      local route = ARGV[job + 1]
      local queue, length = new[route], lengths[route]
      if not queue then
        queue, length = {}, 0
        new[route] = queue
      end
      queue[length + 1] = id .. ARGV[job]
      lengths[route] = length + 1
      job_ids[job_count + 1], job_ids[job_count + 2] = ARGV[job + 2], id
      job_count = job_count + 2
    end
    answer = ''
    if reused then
      answer = 'r'
      id_reused = id_reused + 1
    end
  end
  answer_count = answer_count + 1
  answers[answer_count] = answer
  at = at + HEAD + 3 * jobs
end
count('accepted', accepted)
count('quarantined', quarantined)
count('id_reused', id_reused)
count('unrouted', unrouted)
count('j0', job_count / 2)

for from = 1, record_count, PIECE do
  redis.call('MSET', unpack(records, from, math.min(from + PIECE - 1, record_count)))
end
local seen, seen_count = {}, 0
for field, value in pairs(changed) do
  seen[seen_count + 1], seen[seen_count + 2] = field, value
  seen_count = seen_count + 2
end
call_all('HSET', prefix .. 'dedupe', seen)
call_all('ZADD', prefix .. 'index', index)
call_all('ZADD', prefix .. 'odd', odd)
call_all('HSET', prefix .. 'jobids', job_ids)
for route, queue in pairs(new) do call_all('RPUSH', prefix .. 'new:' .. route, queue) end
save_counts()
if job_count > 0 then wake() end

-- WAIT counts the replicas that have what this connection wrote last. Without a write of its own a call would be told of
-- an older one, or of none at all on a new connection.
if ARGV[2] == '2' then redis.call('SET', prefix .. 'waited', int(now)) end

answers[answer_count + 1] = history
return answers
