-- Should a running task stop: was it asked to, or is it not this process's any more?
-- ARGV: time, task, process that runs it
-- Returns: 1 | 0
local lost = redis.call("HGET", K.running, ARGV[2]) ~= ARGV[3]
return (lost or redis.call("HGET", of("task", ARGV[2]), "stop") == "1") and 1 or 0
