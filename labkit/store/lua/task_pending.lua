-- Which tasks are worth waiting for: those that run in a live process, and those that some live runner may still start.
-- ARGV: time, error of a lost task, session that they belong to, task ...
-- Returns: {task, ...}
--@include tasks
local runners = false
for process, roles in pairs(record(K.roles)) do
  runners = runners or (alive(process) and string.find(" " .. roles .. " ", " tasks ", 1, true) ~= nil)
end
local pending = {}
for i = 4, #ARGV do
  local id = ARGV[i]
  local t = task_of(id)
  t = t and t.session == ARGV[3] and t
  if t then
    settle(id, t, ARGV[2])
    if t.status == "running" or (t.status == "submitted" and runners and may_start(t)) then
      pending[#pending + 1] = id
    end
  end
end
return pending
