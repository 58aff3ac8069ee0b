-- The host says what condition a device is in, and up to which fence it has been made safe (or found broken).
-- ARGV: time, bench, fence of the host's claim, device, condition, reason, fence up to which it was dealt with ('' none)
-- Returns: ok | lost (another host has claimed the bench)
--@include benches
local bench, device = ARGV[2], ARGV[4]
if host_of(bench).fence ~= ARGV[3] then
  return "lost"
end
local old, since, old_reason = condition_of(device)
if old ~= ARGV[5] or old_reason ~= ARGV[6] then
  redis.call("HSET", K.conditions, device, ARGV[5] .. " " .. stamp(now) .. " " .. ARGV[6])
  news("condition")
end
local hold = hold_of(device)
if hold and hold.state == "releasing" and ARGV[7] ~= "" and tonumber(hold.fence) <= tonumber(ARGV[7]) then
  redis.call("HDEL", K.holds, device)
  event(hold.session, "device", device, "hold", "none", "condition", ARGV[5], "reason", ARGV[6])
  hold = nil
elseif hold and (old ~= ARGV[5] or old_reason ~= ARGV[6]) then
  event(hold.session, "device", device, "condition", ARGV[5], "reason", ARGV[6])
end
return "ok"
