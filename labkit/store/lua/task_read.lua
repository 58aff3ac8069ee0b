-- Read tasks. One whose owner is gone ends here as lost, so that nobody ever sees a dead one running; one that its runner
-- has not read yet is shown as submitted, for it surely has not begun.
-- ARGV: time, error of a lost task, session (all its tasks, in the order of submission; '' none), task ...
-- Returns: {record, ...}; tasks that are not kept any more are missing
--@include tasks
local ids = ARGV[3] ~= "" and redis.call("LRANGE", of("session_tasks", ARGV[3]), 0, -1) or {}
for i = 4, #ARGV do
  ids[#ids + 1] = ARGV[i]
end
local found = {}
for _, id in ipairs(ids) do
  local t, flat = task_of(id)
  if t then
    if settle(id, t, ARGV[2]) then
      t, flat = task_of(id)
    end
    local waits = t.status == "running" and unread(id, t)
    found[#found + 1] = packed(flat) .. (waits and "\0status\0submitted\0owner\0\0runner\0\0started\0" or "")
  end
end
return found
