-- Lets both hands go round again. ARGV: time.
return redis.call('HDEL', prefix .. 'sweep', 'delivery_rests', 'key_rests')
