-- Show something of a running task on its session's page: how far it is, or a line of its log.
-- ARGV: time, task, process that runs it, kind (progress or log), value
-- Returns: told | lost
local key = of("task", ARGV[2])
local t = record(key)
if redis.call("HGET", K.running, ARGV[2]) ~= ARGV[3] or not t.status then
  return "lost"
end
if ARGV[4] == "progress" then
  redis.call("HSET", key, "progress", ARGV[5])
end
event(t.session, "task", ARGV[2], "name", t.name, ARGV[4], ARGV[5])
return "told"
