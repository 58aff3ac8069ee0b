-- Read a session and, where it is active, move its last poll on: the one round trip of a guarded request.
-- ARGV: time, session, poll ('1' or '')
-- Returns: word, now, field, value, ... packed into one text, for it is read with every request.
--          word: the state, 'over' for an active session whose time, silence or logout ended it, or 'unknown'
local key = of("session", ARGV[2])
local s, flat = record(key)
if not s.state then
  return "unknown\0" .. stamp(now)
end
local word, more = s.state, ""
if word == "active" then
  local why = over(s)
  if why then
    word, more = "over", "\0reason\0" .. why
  elseif ARGV[3] == "1" then
    s.last_poll = stamp(now)
    redis.call("HSET", key, "last_poll", s.last_poll)
    redis.call("ZADD", K.deadlines, deadline(s), ARGV[2])
    more = "\0last_poll\0" .. s.last_poll
  end
end
return word .. "\0" .. stamp(now) .. "\0" .. packed(flat) .. more
