-- A process ends in order: it is gone at once, without anybody waiting for its silence.
-- ARGV: time, process
redis.call("ZREM", K.processes, ARGV[2])
redis.call("HDEL", K.roles, ARGV[2])
news("due")
return "ok"
