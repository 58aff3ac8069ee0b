-- Replace the data of a task: only from the task itself, while it runs.
-- ARGV: time, task, process that runs it, data as JSON
-- Returns: {stored, record} | {lost}
--@include tasks
local t, flat = task_of(ARGV[2])
if redis.call("HGET", K.running, ARGV[2]) ~= ARGV[3] or not t then
  return { "lost" }
end
redis.call("HSET", of("task", ARGV[2]), "data", ARGV[4])
return { "stored", packed(flat) .. "\0data\0" .. ARGV[4] }
