-- Give up a bench in order: its devices are safe and closed, and nobody hosts it until the next claim.
-- ARGV: time, bench, fence of the claim, forget ('1': the bench is no longer declared)
-- Returns: left | lost
--@include benches
local bench = ARGV[2]
if host_of(bench).fence ~= ARGV[3] then
  return "lost"
end
redis.call("HDEL", K.bench_host, bench)
for _, device in ipairs(devices_of(bench)) do
  redis.call("HSET", K.conditions, device, "offline " .. stamp(now) .. " its host was stopped")
end
if ARGV[4] == "1" then
  for _, family in ipairs({ "bench_devices", "bench_features", "bench_info", "bench_used" }) do
    redis.call("HDEL", K[family], bench)
  end
end
return "left"
