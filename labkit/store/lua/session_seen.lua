-- Note that somebody saw the end of a session: the first one to do so writes it to the log.
-- ARGV: time, session
-- Returns: 1 for the first, 0 for all others and for an unknown session
local key = of("session", ARGV[2])
if redis.call("EXISTS", key) == 0 then
  return 0
end
return redis.call("HSETNX", key, "end_seen", stamp(now))
