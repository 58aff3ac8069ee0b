-- Have a task that nobody has picked up claimed before others: somebody waits for it who holds up others.
-- ARGV: time, task
-- Returns: urgent | no (it is not queued, or is urgent already)
if redis.call("LREM", K.queue, 1, ARGV[2]) == 0 then
  return "no"
end
redis.call("RPUSH", K.urgent, ARGV[2])
redis.call("HSET", of("task", ARGV[2]), "urgent", "1") -- also where it is given back
return "urgent"
