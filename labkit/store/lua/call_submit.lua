-- Hand a call to the host of a device, if the caller's fence is the device's, and the task that calls still runs here.
-- ARGV: time, bench, device, fence, payload, task ('' none), process of the task
-- Returns: {submitted, now, fence of the host's claim} | {lost, hold's state or 'over', since, until} | {no-host} | {offline | faulty, reason, blame} | {task-lost}
--@include benches
local bench, device = ARGV[2], ARGV[3]
local hold = hold_of(device)
if not hold or hold.state ~= "reserved" or hold.fence ~= ARGV[4] then
  hold = hold or { state = "none", since = "", till = "", session = "" }
  local had = redis.call("HGET", of("session", hold.session), "benches") or ""
  local own = string.find(" " .. had .. " ", " " .. bench .. "=" .. ARGV[4] .. " ", 1, true)
  -- its own session's ending has the device now: that is nobody else
  return { "lost", own and hold.state == "reserved" and "over" or hold.state, hold.since, hold.till }
end
local s = record(of("session", hold.session))
if not s.state or (s.state == "active" and over(s)) then
  return { "lost", "over", hold.since, hold.till }
end
if task_lost(ARGV[6], ARGV[7]) then
  return { "task-lost" }
end
local host = host_of(bench)
if not alive(host.process) then
  return { "no-host" }
end
local condition = condition_of(device)
if condition.state ~= "ok" then
  return { condition.state, condition.reason, condition.blame }
end
redis.call("RPUSH", of("calls", bench .. "@" .. host.fence), ARGV[5])
return { "submitted", stamp(now), host.fence }
