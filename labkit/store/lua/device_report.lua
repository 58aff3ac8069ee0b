-- The host says what condition a device is in, and up to which fence it has been made safe (or found broken).
-- ARGV: time, bench, fence of the host's claim, device, condition, reason, fence up to which it was dealt with ('' none),
--       blame ('' nobody's)
-- Returns: ok | lost (another host has claimed the bench)
--@include benches
local bench, device, condition, reason, blame = ARGV[2], ARGV[4], ARGV[5], ARGV[6], ARGV[8]
if host_of(bench).fence ~= ARGV[3] then
  return "lost"
end
local changed = set_condition(bench, device, condition, blame, reason)
if changed then
  news("condition")
end
local hold = hold_of(device)
if hold and hold.state == "releasing" and ARGV[7] ~= "" and tonumber(hold.fence) <= tonumber(ARGV[7]) then
  redis.call("HDEL", K.holds, device)
  event(hold.session, "device", device, "hold", "none", "condition", condition, "reason", reason, "blame", blame)
elseif hold and changed then
  event(hold.session, "device", device, "condition", condition, "reason", reason, "blame", blame)
end
return "ok"
