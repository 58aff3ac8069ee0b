-- Fail a task that nobody has picked up.
-- ARGV: time, task, error
-- Returns: withdrawn | no
--@include tasks
local t = task_of(ARGV[2])
if not t or t.status ~= "submitted" then
  return "no"
end
unqueue(ARGV[2])
end_task(ARGV[2], t, "failed", "", ARGV[3], "")
return "withdrawn"
