-- Write a session and reserve a bench for it, all or nothing.
-- ARGV: time, session, owner, start timeout, bench wish ('-' none, '' any, or its name), features, benches to leave out,
--       slot start ('' none), slot length, silence timeout, user as JSON
-- Returns: {started, fence, bench, max_date} | {refused, rows}
--@include benches
local id, owner, start_timeout, wish, features, excluded = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6], ARGV[7]
local length = tonumber(ARGV[9])
local max_date = math.min(tonumber(ARGV[8]) or now, now) + length
local bench, rows = nil, nil
if wish ~= "-" then
  bench, rows = pick(wish, features, excluded, id)
  if not bench then
    return { "refused", rows }
  end
end
local fence, benches = "", ""
if bench then
  fence = reserve(bench, id, stamp(max_date))
  benches = bench .. "=" .. fence
end
redis.call("HSET", of("session", id), "state", "starting", "owner", owner, "start_until", stamp(now + start_timeout),
  "start_date", stamp(max_date - length), "max_date", stamp(max_date), "last_poll", stamp(now), "timeout", ARGV[10],
  "created", stamp(now), "exited", "0", "user", ARGV[11], "benches", benches, "fence", fence, "reason", "", "step", "reserved")
-- looked at early: its owner may die long before its time is over
redis.call("ZADD", K.deadlines, now + math.min(start_timeout, GONE), id)
event(id, "state", "starting")
redis.call("EXPIRE", of("events", id), math.max(0, math.ceil(max_date - now)) + 86400)
if bench then
  news("reserved")
end
return { "started", fence, bench or "", stamp(max_date) }
