-- Deletes deliveries, with all that belongs to them but their dedupe keys, unless they have changed since the caller
-- read them.
-- ARGV: time, then for each: id, head, number of jobs, and for each job: number of its event, route, id, state.
-- Answers: how many were deleted.
local dropped = 0
local jobs, job_ids, failing, ids, members, bundles = {}, {}, {}, {}, {}, {}
local at = 2
while at <= #ARGV do
  local id, head, job_count = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local first = at + 3
  at = first + 4 * job_count
  local fields = {}
  for job = first, at - 1, 4 do fields[#fields + 1] = id .. ARGV[job] .. ':' .. ARGV[job + 1] end
  local texts = get_all(prefix .. 'jobs', fields)
  local bundle, member = bundle_of(id)
  local same = bundle and read_delivery(id, bundle, #head) == head
  for i = 1, #fields do
    same = same and string.sub(texts[i] or '', 1, 1) == ARGV[first + 4 * (i - 1) + 3]
  end
  if same then
    for i, field in ipairs(fields) do
      local job = first + 4 * (i - 1)
      local state = ARGV[job + 3]
      jobs[#jobs + 1] = field
      job_ids[#job_ids + 1] = ARGV[job + 2]
      if state == DEAD or state == DISCARDED then failing[#failing + 1] = field end
      count_job(state, nil)
    end
    ids[#ids + 1] = id
    bundles[bundle] = bundles[bundle] or { member = member }
    bundles[bundle][id] = true
    redis.call('UNLINK', prefix .. 'attempts:' .. id)
    dropped = dropped + 1
  end
end
for bundle, gone in pairs(bundles) do
  local key, all_gone = prefix .. 'bundle:' .. bundle, true
  for _, id in ipairs(ids_of(bundle)) do all_gone = all_gone and gone[id] end
  if all_gone then
    redis.call('UNLINK', key)
    members[#members + 1] = gone.member
  else
    local text = redis.call('GET', key)
    redis.call('SET', key, rebundle(text, function(id, delivery) return not gone[id] and delivery end))
  end
end
call_all('HDEL', prefix .. 'jobs', jobs)
call_all('HDEL', prefix .. 'jobids', job_ids)
call_all('ZREM', prefix .. 'failing', failing)
call_all('ZREM', prefix .. 'index', members)
call_all('ZREM', prefix .. 'odd', ids)
save_counts()
return dropped
