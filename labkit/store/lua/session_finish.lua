-- The last step of an ending: the session is expired, and kept for a while.
-- ARGV: time, session, owner, fence, seconds to keep
-- Returns: finished | lost
--@include benches
local id, keep = ARGV[2], math.max(1, math.ceil(tonumber(ARGV[5])))
local key = of("session", id)
local s = record(key)
if s.state ~= "ending" or s.owner ~= ARGV[3] or s.fence ~= ARGV[4] then
  return "lost"
end
redis.call("HSET", key, "state", "expired", "owner", "", "step", "done", "finished", stamp(now))
local left = move_holds(benches_of(s), id, "releasing", next_fence())
if #left > 0 then -- no step of an ending leaves one, but none must be lost for ever if one ever did
  news("release")
end
event(id, "state", "expired", "reason", s.reason)
redis.call("ZREM", K.deadlines, id)
for _, family in ipairs({ "session", "data", "events", "session_tasks" }) do
  redis.call("EXPIRE", of(family, id), keep)
end
for _, task in ipairs(redis.call("LRANGE", of("session_tasks", id), 0, -1)) do
  local status = redis.call("HGET", of("task", task), "status")
  if status == "done" or status == "failed" then -- one that still runs gets its end from its own end
    redis.call("EXPIRE", of("task", task), keep)
  end
end
return "finished"
