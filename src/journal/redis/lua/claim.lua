-- Claims due jobs: leases them to a host and counts the attempt.
-- ARGV: time, owner, lease in ms, number of the first token, lane, how many jobs at most, whether a suspect may run,
-- whether the host runs anything, after how many crashes a job is dead, how many of the free slots are counted for each
-- route, then for each route: name, free slots.
-- Answers: time; 0, 1 (a suspect has to run alone, and waits), 2 (the first job is a suspect), 3 (it runs alone); the
-- jobs: number of the route, delivery and event, attempt, crashes, replays, number of its delivery's value; the values;
-- for each route in how many ms the next job is due (-1: none waits).
local now = now_ms()
local now_text = int(now)
local owner, first_token, lane, limit = ARGV[2], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local suspects_may, busy, max_crashes = ARGV[7] == '1', ARGV[8] == '1', tonumber(ARGV[9])
local jobs_key = prefix .. 'jobs'
-- So much of what deliveries hold is answered at once; then the rest waits for the next call.
local MANY_BYTES = 4194304

local routes = {}
local pool = tonumber(ARGV[10])
for at = 11, #ARGV, 2 do
  local free = tonumber(ARGV[at + 1])
  routes[#routes + 1] = { name = ARGV[at], free = free, own = math.max(free - pool, 0), claimed = {}, begun = 0 }
end

-- Jobs of a route take its own slots first.
local function take(route, jobs)
  local own = math.min(jobs, route.own)
  route.own, route.free, pool = route.own - own, route.free - jobs, pool - (jobs - own)
end

-- Until when this host gave calls up whose answer did not come: one that arrives after all must claim nothing.
local given_up = redis.call('GET', prefix .. 'given-up:' .. owner)
if given_up and first_token <= tonumber(given_up) then
  local never = {}
  for i = 1, #routes do never[i] = -1 end
  return { now_text, 0, {}, {}, never }
end

-- What may be claimed: the number of its route, delivery and event, and if it comes from the list of new jobs its delivery's
-- bundle and its id. Lists, and counted: a table for each would cost more than all that is done with it.
local candidate_routes, members, bundles, new_ids, candidate_count = {}, {}, {}, {}, 0

-- The suspect that is due first, if one may run.
local verdict = 0
if suspects_may then
  local first
  for i, route in ipairs(routes) do
    local found = redis.call('ZRANGE', prefix .. 'suspects:' .. route.name, 0, 0, 'WITHSCORES')
    if found[1] then
      local due = tonumber(found[2])
      if due > now then
        route.next_suspect = due
      elseif not first or due < first.due then
        first = { route = i, member = found[1], due = due }
      end
    end
  end
  if first then
    local text = redis.call('HGET', jobs_key, first.member .. ':' .. routes[first.route].name) or NEW_JOB
    -- Its last chance: only if it runs alone does another crash prove that it is the one.
    local alone = read_job(text).crashes + 1 >= max_crashes
    if alone and busy then
      local at_once = {}
      for i = 1, #routes do at_once[i] = 0 end
      return { now_text, 1, {}, {}, at_once }
    end
    candidate_routes[1], members[1], candidate_count = first.route, first.member, 1
    verdict = alone and 3 or 2
    take(routes[first.route], 1)
  end
end

-- What is new and what is due again, the oldest first.
if verdict ~= 3 then
  for i, route in ipairs(routes) do
    local wanted = math.min(route.free, route.own + pool, limit - candidate_count)
    local new, again = {}, {}
    if wanted > 0 then
      new = redis.call('LRANGE', prefix .. 'new:' .. route.name, 0, wanted - 1)
      again = redis.call(
        'ZRANGEBYSCORE', prefix .. 'ready:' .. route.name, '-inf', now_text, 'WITHSCORES', 'LIMIT', 0, wanted
      )
    end
    route.more = #new + #again / 2 >= wanted
    local next_new, next_again, before = 1, 1, candidate_count
    for _ = 1, wanted do
      local entry, due, bundle, job_id, member = new[next_new], again[next_again + 1], nil, nil, nil
      if entry then
        local colon = string.find(entry, ':', 1, true)
        bundle, job_id = string.sub(entry, 1, colon - 1), string.sub(entry, colon + 1, colon + 16)
        member = string.sub(entry, colon + 17)
      end
      if entry and not (due and tonumber(due) <= received_at(member)) then
        next_new = next_new + 1
      elseif due then
        bundle, job_id, member = nil, nil, again[next_again]
        next_again = next_again + 2
      else
        break
      end
      candidate_count = candidate_count + 1
      new_ids[candidate_count] = job_id
      candidate_routes[candidate_count], members[candidate_count], bundles[candidate_count] = i, member, bundle
    end
    take(route, candidate_count - before)
  end
end

local job_keys = {}
for i = 1, candidate_count do job_keys[i] = members[i] .. ':' .. routes[candidate_routes[i]].name end
local texts = get_all(jobs_key, job_keys)

-- The deliveries, each once.
local values, value_count, number_of, bytes = {}, 0, {}, 0
local taken = candidate_count
for i = 1, candidate_count do
  local id = string.sub(members[i], 1, 16)
  if not number_of[id] or number_of[id] == 0 and bundles[i] then
    -- One by one: a whole bundle as a text of Lua's would cost more than all of these calls. If it is lost, its delivery may
    -- have come again.
    local value = read_delivery(id, bundles[i]) or bundles[i] and read_delivery(id)
    number_of[id] = 0
    if value then
      value_count = value_count + 1
      values[value_count] = value
      number_of[id] = value_count
      bytes = bytes + #value
    end
  end
  if bytes > MANY_BYTES then
    taken = i
    break
  end
end

-- A suspect that was alone has kept everything else from being looked at, and one that is gone another suspect.
local look_again = verdict == 3
local answer, changed, leases, lease_count, changed_count = {}, {}, {}, 0, 0
local job_ids, job_id_count, begun = {}, 0, {}
local lease_end = int(now + ARGV[3])
local token = first_token * 256 + lane
local begun_from = {}
for i = 1, taken do
  local route, key, member, text, bundle = routes[candidate_routes[i]], job_keys[i], members[i], texts[i], bundles[i]
  local is_suspect = i == 1 and verdict > 0
  if is_suspect then
    redis.call('ZREM', prefix .. 'suspects:' .. route.name, member)
  elseif bundle then
    route.begun = route.begun + 1
  else
    route.claimed[#route.claimed + 1] = member
  end
  local id, job_id = string.sub(member, 1, 16), new_ids[i]
  local value = number_of[id]
  -- An entry for a new job that is written down means nothing any more, nor does one that was given up.
  local is_void = bundle and (text or begun[key] or value == 0 and redis.call('SISMEMBER', prefix .. 'void', job_id) == 1)
  -- Without a delivery, any other is lost.
  if value == 0 and bundle and not is_void then text = NEW_JOB end
  if is_void then redis.call('SREM', prefix .. 'void', job_id) end
  if is_void or value == 0 and not text then
    if is_suspect then verdict, look_again = 0, true end
    job_id = nil
  elseif value > 0 then
    local state, attempt, crashes, replays, err = QUEUED, '1', '0', '0', ''
    if text then
      local attempts
      state, attempts, crashes, replays, err =
        string.match(text, '^(%d) (%d+) (%d+) (%d+) %S+ %S+ %S+ %d %S+ %S+ (.*)$')
      attempt = int(attempts + 1)
    end
    changed[changed_count + 1] = key
    changed[changed_count + 2] = RUNNING .. ' ' .. attempt .. ' ' .. crashes .. ' ' .. replays .. ' - ' .. now_text .. ' - '
      .. (is_suspect and int(verdict - 1) or '0') .. ' ' .. owner .. ' ' .. int(token) .. ' ' .. err
    changed_count = changed_count + 2
    token = token + 256
    leases[lease_count + 1], leases[lease_count + 2] = lease_end, key
    local n = 3 * lease_count
    lease_count = lease_count + 2
    begun_from[state] = (begun_from[state] or 0) + 1
    answer[n + 1], answer[n + 2], answer[n + 3] = candidate_routes[i] - 1, member, attempt
    answer[n + 4], answer[n + 5], answer[n + 6] = crashes, replays, value - 1
  else
    local job = read_job(text)
    count_job(job.state, DEAD)
    job.state, job.due, job.finished, job.suspect = DEAD, '-', now_text, '0'
    job.err = 'its delivery is gone from Redis: was it evicted? Set maxmemory-policy noeviction'
    changed[changed_count + 1], changed[changed_count + 2] = key, write_job(job)
    changed_count = changed_count + 2
    redis.call('ZADD', prefix .. 'failing', 0, key)
    if is_suspect then verdict, look_again = 0, true end
  end
  if job_id then
    begun[key] = true
    job_ids[job_id_count + 1], job_ids[job_id_count + 2] = job_id, id
    job_id_count = job_id_count + 2
  end
end
for state, jobs in pairs(begun_from) do count_job(state, RUNNING, jobs) end
call_all('HSET', jobs_key, changed)
call_all('HSET', prefix .. 'jobids', job_ids)
call_all('ZADD', prefix .. 'leases', leases)
save_counts()

local next_due = {}
for i, route in ipairs(routes) do
  if route.begun > 0 then redis.call('LPOP', prefix .. 'new:' .. route.name, route.begun) end
  call_all('ZREM', prefix .. 'ready:' .. route.name, route.claimed)
  if look_again or route.more or taken < candidate_count then
    next_due[i] = 0
  else
    local found = redis.call('ZRANGE', prefix .. 'ready:' .. route.name, 0, 0, 'WITHSCORES')
    local due = found[2] and tonumber(found[2]) or route.next_suspect
    if due and route.next_suspect then due = math.min(due, route.next_suspect) end
    next_due[i] = due and math.max(due - now, 0) or -1
  end
end
return { now_text, verdict, answer, values, next_due }
