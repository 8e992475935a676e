-- The heads of deliveries: of those named, or of the next ones in a set, the newest first.
-- ARGV: time, then either '' and ids, or a set's name, where to begin ('+', or '(' and an id), how many.
-- Answers: id and head for each, in the set's order. A head is '' if the delivery is not there. Fewer than asked for
-- means that the set has no more.
local answer = {}

local function add(id, bundle)
  answer[#answer + 1] = id
  answer[#answer + 1] = read_head(id, bundle) or ''
end

if ARGV[2] == '' then
  for at = 3, #ARGV do add(ARGV[at]) end
  return answer
end

local key, from, wanted = prefix .. ARGV[2], ARGV[3], tonumber(ARGV[4])

-- The index has bundles, which may overlap. A delivery's turn has come when no other bundle can have a later one.
if ARGV[2] == 'index' then
  local below = from ~= '+' and string.sub(from, 2)
  local at_once, waiting = 16, {}

  -- Adds those that come behind this id.
  local function add_behind(id)
    while wanted > 0 and waiting[1] and (not id or is_before(id, waiting[#waiting].id)) do
      local next = table.remove(waiting)
      add(next.id, next.bundle)
      wanted = wanted - 1
    end
  end

  if below then from = '(' .. select(2, reach_of(below)) end
  repeat
    local members = redis.call('ZREVRANGEBYLEX', key, from, '-', 'LIMIT', 0, at_once)
    for i = 1, #members do
      local last, first = string.sub(members[i], 1, ID), string.sub(members[i], ID + 1, SPAN)
      local bundle = string.sub(members[i], SPAN + 1)
      add_behind(last)
      if wanted == 0 then return answer end
      if not below or is_before(first, below) then
        local ids = ids_of(bundle)
        -- One that was evicted, or can't be read, counts too: what one call looks at has a bound.
        if not ids[1] then ids = { last } end
        for _, id in ipairs(ids) do
          if not below or is_before(id, below) then waiting[#waiting + 1] = { id = id, bundle = bundle } end
        end
        table.sort(waiting, function(one, other) return is_before(one.id, other.id) end)
      end
    end
    from = members[1] and '(' .. members[#members]
  until #members < at_once
  add_behind(nil)
  return answer
end

while wanted > 0 do
  local asked, last = wanted, nil
  local members = redis.call('ZREVRANGEBYLEX', key, from, '-', 'LIMIT', 0, asked)
  for i, member in ipairs(members) do
    -- A member begins with its delivery's id; a job's goes on behind it.
    local id = string.sub(member, 1, 16)
    if id ~= last then
      add(id)
      last, wanted, from = id, wanted - 1, '(' .. id
    end
  end
  if #members < asked then break end
end
return answer
