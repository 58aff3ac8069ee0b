-- Forget a bench that its machine declares no more: only if nobody hosts it and nothing of it is held. One that is being
-- closed, or is kept because a device of it hangs, is spoken of with each beat, though not under its host's name.
-- The caller holds the bench's file lock: no process of its machine that shares it, be it stopped, has the bench.
-- ARGV: time, bench, machine that forgets it
-- Returns: forgotten | kept
-- Its log stays, and so does what its owner said of it: a bench in maintenance is not opened because it was declared anew.
--@include benches
local bench = ARGV[2]
local host = host_of(bench)
local spoken_of = host.process ~= "-" and math.abs(now - (host.seen or 0)) <= GONE
if host.machine ~= ARGV[3] or alive(host.process) or spoken_of then
  return "kept"
end
for _, device in ipairs(devices_of(bench)) do
  if hold_of(device) then
    return "kept"
  end
end
for _, device in ipairs(devices_of(bench)) do
  redis.call("HDEL", K.conditions, device)
end
redis.call("DEL", of("calls", bench .. "@" .. host.fence)) -- those that its last host died with
for _, family in ipairs({ "bench_host", "bench_devices", "bench_features", "bench_info", "bench_used" }) do
  redis.call("HDEL", K[family], bench)
end
return "forgotten"
