-- Answer a call. The reply has an end from birth.
-- ARGV: time, call, reply, seconds to keep it
redis.call("RPUSH", of("reply", ARGV[2]), ARGV[3])
redis.call("EXPIRE", of("reply", ARGV[2]), ARGV[4])
return "ok"
