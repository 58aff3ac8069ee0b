-- Give devices of a session back: from now on nobody may use them until their host says that they are safe.
-- ARGV: time, session, bench ('' all), fence that the caller holds, task that asks ('' none), process of the task
-- Returns: {releasing, device, ...} | {lost}
--@include benches
local id, bench = ARGV[2], ARGV[3]
local s = record(of("session", id))
if not s.state or task_lost(ARGV[5], ARGV[6]) then
  return { "lost" }
end
local benches = bench ~= "" and { bench } or benches_of(s)
for _, name in ipairs(benches) do
  for _, device in ipairs(devices_of(name)) do
    local hold = hold_of(device)
    if hold and hold.session == id and hold.state == "reserved" and hold.fence ~= ARGV[4] then
      return { "lost" }
    end
  end
end
if bench ~= "" then -- the session has it no more; what is still to be made safe is its host's matter
  redis.call("HSET", of("session", id), "benches", table.concat(benches_without(s, bench), " "))
end
local moved = move_holds(benches, id, "releasing", next_fence())
news("release")
return { "releasing", unpack(moved) }
