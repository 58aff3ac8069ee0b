-- Bury a process that is gone: its tasks have failed as lost, its unique locks are free, nobody finds it any more.
-- ARGV: time, process, error of a lost task
-- Returns: {alive} (nothing done) | {buried, task, ...}
--@include tasks
local process = ARGV[2]
if alive(process) then
  return { "alive" }
end
local answer = { "buried" }
for id, owner in pairs(record(K.running)) do
  if owner == process then
    answer[#answer + 1] = id
  end
end
for i = 2, #answer do
  local t = task_of(answer[i])
  if t then
    end_task(answer[i], t, "failed", "", ARGV[3], "")
  else
    redis.call("HDEL", K.running, answer[i])
  end
end
redis.call("ZREM", K.processes, process)
redis.call("HDEL", K.roles, process)
return answer
