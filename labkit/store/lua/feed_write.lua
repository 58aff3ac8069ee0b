-- Keep what a device gave, for the session that has the device reserved under the fence under which it arrived.
-- Nothing of it goes to the append-only file or to replicas: a store that starts again has only the gap to state.
-- ARGV: time, device, feed, fence, epoch, end offset, offset at which that fence's part began,
--       most to keep (bytes; for states messages), field ('d' bytes, 'j' a state as JSON), data
-- Returns: kept | known (this or a later one is there already) | dropped (nobody may see it)
--@include benches
redis.set_repl(redis.REPL_NONE)
local device, epoch, stop, first, keep = ARGV[2], ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8])
local hold = hold_of(device)
if not hold or hold.state ~= "reserved" or hold.fence ~= ARGV[4] then
  return "dropped"
end
local s = record(of("session", hold.session))
if s.state ~= "starting" and (s.state ~= "active" or over(s)) then
  return "dropped"
end
local key = of("feed", hold.session .. "/" .. device .. "/" .. ARGV[3])
local oldest = "0-0"
local last = redis.call("XREVRANGE", key, "+", "-", "COUNT", 1)[1]
if last then
  local last_epoch, last_stop = string.match(last[1], "^(%d+)-(%d+)$")
  if tonumber(last_epoch) == tonumber(epoch) then
    if tonumber(last_stop) >= tonumber(stop) then
      return "known"
    end
    first = last[2][2]
  elseif tonumber(last_epoch) > tonumber(epoch) then
    return "known"
  else
    first = "-1" -- the session had more before, of which nobody knows how much
    oldest = last_epoch .. "-0" -- at most two openings are kept, each capped
  end
end
if tonumber(stop) > keep then
  oldest = epoch .. "-" .. string.format("%.0f", tonumber(stop) - keep)
end
-- ids are offsets, so trimming by id is trimming by bytes
redis.call("XADD", key, "MINID", "=", oldest, epoch .. "-" .. stop, "f", first, ARGV[9], ARGV[10])
redis.call("EXPIRE", key, math.max(0, math.ceil(tonumber(s.max_date) - now)) + 120)
return "kept"
