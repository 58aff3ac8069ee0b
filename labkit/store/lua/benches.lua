-- Library: holds, conditions and hosts of benches. Included by the scripts that reserve, release and call.

-- A hold is 'state fence session since until'; a device without one is free.
local function hold_of(device)
  local w = words(redis.call("HGET", K.holds, device))
  if #w == 0 then
    return nil
  end
  return { state = w[1], fence = w[2], session = w[3], since = w[4], till = w[5] }
end

local function set_hold(device, hold)
  redis.call("HSET", K.holds, device, table.concat({ hold.state, hold.fence, hold.session, hold.since, hold.till }, " "))
end

-- A condition is 'condition since blame reason...'; its only writer is the device's host (and the claim that resets it).
local function condition_of(device)
  local state, since, blame, reason = string.match(redis.call("HGET", K.conditions, device) or "", "^(%S+) (%S+) ?(%S*) ?(.*)$")
  return { state = state or "offline", since = since, blame = blame and blame ~= "-" and blame or "",
    reason = reason or "not opened yet" }
end

-- One line of a bench's log. device: '' for the bench as a whole; blame: '' nobody's.
local function log_change(bench, device, before, after, reason, blame)
  redis.call("XADD", of("bench_log", bench), "MAXLEN", "1000", "*", "at", stamp(now), "device", device, "before", before,
    "after", after, "reason", reason, "blame", blame)
end

-- Was a line of the device written to its bench's log within the last minute? One that is not among the newest hundred: no.
local function logged_lately(bench, device)
  for _, entry in ipairs(redis.call("XREVRANGE", of("bench_log", bench), "+", "-", "COUNT", "100")) do
    local age = now - tonumber(entry[2][2])
    if entry[2][4] == device then
      return age >= 0 and age < 60
    end
  end
  return false
end

-- Set a condition and write it to the log, where new words alone (a count, a time in them) make one line a minute, so that
-- they don't push out what matters. Returns whether that was any news.
local function set_condition(bench, device, state, blame, reason)
  local was = condition_of(device)
  if was.state == state and was.reason == reason then
    return false
  end
  local since = was.state == state and was.since or stamp(now)
  redis.call("HSET", K.conditions, device, table.concat({ state, since, blame == "" and "-" or blame, reason }, " "))
  if was.state ~= state or was.blame ~= blame or not logged_lately(bench, device) then
    log_change(bench, device, was.state, state, reason, blame)
  end
  return true
end

-- What the lab's owner has said of a bench, nil where nothing: 'drained since reason' or 'maintenance since reason'.
local function service_of(bench)
  local word, since, reason = string.match(redis.call("HGET", K.bench_service, bench) or "", "^(%S+) (%S+) ?(.*)$")
  return word and { word = word, since = since, reason = reason } or nil
end

local function host_of(bench)
  local w = words(redis.call("HGET", K.bench_host, bench))
  return { process = w[1], fence = w[2], machine = w[3], seen = tonumber(w[4] or "0") }
end

local function devices_of(bench)
  local names = words(redis.call("HGET", K.bench_devices, bench))
  for i, name in ipairs(names) do
    names[i] = bench .. "/" .. name
  end
  return names
end

-- nil where the bench can be given out, else a row: bench, why, and two facts of the why. session: the one that asks.
local function refusal(bench, session)
  local service = service_of(bench)
  if service then
    return { bench, service.word, service.since, service.reason }
  end
  for _, device in ipairs(devices_of(bench)) do
    local hold = hold_of(device)
    if hold then
      return { bench, (hold.session == session and "own-" or "") .. hold.state, hold.since, hold.till }
    end
  end
  if not alive(host_of(bench).process) then
    return { bench, "no-host", "", "" }
  end
  for _, device in ipairs(devices_of(bench)) do
    local condition = condition_of(device)
    if condition.state ~= "ok" then
      return { bench, condition.state, device, condition.reason }
    end
  end
  return nil
end

local function has_all(have, wanted)
  local set = {}
  for _, word in ipairs(words(have)) do
    set[word] = true
  end
  for _, word in ipairs(words(wanted)) do
    if not set[word] then
      return false
    end
  end
  return true
end

-- The free bench that was used least recently and fits: its name, or nil and a row for each bench that was refused.
local function pick(want, features, excluded, session)
  local best, best_used, rows, skip = nil, nil, {}, {}
  for _, bench in ipairs(words(excluded)) do
    skip[bench] = true
  end
  local names = redis.call("HKEYS", K.bench_devices)
  table.sort(names)
  for _, bench in ipairs(names) do
    local fits = (want == "" or want == bench) and has_all(redis.call("HGET", K.bench_features, bench), features)
    if fits and not skip[bench] then
      local row = refusal(bench, session)
      if row then
        rows[#rows + 1] = row
      else
        local used = tonumber(redis.call("HGET", K.bench_used, bench) or "0")
        if not best or used < best_used then
          best, best_used = bench, used
        end
      end
    end
  end
  return best, rows
end

local function reserve(bench, session, till)
  local fence = next_fence()
  for _, device in ipairs(devices_of(bench)) do
    set_hold(device, { state = "reserved", fence = fence, session = session, since = stamp(now), till = till })
  end
  redis.call("HSET", K.bench_used, bench, fence)
  return fence
end

-- The benches of a session, from its field 'bench=fence bench=fence'.
local function benches_of(s)
  local found = {}
  for _, pair in ipairs(words(s.benches)) do
    found[#found + 1] = string.match(pair, "^(.-)=")
  end
  return found
end

-- The words of that field without the one of `bench`.
local function benches_without(s, bench)
  local kept = {}
  for _, pair in ipairs(words(s.benches)) do
    if string.match(pair, "^(.-)=") ~= bench then
      kept[#kept + 1] = pair
    end
  end
  return kept
end

-- Give all devices that the session still has reserved a new state and the fence.
local function move_holds(benches, session, state, fence)
  local moved = {}
  for _, bench in ipairs(benches) do
    for _, device in ipairs(devices_of(bench)) do
      local hold = hold_of(device)
      if hold and hold.session == session and hold.state == "reserved" then
        hold.state, hold.fence = state, fence
        if state == "releasing" then
          hold.since = stamp(now)
        end
        set_hold(device, hold)
        moved[#moved + 1] = device
      end
    end
  end
  return moved
end
