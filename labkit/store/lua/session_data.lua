-- Change a session's data, a field for each top-level key; keys that are not named stay as they are.
-- ARGV: time, session, replace ('1': drop all other keys), task that asks ('' none), process of the task,
--       number of keys to set, key, value, ..., keys to drop ...
-- Returns: stored | lost (the session is over) | task-lost
local s = redis.call("HGET", of("session", ARGV[2]), "state")
if not s or s == "expired" then
  return "lost"
end
if task_lost(ARGV[4], ARGV[5]) then
  return "task-lost"
end
local key, count = of("data", ARGV[2]), tonumber(ARGV[6])
if ARGV[3] == "1" then
  redis.call("DEL", key)
end
for i = 0, count - 1 do
  redis.call("HSET", key, ARGV[7 + 2 * i], ARGV[8 + 2 * i])
end
for i = 7 + 2 * count, #ARGV do
  redis.call("HDEL", key, ARGV[i])
end
return "stored"
