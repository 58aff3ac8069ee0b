-- Make a process the host of a bench, publish the bench, empty its list of calls, and doubt every device's condition.
-- The caller holds the bench's file lock, so an earlier host on the same machine is dead; one elsewhere must be silent for long.
-- ARGV: time, bench, process, machine, devices, features, info as JSON, seconds of silence of another machine
-- Returns: {claimed, fence, maintenance's reason or false, device, hold's state, hold's fence, condition and reason before, ...} | {held, machine}
--@include benches
local bench, process, machine = ARGV[2], ARGV[3], ARGV[4]
local host = host_of(bench)
if host.process and host.process ~= "-" and host.machine ~= machine and now - host.seen < tonumber(ARGV[8]) then
  if host.seen > now + GONE then -- the store's clock was set back: that host may beat, so its silence counts from here
    redis.call("HSET", K.bench_host, bench, table.concat({ host.process, host.fence, host.machine, stamp(now) }, " "))
  end
  return { "held", host.machine }
end
local fence = next_fence()
local declared = {}
for _, name in ipairs(words(ARGV[5])) do
  declared[bench .. "/" .. name] = true
end
for _, device in ipairs(devices_of(bench)) do
  if not declared[device] then
    redis.call("HDEL", K.conditions, device)
    redis.call("HDEL", K.holds, device)
  end
end
redis.call("HSET", K.bench_devices, bench, ARGV[5])
redis.call("HSET", K.bench_features, bench, ARGV[6])
redis.call("HSET", K.bench_info, bench, ARGV[7])
redis.call("HSET", K.bench_host, bench, table.concat({ process, fence, machine, stamp(now) }, " "))
if host.fence then
  redis.call("DEL", of("calls", bench .. "@" .. host.fence))
end
local service = service_of(bench)
local answer = { "claimed", fence, service and service.word == "maintenance" and service.reason or false }
for _, device in ipairs(devices_of(bench)) do
  local was = condition_of(device)
  set_condition(bench, device, "offline", "", "being opened")
  local hold = hold_of(device) or { state = "none", fence = "0" }
  answer[#answer + 1] = device
  answer[#answer + 1] = hold.state
  answer[#answer + 1] = hold.fence
  answer[#answer + 1] = was.state
  answer[#answer + 1] = was.reason
end
return answer
