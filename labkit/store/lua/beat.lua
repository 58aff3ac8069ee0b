-- One beat of a process, and all the news for it: what is due, who is gone, the holds of the benches that it hosts.
-- ARGV: time, process, first ('1' or ''), roles, highest fence it knows, 'bench=fence' it hosts ...,
--       'bench~fence' that it hosts no more, and that is still open in it: being closed, or a device of it hangs
-- Returns: {gone} (it was silent too long: it must take a new name) |
--          {ok, now, went back ('1' or ''), tasks queued, urgent ones of them, {due sessions}, {gone processes}, {bench, ok|lost, ...}, {device, hold's state, fence, session, until when that is live, ...}, {bench in maintenance, reason, ...}, when somebody began to look at frames, {device, condition, ...}}
--@include benches
local process = ARGV[2]
if ARGV[3] ~= "1" and not alive(process) then
  return { "gone" }
end
-- Until when the session of a hold is active if nobody does anything, '0' where it isn't. Asked once for each session.
local lives = {}
local function live_until(hold)
  if hold.state == "reserved" and not lives[hold.session] then
    local s = record(of("session", hold.session))
    lives[hold.session] = s.state == "active" and not over(s) and stamp(deadline(s)) or "0"
  end
  return hold.state == "reserved" and lives[hold.session] or "0"
end

local lab = some(K.lab, { "fence", "beaten", "watched" })
local back = tonumber(ARGV[5]) > (tonumber(lab.fence) or 0)
-- The store's clock was set back, be it bit by bit: what was to be looked at within seconds would wait until that time
-- comes again.
local beaten = tonumber(lab.beaten) or 0
local set_back = beaten > now + GONE
local early = set_back and redis.call("ZRANGEBYSCORE", K.deadlines, "(" .. stamp(now), "+inf") or {}
local due = redis.call("ZRANGEBYSCORE", K.deadlines, "-inf", #early > 0 and "+inf" or now, "LIMIT", 0, 50)
local gone = redis.call("ZRANGEBYSCORE", K.processes, "-inf", "(" .. stamp(now - GONE), "LIMIT", 0, 20)
for _, ahead in ipairs(redis.call("ZRANGEBYSCORE", K.processes, "(" .. stamp(now + GONE), "+inf", "LIMIT", 0, 20)) do
  gone[#gone + 1] = ahead
end
local benches, holds, mine, maintained, conditions = {}, {}, {}, {}, {}
for i = 6, #ARGV do
  local bench, what, fence = string.match(ARGV[i], "^(.-)([=~])(.*)$")
  local host = host_of(bench)
  local kept = what == "~"
  local ok = host.fence == fence and (kept or host.process == process)
  if not kept then
    benches[#benches + 1] = bench
    benches[#benches + 1] = ok and "ok" or "lost"
  end
  if ok then -- a kept one stays under the name that its process had: nobody gets it, and it stays with its machine
    mine[#mine + 1] = { bench, table.concat({ host.process, fence, host.machine, stamp(now) }, " ") }
  end
  if ok and not kept then
    local service = service_of(bench)
    if service and service.word == "maintenance" then
      maintained[#maintained + 1] = bench
      maintained[#maintained + 1] = service.reason
    end
    for _, device in ipairs(devices_of(bench)) do
      local hold = hold_of(device)
      conditions[#conditions + 1] = device
      conditions[#conditions + 1] = condition_of(device).state
      if hold then
        for _, fact in ipairs({ device, hold.state, hold.fence, hold.session, live_until(hold) }) do
          holds[#holds + 1] = fact
        end
      end
    end
  end
end
redis.call("ZADD", K.processes, now, process)
redis.call("HSET", K.roles, process, ARGV[4])
for _, row in ipairs(mine) do
  redis.call("HSET", K.bench_host, row[1], row[2])
end
redis.call("HSET", K.lab, "beaten", stamp(set_back and now or math.max(now, beaten)))
if back then
  redis.call("HSET", K.lab, "fence", ARGV[5])
end
for _, session in ipairs(early) do
  redis.call("ZADD", K.deadlines, now, session)
end
local urgent = redis.call("LLEN", K.urgent)
return { "ok", stamp(now), back and "1" or "", redis.call("LLEN", K.queue) + urgent, urgent, due, gone, benches, holds, maintained,
  lab.watched, conditions }
