-- What this store is like: made now if it is new. ARGV: time, version, lanes.
local key = prefix .. 'store'
redis.call('HSETNX', key, 'version', ARGV[2])
redis.call('HSETNX', key, 'lanes', ARGV[3])
return redis.call('HMGET', key, 'version', 'lanes')
