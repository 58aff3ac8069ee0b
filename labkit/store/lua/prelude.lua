-- What every script has: the time, whether a process is alive, fences, holds, when a session is over. KEYS have names in K.
-- A script decides first and writes last. ARGV[1] is empty (the store's own time) or a test's time in seconds.
local now = tonumber(ARGV[1])
if not now then
  local t = redis.call("TIME")
  now = tonumber(t[1]) + tonumber(t[2]) / 1000000
end

local GONE = 4 -- seconds without a beat after which a process counts as gone

local stamped = nil
local function stamp(seconds)
  if seconds ~= now then
    return string.format("%.6f", seconds)
  end
  stamped = stamped or string.format("%.6f", now)
  return stamped
end

local function of(family, id)
  return K[family] .. ":" .. id
end

-- A hash by its fields, and the flat list that the store has of it.
local function record(key)
  local flat, found = redis.call("HGETALL", key), {}
  for i = 1, #flat, 2 do
    found[flat[i]] = flat[i + 1]
  end
  return found, flat
end

-- Fields and values as one text, parted by NUL, which no value has (JSON escapes it, names have none). A client takes long
-- for a list. Of a field that is there twice the last value counts.
local function packed(flat, last)
  return table.concat(flat, "\0", 1, last or #flat)
end

-- Some fields of a hash; what it has not is ''.
local function some(key, fields)
  local values, found = redis.call("HMGET", key, unpack(fields)), {}
  for i, field in ipairs(fields) do
    found[field] = values[i] or ""
  end
  return found
end

local function words(text)
  local found = {}
  for word in string.gmatch(text or "", "%S+") do
    found[#found + 1] = word
  end
  return found
end

local function alive(process)
  local beat = process and process ~= "" and redis.call("ZSCORE", K.processes, process)
  -- a beat from the future is no beat: the store's clock was set back
  return beat and now - tonumber(beat) <= GONE and tonumber(beat) <= now + GONE
end

-- Whether what asks is a task ('' none) that does not run in its process any more: nothing that it does counts then.
local function task_lost(task, process)
  return task ~= "" and redis.call("HGET", K.running, task) ~= process
end

-- One counter for the lab. It never falls behind the time, so a store that lost its last second gives none out twice.
local function next_fence()
  local last = tonumber(redis.call("HGET", K.lab, "fence") or "0")
  local fence = string.format("%.0f", math.max(last + 1, math.floor(now * 1000000)))
  redis.call("HSET", K.lab, "fence", fence)
  return fence
end

local function news(what)
  redis.call("XADD", K.changes, "MAXLEN", "~", "100", "*", "news", what)
end

local function event(session, ...)
  if redis.call("EXISTS", of("session", session)) == 1 then
    local key = of("events", session)
    redis.call("XADD", key, "MAXLEN", "~", "1000", "*", "at", stamp(now), ...)
    if redis.call("TTL", key) < 82800 then -- a day from the last event, give or take an hour
      redis.call("EXPIRE", key, 86400)
    end
  end
end

-- The same for a session that surely goes on: what it shows is kept for a day longer than itself anyhow.
local function event_of_live(session, ...)
  redis.call("XADD", of("events", session), "MAXLEN", "~", "1000", "*", "at", stamp(now), ...)
end

-- When the session is over by itself, in seconds since 1970.
local function deadline(s)
  local at, timeout = tonumber(s.max_date), tonumber(s.timeout)
  if timeout > 0 then
    at = math.min(at, tonumber(s.last_poll) + timeout)
  end
  return at
end

-- Why an active session is over, or nil: the only definition of it.
local function over(s)
  if s.exited == "1" then
    return "logout"
  elseif now < deadline(s) then
    return nil
  elseif deadline(s) < tonumber(s.max_date) then
    return "inactivity"
  end
  return "time"
end
