-- Look after a call that has no reply yet: is the host that got it still there? With 'withdraw', take it back if nobody has it.
-- ARGV: time, bench, fence of the host's claim, payload, withdraw ('1' or '')
-- Returns: {beating | gone, withdrawn (1 or 0)}
--@include benches
local host = host_of(ARGV[2])
local same = host.fence == ARGV[3] and alive(host.process)
local withdrawn = 0
if ARGV[5] == "1" or not same then
  withdrawn = redis.call("LREM", of("calls", ARGV[2] .. "@" .. ARGV[3]), 1, ARGV[4])
end
return { same and "beating" or "gone", withdrawn }
