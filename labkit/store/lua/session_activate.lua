-- Make a session active: only from starting, only for its owner, only in time. Silence counts from here.
-- ARGV: time, session, owner
-- Returns: active | asked (somebody asked for its end meanwhile) | lost
local id = ARGV[2]
local s = record(of("session", id))
if s.state ~= "starting" or s.owner ~= ARGV[3] or now >= tonumber(s.start_until) then
  return "lost"
elseif s.end_asked then
  return "asked"
end
s.last_poll = stamp(now)
redis.call("HSET", of("session", id), "state", "active", "last_poll", s.last_poll, "owner", "", "step", "")
redis.call("ZADD", K.deadlines, deadline(s), id)
event(id, "state", "active", "max_date", s.max_date)
return "active"
