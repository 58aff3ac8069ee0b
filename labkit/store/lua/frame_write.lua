-- Hand a frame to who looks at it, for the session that has the device reserved under the fence under which it arrived.
-- It is kept nowhere, and goes to no append-only file and no replica: who does not look now misses it.
-- ARGV: time, device, feed, fence, message
-- Returns: how many connections got it | -1 (nobody may see it)
--@include benches
redis.set_repl(redis.REPL_NONE)
local device = ARGV[2]
local hold = hold_of(device)
if not hold or hold.state ~= "reserved" or hold.fence ~= ARGV[4] then
  return -1
end
local s = record(of("session", hold.session))
if s.state ~= "starting" and (s.state ~= "active" or over(s)) then
  return -1
end
return redis.call("PUBLISH", of("frames", hold.session .. "/" .. device .. "/" .. ARGV[3]), ARGV[5])
