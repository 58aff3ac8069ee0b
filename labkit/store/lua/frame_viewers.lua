-- Count who looks at feeds of frames of one device, in the session that has it reserved under a fence.
-- ARGV: time, device, fence, feed ...
-- Returns: for each feed how many connections would get a frame of it; empty where no session has it under this fence
--@include benches
local hold = hold_of(ARGV[2])
if not hold or hold.state ~= "reserved" or hold.fence ~= ARGV[3] then
  return {}
end
local counts = {}
for i = 4, #ARGV do
  counts[#counts + 1] = redis.call("PUBSUB", "NUMSUB", of("frames", hold.session .. "/" .. ARGV[2] .. "/" .. ARGV[i]))[2]
end
return counts
