-- Replace the data of a task: only from the task itself, while it runs.
-- ARGV: time, task, process that runs it, data as JSON
-- Returns: {stored, {field, value, ...}} | {lost}
local key = of("task", ARGV[2])
if redis.call("HGET", K.running, ARGV[2]) ~= ARGV[3] or redis.call("EXISTS", key) == 0 then
  return { "lost" }
end
redis.call("HSET", key, "data", ARGV[4])
return { "stored", redis.call("HGETALL", key) }
