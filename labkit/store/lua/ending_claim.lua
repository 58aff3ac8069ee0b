-- Take over the ending of a session, at the step that it has come to, where no other process alive is at it.
-- A process makes sure itself that only one of its threads is; one whose thread failed may claim again.
-- ARGV: time, session, process, longest time that the claim may last
-- Returns: {claimed, field, value, ...} with the new fence | {held, owner} | {state}
--@include benches
local id, process, length = ARGV[2], ARGV[3], tonumber(ARGV[4])
local key = of("session", id)
local s = record(key)
if s.state ~= "ending" then
  if s.state ~= "active" and s.state ~= "starting" then
    redis.call("ZREM", K.deadlines, id)
  end
  return { s.state or "unknown" }
end
local till = tonumber(s.claim_until or "0")
if s.owner ~= "" and s.owner ~= process and alive(s.owner) and now <= till and till <= now + length then
  redis.call("ZADD", K.deadlines, math.min(now + GONE, till), id)
  return { "held", s.owner }
end
s.fence = next_fence()
s.owner = process
move_holds(benches_of(s), id, "reserved", s.fence)
redis.call("HSET", key, "owner", process, "fence", s.fence, "claim_until", stamp(now + length))
redis.call("HINCRBY", key, "claims", 1)
redis.call("ZADD", K.deadlines, now + GONE, id)
news("fence")
local answer = { "claimed" }
for field, value in pairs(s) do
  answer[#answer + 1] = field
  answer[#answer + 1] = value
end
return answer
