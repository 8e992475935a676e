-- Stores a batch of deliveries and queues their jobs, except for those that are known.
-- ARGV: time, who asks (0: a sender; 1: a relay; 2: a relay that waits for replicas or the file), then for each delivery:
-- id, dedupe key or nothing, what kind of key ('i' an id, 'f' an equal body), its window in ms, state, number of unrouted
-- events, value, number of jobs, and for each job: number of its event, route, id.
-- Answers for each: nothing (new), 'r' (new, but its sender's id was used before), or the id of the original; then the
-- replication id or nothing.
local now = now_ms()
local NO_CONTENT = string.rep('\0', 16)

local deliveries, fields, keys = {}, {}, {}
local at = 3
while at <= #ARGV do
  local key = ARGV[at + 1]
  local delivery = {
    id = ARGV[at], key = key, kind = ARGV[at + 2], window = ARGV[at + 3], state = ARGV[at + 4],
    unrouted = tonumber(ARGV[at + 5]), value = ARGV[at + 6], jobs = at + 8, job_count = tonumber(ARGV[at + 7]),
  }
  deliveries[#deliveries + 1] = delivery
  keys[#keys + 1] = prefix .. 'd:' .. delivery.id
  if key ~= '' then
    fields[#fields + 1] = key
    if delivery.kind == 'i' then
      delivery.claim = string.sub(key, 1, 16)
      fields[#fields + 1] = delivery.claim
      if string.sub(key, 17) ~= NO_CONTENT then
        delivery.signed = delivery.claim .. NO_CONTENT
        fields[#fields + 1] = delivery.signed
      end
    end
  end
  at = at + 8 + 3 * delivery.job_count
end

local known, changed = {}, {}
local values = get_all(prefix .. 'dedupe', fields)
for i = 1, #fields do known[fields[i]] = values[i] end

local stored = {}
local exists = 0
for from = 1, #keys, PIECE do
  exists = exists + redis.call('EXISTS', unpack(keys, from, math.min(from + PIECE - 1, #keys)))
end
if exists > 0 then
  for i = 1, #keys do stored[deliveries[i].id] = redis.call('EXISTS', keys[i]) == 1 end
end

local function remember(field, value)
  known[field], changed[field] = value, value
end

-- When a delivery was seen, for the window of its key. Equal bodies are told apart by when they were received: a relay
-- that was held up brings in one batch what came minutes apart, and by the time of the batch the second would be taken
-- for the first and lost.
local function seen_at(delivery)
  if delivery.kind == 'i' then return now end
  return tonumber(string.match(delivery.value, '^%d+ %d+ (%d+)'))
end

-- Most deliveries of a batch are kept for the same window from the same time, and making a text of a number is slow.
local untils = {}

local function until_text(delivery)
  local number = seen_at(delivery) + delivery.window
  local text = untils[number]
  if not text then
    text = int(number)
    untils[number] = text
  end
  return text
end

-- The delivery that this one repeats, if there is one.
local function original_of(delivery)
  local entry = known[delivery.key]
  if entry then
    local id = string.sub(entry, 1, 16)
    if id == delivery.id then return id end
    local until_ms = tonumber((string.match(entry, '^%d+', 17)))
    local seen = seen_at(delivery)
    -- Relays of two hosts may bring the later one first.
    local close = until_ms - 2 * delivery.window <= seen and seen <= until_ms
    if delivery.kind == 'i' or close then
      local seen_until = seen + delivery.window
      if seen_until > until_ms then
        remember(delivery.key, id .. int(seen_until) .. (delivery.kind == 'f' and 'f' or ''))
      end
      count('duplicate', 1)
      return id
    end
  end
  return stored[delivery.id] and delivery.id
end

local answers, records, index, odd, job_ids, new = {}, {}, {}, {}, {}, {}

for i = 1, #deliveries do
  local delivery = deliveries[i]
  local original = original_of(delivery)
  if original then
    answers[i] = original
  else
    local id = delivery.id
    stored[id] = true
    local reused = false
    if delivery.key ~= '' then
      if delivery.claim then
        local others = tonumber(known[delivery.claim] or 0)
        reused = others > 0 or (delivery.signed and known[delivery.signed]) and true
        if delivery.signed then remember(delivery.claim, others == 0 and '1' or int(others + 1)) end
      end
      remember(delivery.key, id .. until_text(delivery) .. (delivery.kind == 'f' and 'f' or ''))
    end
    records[#records + 1] = keys[i]
    records[#records + 1] = delivery.value
    index[#index + 1] = '0'
    index[#index + 1] = id
    if delivery.state == '1' or delivery.unrouted > 0 then
      odd[#odd + 1] = '0'
      odd[#odd + 1] = id
    end
    for job = delivery.jobs, delivery.jobs + 3 * (delivery.job_count - 1), 3 do
      local member, route = id .. ARGV[job], ARGV[job + 1]
      job_ids[#job_ids + 1] = ARGV[job + 2]
      job_ids[#job_ids + 1] = id
      local queue = new[route]
      if not queue then
        queue = {}
        new[route] = queue
      end
      queue[#queue + 1] = member
    end
    answers[i] = reused and 'r' or ''
    if delivery.state == '0' then count('accepted', 1) elseif delivery.state == '1' then count('quarantined', 1) end
    if reused then count('id_reused', 1) end
    count('unrouted', delivery.unrouted)
    count('j0', delivery.job_count)
  end
end

for from = 1, #records, PIECE do
  redis.call('MSET', unpack(records, from, math.min(from + PIECE - 1, #records)))
end
local seen = {}
for field, value in pairs(changed) do
  seen[#seen + 1] = field
  seen[#seen + 1] = value
end
call_all('HSET', prefix .. 'dedupe', seen)
call_all('ZADD', prefix .. 'index', index)
call_all('ZADD', prefix .. 'odd', odd)
call_all('HSET', prefix .. 'jobids', job_ids)
for route, queue in pairs(new) do call_all('RPUSH', prefix .. 'new:' .. route, queue) end
save_counts()
if #job_ids > 0 then wake() end

-- WAIT counts the replicas that have what this connection wrote last. Without a write of its own a call would be told of
-- an older one, or of none at all on a new connection.
if ARGV[2] == '2' and #records == 0 then redis.call('SET', prefix .. 'waited', int(now)) end

answers[#answers + 1] = ''
if ARGV[2] ~= '0' then
  answers[#answers] = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or ''
end
return answers
