-- Reserve one more bench for a session that is starting or active (weblab.devices.acquire, or the next bench of a start).
-- ARGV: time, session, owner ('' unless starting), bench wish ('' any), features, benches to leave out,
--       task that asks ('' none), process of the task
-- Returns: {reserved, fence, bench} | {refused, rows} | {lost}
--@include benches
local id = ARGV[2]
local s = record(of("session", id))
local starting = s.state == "starting" and s.owner == ARGV[3] and now < tonumber(s.start_until)
local active = s.state == "active" and not over(s)
if not starting and not active or task_lost(ARGV[7], ARGV[8]) then
  return { "lost" }
end
local bench, rows = pick(ARGV[4], ARGV[5], ARGV[6], id)
if not bench then
  return { "refused", rows }
end
local fence = reserve(bench, id, s.max_date)
local kept = benches_without(s, bench)
kept[#kept + 1] = bench .. "=" .. fence
redis.call("HSET", of("session", id), "benches", table.concat(kept, " "))
news("reserved")
return { "reserved", fence, bench }
