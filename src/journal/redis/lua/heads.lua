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
while wanted > 0 do
  local asked, last = wanted, nil
  local members = redis.call('ZREVRANGEBYLEX', key, from, '-', 'LIMIT', 0, asked)
  for i, member in ipairs(members) do
    -- A member begins with its delivery's id. What follows is the bundle in the index, and the job among those that fail.
    local id = string.sub(member, 1, 16)
    if id ~= last then
      add(id, ARGV[2] == 'index' and string.sub(member, 17))
      last, wanted, from = id, wanted - 1, '(' .. id
    end
  end
  if #members < asked then break end
end
return answer
