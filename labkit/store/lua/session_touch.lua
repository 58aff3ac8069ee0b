-- Read a session and, where it is active, move its last poll on: the one round trip of a guarded request.
-- ARGV: time, session, poll ('1' or '')
-- Returns: {word, now, field, value, ...}; word: the state, or 'over' for an active session whose time, silence or logout ended it; {unknown, now}
local key = of("session", ARGV[2])
local s = record(key)
if not s.state then
  return { "unknown", stamp(now) }
end
local word = s.state
if word == "active" then
  local why = over(s)
  if why then
    word, s.reason = "over", why
  elseif ARGV[3] == "1" then
    s.last_poll = stamp(now)
    redis.call("HSET", key, "last_poll", s.last_poll)
    redis.call("ZADD", K.deadlines, deadline(s), ARGV[2])
  end
end
local answer = { word, stamp(now) }
for field, value in pairs(s) do
  answer[#answer + 1] = field
  answer[#answer + 1] = value
end
return answer
