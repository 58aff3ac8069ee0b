-- Begin the ending of a session: one winner, and a new fence, so the user is out in this instant.
-- ARGV: time, session, reason ('' only if it is due), owner (the process whose own start failed, else ''), detail
-- Returns: {word, reason, step}; word: begun | ending | expired | unknown | not-due | starting (noted; it ends after on_start)
--@include benches
local id, reason = ARGV[2], ARGV[3]
local key = of("session", id)
local s = record(key)
if not s.state or s.state == "expired" then
  redis.call("ZREM", K.deadlines, id)
  return { s.state or "unknown", s.reason or "", "" }
elseif s.state == "ending" then
  if reason == "disposed" then
    redis.call("HSET", key, "disposing", "1")
  end
  return { "ending", s.reason, s.step }
end
local why
if s.state == "starting" then
  local mine = ARGV[4] ~= "" and s.owner == ARGV[4]
  if mine then
    why = s.end_asked or reason
  elseif not alive(s.owner) or now >= tonumber(s.start_until) then
    why = "start-failed"
  elseif reason == "" then
    redis.call("ZADD", K.deadlines, math.min(now + GONE, tonumber(s.start_until)), id)
    return { "not-due", "", s.step }
  else
    redis.call("HSET", key, "end_asked", reason)
    return { "starting", reason, s.step }
  end
else
  why = over(s) or reason
  if why == "" then
    redis.call("ZADD", K.deadlines, deadline(s), id)
    return { "not-due", "", "" }
  end
end
local fence = next_fence()
move_holds(benches_of(s), id, "reserved", fence)
redis.call("HSET", key, "state", "ending", "reason", why, "step", "tasks", "owner", "", "fence", fence, "ended", stamp(now),
  "detail", (string.gsub(ARGV[5], "%z", " ")), "disposing", (s.end_asked or reason) == "disposed" and "1" or "")
redis.call("ZADD", K.deadlines, now, id)
event(id, "state", "ending", "reason", why)
news("due")
return { "begun", why, "tasks" }
