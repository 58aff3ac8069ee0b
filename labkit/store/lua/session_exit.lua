-- Mark that the user has logged out. The user is out at once; a reaper ends the session.
-- ARGV: time, session
-- Returns: exited | no (not active any more)
local id = ARGV[2]
local s = record(of("session", id))
if s.state ~= "active" or over(s) then
  return "no"
end
redis.call("HSET", of("session", id), "exited", "1")
redis.call("ZADD", K.deadlines, now, id)
event(id, "state", "exited")
news("due")
return "exited"
