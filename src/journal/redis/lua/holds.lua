-- Whether the bodies of deliveries hold a text. After a good deal of bytes it leaves the rest for the next call.
-- ARGV: time, text, ids.
-- Answers: 1 or 0 for each delivery that it looked at: the first ones, at least one.
local MANY_BYTES = 1048576
local text = ARGV[2]
local answer, bytes = {}, 0
for at = 3, #ARGV do
  if bytes >= MANY_BYTES then break end
  local value = read_delivery(ARGV[at]) or ''
  bytes = bytes + #value
  local first_line, meta, headers = string.match(value, '^(%d %d+ %-?%d+ (%d+) (%d+)\n)')
  local found = first_line and string.find(value, text, #first_line + meta + headers + 1, true)
  answer[#answer + 1] = found and 1 or 0
end
return answer
