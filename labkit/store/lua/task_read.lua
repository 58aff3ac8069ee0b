-- Read tasks. One whose owner is gone ends here as lost, so that nobody ever sees a dead one running.
-- ARGV: time, error of a lost task, session (all its tasks, in the order of submission; '' none), task ...
-- Returns: {{field, value, ...}, ...}; tasks that are not kept any more are missing
--@include tasks
local ids = ARGV[3] ~= "" and redis.call("LRANGE", of("session_tasks", ARGV[3]), 0, -1) or {}
for i = 4, #ARGV do
  ids[#ids + 1] = ARGV[i]
end
local found = {}
for _, id in ipairs(ids) do
  local t = task_of(id)
  if t then
    if is_lost(id, t) then
      end_task(id, t, "failed", "", ARGV[2], "")
    end
    found[#found + 1] = redis.call("HGETALL", of("task", id))
  end
end
return found
