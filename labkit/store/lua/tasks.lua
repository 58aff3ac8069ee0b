-- Library: which tasks may still start, which are lost, who holds a unique lock, how a task reaches a runner, the one end of a task.

local DONE_KEPT = 60 -- seconds that the word of a task's end is kept for those who wait for it; wait_end relies on it
local TOLD = 16384 -- bytes of a result that go with that word; who waits for a larger one reads it

-- The record of a task and the flat list that the store has of it, or nil.
local function task_of(id)
  local flat = redis.call("HGETALL", of("task", id))
  local t = { lock = "", late = "", under = "", owner = "", runner = "", urgent = "" } -- what is empty is not kept
  for i = 1, #flat, 2 do
    t[flat[i]] = flat[i + 1]
  end
  if t.status then
    return t, flat
  end
end

-- What of a session decides whether its tasks may start, or nil.
local function session_of(id)
  local s = some(of("session", id), { "state", "exited", "max_date", "timeout", "last_poll", "step", "fence", "owner" })
  return s.state ~= "" and s or nil
end

-- Tasks of a session start only while it lives. Those of its ending: under the fence of that ending, while on_dispose has
-- its time. A late one was asked for by a user who was out already (in a page guarded by requires_login): it has no devices.
local function may_start(t, s)
  s = s or session_of(t.session)
  if not s then
    return false
  elseif t.purpose == "ending" then
    return s.state == "ending" and s.step == "dispose" and s.fence == t.under
  end
  return t.late == "1" or s.state == "starting" or (s.state == "active" and not over(s))
end

-- Whether a running task's owner is gone, whether somebody has buried that process or not.
local function is_orphan(id, t)
  return t.status == "running" and not (redis.call("HGET", K.running, id) == t.owner and alive(t.owner))
end

-- Take a task out of the queue that no runner is to find there any more.
local function unqueue(id)
  redis.call("LREM", K.queue, 1, id)
  redis.call("LREM", K.urgent, 1, id)
end

-- What lies there for the runner that was handed a task, as long as it has surely not read it.
local function unread(id, t)
  for _, handed in ipairs(redis.call("LRANGE", of("handed", t.runner), 0, -1)) do
    if string.sub(handed, 1, #id + 4) == "id\0" .. id .. "\0" then -- its arguments may name any other task
      return handed
    end
  end
end

-- A task is lost when its owner is gone, and may have begun it.
local function is_lost(id, t)
  return is_orphan(id, t) and not unread(id, t)
end

-- The task that rightly holds a unique lock, or nil and the id and record of one that is lost with the lock in its hands.
local function lock_holder(lock)
  local id = redis.call("HGET", K.unique, lock)
  local t = id and task_of(id)
  if t and t.status == "submitted" and may_start(t) then
    return id
  elseif t and t.status == "running" then
    if is_lost(id, t) then
      return nil, id, t
    end
    return id
  end
  return nil
end

-- From now on a task is this runner's. Returns its record, packed.
local function own(id, t, flat, process, runner)
  local owned = { "status", "running", "owner", process, "runner", runner, "started", stamp(now) }
  redis.call("HSET", of("task", id), unpack(owned))
  redis.call("HSET", K.running, id, process)
  local tell = t.late == "1" and event or event_of_live
  tell(t.session, "task", id, "name", t.name, "status", "running")
  return packed(flat) .. "\0" .. packed(owned)
end

-- Hand a task to the runner that fell asleep last, if one sleeps in a live process.
local function hand_over(id, t, flat)
  local sleeper = redis.call("RPOP", K.sleeping)
  while sleeper do
    local runner, process = string.match(sleeper, "^(%S+) (.*)$")
    if alive(process) then
      redis.call("RPUSH", of("handed", runner), own(id, t, flat, process, runner))
      return true
    end
    sleeper = redis.call("RPOP", K.sleeping)
  end
  return false
end

-- A task that its runner surely has not begun is the first in the queue again; sleeping runners hear of it with their beat.
local function give_back(id, t)
  redis.call("HDEL", K.running, id)
  redis.call("LREM", of("handed", t.runner), 0, unread(id, t) or "")
  redis.call("HDEL", of("task", id), "owner", "runner", "started")
  redis.call("HSET", of("task", id), "status", "submitted")
  redis.call("LPUSH", t.urgent == "1" and K.urgent or K.queue, id)
  event(t.session, "task", id, "name", t.name, "status", "submitted")
  t.status, t.owner, t.runner = "submitted", "", ""
end

-- End a task: its record, its unique lock, its owner, those who wait for it. A task of a live session is kept as long as
-- that one (which gives it an end when it expires itself); one of an expired session, as long as that is still kept.
-- The word for who waits has all of its record that may have changed since it was submitted.
local function end_task(id, t, status, result, problem, runner)
  local key, done = of("task", id), of("task_done", id)
  local left = redis.call("TTL", of("session", t.session))
  local ended = { "status", status, "result", result, "error", problem, "runner", runner, "ended", stamp(now) }
  local before = { "owner", t.owner, "started", t.started or "", "data", t.data, "progress", t.progress or "", "stop", t.stop or "" }
  redis.call("HSET", key, unpack(ended))
  if t.lock ~= "" and redis.call("HGET", K.unique, t.lock) == id then
    redis.call("HDEL", K.unique, t.lock)
  end
  redis.call("HDEL", K.running, id)
  redis.call("XADD", done, "*", "end", #result > TOLD and "" or packed(ended) .. "\0" .. packed(before))
  redis.call("EXPIRE", done, DONE_KEPT)
  if left ~= -1 then
    redis.call("EXPIRE", key, left >= 0 and math.max(1, left) or math.max(1, math.ceil(tonumber(t.keep))))
  end
  event(t.session, "task", id, "name", t.name, "status", status)
end

-- Whoever finds a running task whose owner is gone sees to it: nobody ever sees a dead one running. Returns whether it was.
local function settle(id, t, problem)
  if not is_orphan(id, t) then
    return false
  elseif unread(id, t) then
    give_back(id, t)
  else
    end_task(id, t, "failed", "", problem, "")
    t.status = "failed"
  end
  return true
end
