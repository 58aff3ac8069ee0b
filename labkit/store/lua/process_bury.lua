-- Bury a process that is gone: its tasks have failed as lost, its unique locks are free, nobody finds it any more;
-- sessions that use a bench which it hosted are told. A task that it was handed and has not read is queued again.
-- ARGV: time, process, error of a lost task
-- Returns: {alive} (nothing done) | {buried, task, ...}
--@include tasks
--@include benches
local process = ARGV[2]
if alive(process) then
  return { "alive" }
end
local answer = { "buried" }
for id, owner in pairs(record(K.running)) do
  if owner == process then
    local t = task_of(id)
    if t and unread(id, t) then
      give_back(id, t)
    else
      answer[#answer + 1] = id
      if t then
        end_task(id, t, "failed", "", ARGV[3], "")
      else
        redis.call("HDEL", K.running, id)
      end
    end
  end
end
for _, sleeper in ipairs(redis.call("LRANGE", K.sleeping, 0, -1)) do
  if string.match(sleeper, "^%S+ (.*)$") == process then
    redis.call("LREM", K.sleeping, 0, sleeper)
  end
end
for bench, host in pairs(record(K.bench_host)) do
  if words(host)[1] == process then -- tell the pages of its sessions; the next host tells them when it is back
    for _, device in ipairs(devices_of(bench)) do
      local hold = hold_of(device)
      if hold then
        event(hold.session, "device", device, "condition", "offline", "reason", "its host is gone")
      end
    end
  end
end
redis.call("ZREM", K.processes, process)
redis.call("HDEL", K.roles, process)
return answer
