-- Stores a batch of deliveries and queues their jobs, except for those that are known.
-- ARGV: time, who asks (0: a sender; 1: a relay; 2: a relay that brings nothing, and waits until all before is safe), the
-- number of routes, their names, then for each bundle of new deliveries: a plan, the bundle.
-- A plan begins with the last id of the bundle and the first one. Then it has for each delivery: id (16 bytes), dedupe key
-- (32), what kind of key (0 none, 1 an id, 2 an equal body), its window in ms (6), when it was received, in ms (6), state,
-- number of unrouted events (4), number of jobs (4), and for each job: number of its event (4), of its route (4), id (16).
-- Answers: a letter for each ('n' new; 'r' new, but its sender's id was used before; 'd' a duplicate), the originals' ids
-- behind one another, the replication id or nothing.
local now = now_ms()
-- Before anything is written: a user who may not ask would else be refused what has been done, and repeat it for ever.
local history = ''
if ARGV[2] ~= '0' then
  history = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or ''
end
local NO_CONTENT = string.rep('\0', ID)
local BY_ID, BY_BODY = 1, 2
local PLAN, JOB = '>c16c16c16BI6I6BI4I4', '>I4I4c16'
local route_count = tonumber(ARGV[3] or 0)
local first_bundle = 4 + route_count

-- The deliveries, in lists, and counted: a table for each would cost more than all that is done with it. `keys` are fields
-- of `dedupe`, '' without a key; `claims` are those of the sender's ids, where the content decides too.
local ids, keys, claims, kinds, windows, times, states, unrouted_counts = {}, {}, {}, {}, {}, {}, {}, {}
local job_counts, jobs_at, total = {}, {}, 0
local fields, field_count = {}, 0

local function ask_for(field)
  field_count = field_count + 1
  fields[field_count] = field
end

for at = first_bundle, #ARGV, 2 do
  local plan, place = ARGV[at], SPAN + 1
  while place <= #plan do
    local i = total + 1
    local claim, content, kind, jobs
    ids[i], claim, content, kind, windows[i], times[i], states[i], unrouted_counts[i], jobs, place =
      struct.unpack(PLAN, plan, place)
    kinds[i], job_counts[i], jobs_at[i] = kind, jobs, place
    place = place + 24 * jobs
    total = i
    if content == NO_CONTENT then
      keys[i] = kind > 0 and claim or ''
    else
      keys[i] = claim .. content
      if kind == BY_ID then
        claims[i] = claim
        ask_for(claim)
      end
    end
    if kind > 0 then ask_for(keys[i]) end
  end
end

-- What is known of their keys.
local known, changed = {}, {}
local values = get_all(prefix .. 'dedupe', fields)
for i = 1, field_count do known[fields[i]] = values[i] end

local function remember(field, value)
  known[field], changed[field] = value, value
end

-- When a delivery was seen, for the window of its key. Equal bodies are told apart by when they were received: a relay that
-- was held up brings in one batch what came minutes apart, and by the time of the batch the second would be taken for
-- the first and lost.
local function seen_at(i)
  return kinds[i] == BY_ID and now or times[i]
end

-- Numbers as texts: making them is slow, and a batch has few. Most of its deliveries are kept for the same window from the
-- same time, and most of their events are the first.
local texts = setmetatable({}, {
  __index = function(made, number)
    made[number] = int(number)
    return made[number]
  end,
})

local function until_text(i)
  return texts[seen_at(i) + windows[i]]
end

-- Those that this call has stored and that no sender's id tells from others.
local stored = {}

local function is_stored(id)
  return stored[id] or bundle_of(id) ~= nil
end

-- The delivery that this one repeats, if there is one. What has an id of its sender's is known by that for as long as it is
-- stored; the key of an equal body is that of the latest one.
local function original_of(i)
  local id, kind, entry = ids[i], kinds[i], known[keys[i]]
  if not entry or #entry <= ID then return kind ~= BY_ID and is_stored(id) and id end
  local known_id = string.sub(entry, 1, ID)
  if known_id == id then return id end
  local until_ms, rest = string.match(entry, '^(%d+)(.*)$', ID + 1)
  until_ms = tonumber(until_ms)
  local window, seen = windows[i], seen_at(i)
  -- Relays of two hosts may bring the later one first.
  local close = until_ms - 2 * window <= seen and seen <= until_ms
  if kind == BY_BODY and not close then return is_stored(id) and id end
  if seen + window > until_ms then remember(keys[i], known_id .. until_text(i) .. rest) end
  count('duplicate', 1)
  return known_id
end

-- Remembers the key of a new delivery; whether its sender's id was used before.
local function claim_key(i)
  local key, claim = keys[i], claims[i]
  local entry = ids[i] .. until_text(i)
  if kinds[i] == BY_BODY then
    remember(key, entry .. 'f')
    return false
  end
  if claim then
    local used = known[claim]
    local alone, others = split_claim(used)
    remember(claim, join_claim(alone, others + 1))
    remember(key, entry)
    return used and true
  end
  -- It is not known by its id alone, so all there can be is the number of others.
  local others = known[key]
  if others then entry = join_claim(entry, tonumber(others)) end
  remember(key, entry)
  return others and true
end

local letters, originals, bundles, index, odd, new, lengths = {}, {}, {}, {}, {}, {}, {}
local accepted, quarantined, id_reused, unrouted, job_count = 0, 0, 0, 0, 0

-- Queues the jobs of a new delivery.
local function queue_jobs(i, plan, bundle)
  local id, place = ids[i], jobs_at[i]
  for _ = 1, job_counts[i] do
    local event, route, job_id
    event, route, job_id, place = struct.unpack(JOB, plan, place)
    local queue, length = new[route], lengths[route]
    if not queue then
      queue, length = {}, 0
      new[route] = queue
    end
    queue[length + 1] = bundle .. ':' .. job_id .. id .. texts[event]
    lengths[route] = length + 1
    job_count = job_count + 1
  end
end

-- Decides about one delivery. Says whether it is new.
local function take(i, plan, bundle)
  local original = original_of(i)
  if original then
    letters[i] = 'd'
    originals[#originals + 1] = original
    return false
  end
  local id, state = ids[i], states[i]
  local reused = kinds[i] > 0 and claim_key(i)
  if kinds[i] ~= BY_ID then stored[id] = true end
  if state == 0 then
    accepted = accepted + 1
  elseif state == 1 then
    quarantined = quarantined + 1
  end
  if state == 1 or unrouted_counts[i] > 0 then
    odd[#odd + 1] = '0'
    odd[#odd + 1] = id
    unrouted = unrouted + unrouted_counts[i]
  end
  queue_jobs(i, plan, bundle)
  letters[i] = 'n'
  if reused then
    letters[i] = 'r'
    id_reused = id_reused + 1
  end
  return true
end

-- The bundles are numbered on from the last one there was. Counting begins at the time, so that no name is given twice if the
-- counter was evicted.
local last_bundle, not_counted = 0, 0
if total > 0 then
  last_bundle = tonumber(redis.call('HGET', prefix .. 'stats', 'bundles') or 0)
  if last_bundle == 0 then
    local time = redis.call('TIME')
    last_bundle = time[1] * 1000000 + time[2]
    not_counted = last_bundle
  end
end

local i = 0
for at = first_bundle, #ARGV, 2 do
  local plan, text = ARGV[at], ARGV[at + 1]
  local size, before, left_out = struct.unpack('>I2', text), i, nil
  local bundle = string.format('%x', last_bundle + #bundles + 1)
  for _ = 1, size do
    i = i + 1
    if not take(i, plan, bundle) then
      left_out = left_out or {}
      left_out[i - before] = true
    end
  end
  if left_out then
    text = rebundle(text, function(_, delivery, place) return not left_out[place] and delivery end)
  end
  if text then
    bundles[#bundles + 1] = { key = prefix .. 'bundle:' .. bundle, text = text }
    index[#index + 1] = '0'
    index[#index + 1] = string.sub(plan, 1, SPAN) .. bundle
  end
end
count('accepted', accepted)
count('quarantined', quarantined)
count('id_reused', id_reused)
count('unrouted', unrouted)
count('j0', job_count)

-- First the names, so that none is given twice. From here on nothing fails: what is begun is done whole.
if #bundles > 0 then redis.call('HINCRBY', prefix .. 'stats', 'bundles', int(not_counted + #bundles)) end
for i = 1, #bundles do redis.call('SET', bundles[i].key, bundles[i].text) end
local seen, seen_count = {}, 0
for field, value in pairs(changed) do
  seen[seen_count + 1], seen[seen_count + 2] = field, value
  seen_count = seen_count + 2
end
call_all('HSET', prefix .. 'dedupe', seen)
call_all('ZADD', prefix .. 'index', index)
call_all('ZADD', prefix .. 'odd', odd)
for number, queue in pairs(new) do
  local route = ARGV[4 + number]
  if call_all('RPUSH', prefix .. 'new:' .. route, queue) == #queue then redis.call('SADD', prefix .. 'routes', route) end
end
save_counts()
if job_count > 0 then wake() end

-- WAIT counts the replicas that have what this connection wrote last. Without a write of its own a call would be told of
-- an older one, or of none at all on a new connection.
if ARGV[2] == '2' then redis.call('SET', prefix .. 'waited', int(now)) end

return { table.concat(letters), table.concat(originals), history }
