-- Wake the sleeping task runners of one pool, without a task for them: to look at the queue again, or to stop.
-- ARGV: time, pool, number of runners
local key = of("runner_wake", ARGV[2])
for _ = 1, tonumber(ARGV[3]) do
  redis.call("RPUSH", key, "1")
end
redis.call("EXPIRE", key, 60)
return "ok"
