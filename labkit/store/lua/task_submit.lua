-- Submit a task: write its record, queue its id, wake a runner. The loser of a unique lock, and a task whose session is
-- over, are written as failed at once. Sent twice, it answers the same twice.
-- ARGV: time, task, name, session, arguments as JSON, purpose, fences, task that submits it ('' none),
--       process that owns that task (or the ending that submits it), unique lock ('' none), seconds to keep it at least,
--       error of a loser, error of one whose session is over, error of a lost task, urgent ('1' or '')
-- Returns: {submitted, {field, value, ...}} | {unknown} (no such session) | {lost} (what submits it is not its owner's any more)
--@include tasks
local id, session, parent, process = ARGV[2], ARGV[4], ARGV[8], ARGV[9]
local key = of("task", id)
if task_of(id) then
  return { "submitted", redis.call("HGETALL", key) }
end
local s = record(of("session", session))
if not s.state then
  return { "unknown" }
end
local by = parent ~= "" and task_of(parent) or nil
if parent ~= "" and not (by and redis.call("HGET", K.running, parent) == process) then
  return { "lost" }
end
local t = { name = ARGV[3], session = session, purpose = ARGV[6], lock = ARGV[10], keep = ARGV[11], late = "", under = "" }
if t.purpose == "ending" then
  if s.state ~= "ending" or s.step ~= "dispose" or (by and by.under ~= s.fence) or (not by and s.owner ~= process) then
    return { "lost" }
  end
  t.under = s.fence
else
  local live = s.state == "starting" or (s.state == "active" and not over(s))
  if not live and (by and by.late == "1" or not by and t.purpose == "request") then
    t.late = "1"
  end
end
local problem, lost_id, lost = "", nil, nil
if not may_start(t) then
  problem = ARGV[13]
elseif t.lock ~= "" then
  local holder
  holder, lost_id, lost = lock_holder(t.lock)
  if holder then
    problem = ARGV[12]
  end
end

if lost then
  end_task(lost_id, lost, "failed", "", ARGV[14], "")
end
redis.call("HSET", key, "id", id, "name", t.name, "session", session, "arguments", ARGV[5], "purpose", t.purpose,
  "fences", ARGV[7], "lock", t.lock, "keep", t.keep, "late", t.late, "under", t.under, "status", "submitted",
  "submitted", stamp(now), "owner", "", "runner", "", "stop", "", "data", "{}", "result", "", "error", "")
redis.call("RPUSH", of("session_tasks", session), id)
local left = redis.call("TTL", of("session", session))
if left >= 0 then
  redis.call("EXPIRE", of("session_tasks", session), math.max(1, left))
end
if problem ~= "" then
  end_task(id, t, "failed", "", problem, "")
else
  if t.lock ~= "" then
    redis.call("HSET", K.unique, t.lock, id)
  end
  redis.call("RPUSH", ARGV[15] == "1" and K.urgent or K.queue, id)
  redis.call("RPUSH", K.task_wake, "1")
  event(session, "task", id, "name", t.name, "status", "submitted")
end
return { "submitted", redis.call("HGETALL", key) }
