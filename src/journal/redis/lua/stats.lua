-- The counters.
local names = { 'accepted', 'duplicate', 'quarantined', 'id_reused', 'unrouted', 'j0', 'j1', 'j2', 'j3', 'j4', 'j5' }
local values = get_all(prefix .. 'stats', names)
for i = 1, #names do values[i] = math.max(tonumber(values[i] or 0), 0) end
return values
