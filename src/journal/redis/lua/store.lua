-- What this store is like: made now if it is new. ARGV: time, version, lanes.
-- Times and ids are taken apart in pieces of six bytes, which some builds for 32 bits can't do.
if struct.unpack('>I6', struct.pack('>I6', 2 ^ 40)) ~= 2 ^ 40 then
  return redis.error_reply('ERR this server is built for 32 bits; use one that is built for 64')
end
local key = prefix .. 'store'
redis.call('HSETNX', key, 'version', ARGV[2])
redis.call('HSETNX', key, 'lanes', ARGV[3])
return redis.call('HMGET', key, 'version', 'lanes')
