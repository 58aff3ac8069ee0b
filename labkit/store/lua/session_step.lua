-- Record how far a start or an ending has come. Refused under an older fence, or for somebody who no longer owns it.
-- ARGV: time, session, owner, fence of the ending ('' for a start), step
-- Returns: ok | lost
local s = record(of("session", ARGV[2]))
local mine
if ARGV[4] == "" then
  mine = s.state == "starting" and s.owner == ARGV[3] and now < tonumber(s.start_until)
else
  mine = s.state == "ending" and s.owner == ARGV[3] and s.fence == ARGV[4]
end
if not mine then
  return "lost"
end
redis.call("HSET", of("session", ARGV[2]), "step", ARGV[5])
return "ok"
