-- Take a bench out of service, or put it back: decided here against every start of a session.
-- ARGV: time, bench, drained | maintenance | '' (back in service), reason
-- Returns: {changed | same, what it was before ('' in service)}
-- The bench need not be known: what its owner says counts from the first claim on, and until it is taken back.
--@include benches
local bench, word, reason = ARGV[2], ARGV[3], ARGV[4]
local before = service_of(bench)
local was = before and before.word or ""
if was == word and (not before or before.reason == reason) then
  return { "same", was }
end
if word == "" then
  redis.call("HDEL", K.bench_service, bench)
else
  redis.call("HSET", K.bench_service, bench, table.concat({ word, stamp(now), reason }, " "))
end
log_change(bench, "", was == "" and "in service" or was, word == "" and "in service" or word, reason, "")
news("service")
return { "changed", was }
