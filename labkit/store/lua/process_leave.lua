-- A process ends in order: it is gone at once, without anybody waiting for its silence.
-- It stays listed with a beat of long ago, so that others bury what it still owned.
-- ARGV: time, process
redis.call("ZADD", K.processes, "XX", 0, ARGV[2])
redis.call("HDEL", K.roles, ARGV[2])
news("due")
return "ok"
