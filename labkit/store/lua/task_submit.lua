-- Submit a task: write its record, hand it to a runner that sleeps, or queue its id. The loser of a unique lock, and a task
-- whose session is over, are written as failed at once. Sent twice, it answers the same twice.
-- ARGV: time, task, name, session, arguments as JSON, purpose, fences, task that submits it ('' none),
--       process that owns that task (or the ending that submits it), unique lock ('' none), seconds to keep it at least,
--       error of a loser, error of one whose session is over, error of a lost task, urgent ('1' or '')
-- Returns: {submitted, record} (submitted or failed; sent again: as it is by now) | {unknown} (no such session) |
--          {lost} (what submits it is not its owner's any more)
--@include tasks
local id, session, parent, process = ARGV[2], ARGV[4], ARGV[8], ARGV[9]
local key = of("task", id)
if redis.call("EXISTS", key) == 1 then
  local _, flat = task_of(id)
  return { "submitted", packed(flat) }
end
local s = session_of(session)
if not s then
  return { "unknown" }
end
local by = parent ~= "" and task_of(parent) or nil
if parent ~= "" and not (by and redis.call("HGET", K.running, parent) == process) then
  return { "lost" }
end
local t = {
  name = ARGV[3], session = session, purpose = ARGV[6], lock = ARGV[10], keep = ARGV[11], late = "", under = "", data = "{}",
  urgent = ARGV[15], owner = "",
}
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
local problem, lost_id, lost, _ = "", nil, nil, nil
if not may_start(t, s) then
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
local flat = {
  "id", id, "name", t.name, "session", session, "purpose", t.purpose, "keep", t.keep, "status", "submitted",
  "submitted", stamp(now), "data", t.data,
}
for field, value in pairs({ lock = t.lock, late = t.late, under = t.under, urgent = t.urgent, fences = ARGV[7] }) do
  if value ~= "" then
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
end
flat[#flat + 1] = "arguments"
flat[#flat + 1] = ARGV[5]
redis.call("HSET", key, unpack(flat))
redis.call("RPUSH", of("session_tasks", session), id)
if s.state == "expired" then
  redis.call("EXPIRE", of("session_tasks", session), math.max(1, redis.call("TTL", of("session", session))))
end
if problem ~= "" then
  end_task(id, t, "failed", "", problem, "")
  _, flat = task_of(id)
  return { "submitted", packed(flat) }
end
if t.lock ~= "" then
  redis.call("HSET", K.unique, t.lock, id)
end
local tell = t.late == "1" and event or event_of_live
tell(session, "task", id, "name", t.name, "status", "submitted")
if not hand_over(id, t, flat) then
  redis.call("RPUSH", t.urgent == "1" and K.urgent or K.queue, id)
end
return { "submitted", packed(flat, #flat - 2) }
