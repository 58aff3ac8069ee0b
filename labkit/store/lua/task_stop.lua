-- Ask tasks to stop: raises a flag, cancels nothing. Where a whole session is meant and it is over, its tasks that
-- nobody has picked up fail here, because none of them may start any more.
-- ARGV: time, session ('' only the named tasks), purpose that is left alone, error of a task whose session is over, task ...
-- Returns: {task, ...}: those that got the flag
--@include tasks
local all = ARGV[2] ~= ""
local ids = all and redis.call("LRANGE", of("session_tasks", ARGV[2]), 0, -1) or {}
for i = 5, #ARGV do
  ids[#ids + 1] = ARGV[i]
end
local asked = {}
for _, id in ipairs(ids) do
  local t = task_of(id)
  local open = t and (t.status == "submitted" or t.status == "running")
  if open and not (all and (t.purpose == ARGV[3] or t.late == "1")) then
    redis.call("HSET", of("task", id), "stop", "1")
    t.stop = "1"
    if all and t.status == "submitted" and not may_start(t) then
      unqueue(id)
      end_task(id, t, "failed", "", ARGV[4], "")
    else
      asked[#asked + 1] = id
    end
  end
end
return asked
