-- Hand a call to the host of a device, if the caller's fence is the device's, and the task that calls still runs here.
-- ARGV: time, bench, device, fence, payload, task ('' none), process of the task, call whose reply is waited for already ('' none)
-- Returns: {submitted, now, fence of the host's claim} | {lost, hold's state or 'over', since, until} | {no-host} | {offline | faulty, reason, blame} | {task-lost}
--@include benches
local bench, device = ARGV[2], ARGV[3]

-- No call, so no reply: who waits for one already is told that there is none.
local function refused(words)
  if ARGV[8] ~= "" then
    redis.call("RPUSH", of("reply", ARGV[8]), "")
    redis.call("EXPIRE", of("reply", ARGV[8]), 60)
  end
  return words
end

local hold = hold_of(device)
if not hold or hold.state ~= "reserved" or hold.fence ~= ARGV[4] then
  hold = hold or { state = "none", since = "", till = "", session = "" }
  local had = redis.call("HGET", of("session", hold.session), "benches") or ""
  local own = string.find(" " .. had .. " ", " " .. bench .. "=" .. ARGV[4] .. " ", 1, true)
  -- its own session's ending has the device now: that is nobody else
  return refused({ "lost", own and hold.state == "reserved" and "over" or hold.state, hold.since, hold.till })
end
local facts = redis.call("HMGET", of("session", hold.session), "state", "exited", "max_date", "timeout", "last_poll")
local s = { state = facts[1], exited = facts[2], max_date = facts[3], timeout = facts[4], last_poll = facts[5] }
if not s.state or (s.state == "active" and over(s)) then
  return refused({ "lost", "over", hold.since, hold.till })
end
if task_lost(ARGV[6], ARGV[7]) then
  return refused({ "task-lost" })
end
local host = host_of(bench)
if not alive(host.process) then
  return refused({ "no-host" })
end
local condition = condition_of(device)
if condition.state ~= "ok" then
  return refused({ condition.state, condition.reason, condition.blame })
end
redis.call("RPUSH", of("calls", bench .. "@" .. host.fence), ARGV[5])
return { "submitted", stamp(now), host.fence }
