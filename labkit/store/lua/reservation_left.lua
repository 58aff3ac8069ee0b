-- Which devices of a session are not given back yet.
-- ARGV: time, session, bench ('' all)
-- Returns: device, 'beating' or 'gone' for its host, ... (flat)
--@include benches
local s = record(of("session", ARGV[2]))
local left = {}
for _, bench in ipairs(ARGV[3] ~= "" and { ARGV[3] } or benches_of(s)) do
  local host = alive(host_of(bench).process) and "beating" or "gone"
  for _, device in ipairs(devices_of(bench)) do
    local hold = hold_of(device)
    if hold and hold.session == ARGV[2] then
      left[#left + 1] = device
      left[#left + 1] = host
    end
  end
end
return left
