-- Wake the relay of one web process from its blocking read.
-- ARGV: time, relay
-- Returns: ok
redis.set_repl(redis.REPL_NONE)
local key = of("relay_wake", ARGV[2])
redis.call("XADD", key, "MAXLEN", "1", "*", "wake", "1")
redis.call("EXPIRE", key, 60)
return "ok"
