-- Give up a bench in order: its devices are safe and closed, and nobody hosts it until the next claim. Its machine stays known.
-- ARGV: time, bench, fence of the claim, only ('idle': not where a session has a device of it, or it is being released)
-- Returns: left | lost | held
-- An idle bench is only about to be closed, so it stays with its machine until that is said, too: no other one opens it.
--@include benches
local bench = ARGV[2]
if host_of(bench).fence ~= ARGV[3] then
  return "lost"
end
if ARGV[4] == "idle" then
  for _, device in ipairs(devices_of(bench)) do
    if hold_of(device) then
      return "held"
    end
  end
  redis.call("HSET", K.bench_host, bench, table.concat({ "closing", ARGV[3], host_of(bench).machine, stamp(now) }, " "))
else
  redis.call("HSET", K.bench_host, bench, table.concat({ "-", "0", host_of(bench).machine, stamp(now) }, " "))
end
redis.call("DEL", of("calls", bench .. "@" .. ARGV[3]))
for _, device in ipairs(devices_of(bench)) do
  if string.find(condition_of(device).reason, "its host was stopped", 1, true) ~= 1 then -- else its host has said more
    set_condition(bench, device, "offline", "", "its host was stopped")
  end
end
return "left"
