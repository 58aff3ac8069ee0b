-- Library: which tasks may still start, which are lost, who holds a unique lock, and the one end of a task.

local DONE_KEPT = 60 -- seconds that the word of a task's end is kept for those who wait for it at that moment

-- The record of a task, or nil.
local function task_of(id)
  local t = record(of("task", id))
  return t.status and t
end

-- Tasks of a session start only while it lives. Those of its ending: under the fence of that ending, while on_dispose has
-- its time. A late one was asked for by a user who was out already (in a page guarded by requires_login): it has no devices.
local function may_start(t)
  local s = record(of("session", t.session))
  if not s.state then
    return false
  elseif t.purpose == "ending" then
    return s.state == "ending" and s.step == "dispose" and s.fence == t.under
  end
  return t.late == "1" or s.state == "starting" or (s.state == "active" and not over(s))
end

-- A running task is lost when the process that owns it is gone, whether somebody has buried that process or not.
local function is_lost(id, t)
  return t.status == "running" and not (redis.call("HGET", K.running, id) == t.owner and alive(t.owner))
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

-- End a task: its record, its unique lock, its owner, those who wait for it. A task of a live session is kept as long as
-- that one (which gives it an end when it expires itself); one of an expired session, as long as that is still kept.
local function end_task(id, t, status, result, problem, runner)
  local key, done = of("task", id), of("task_done", id)
  local left = redis.call("TTL", of("session", t.session))
  redis.call("HSET", key, "status", status, "result", result, "error", problem, "runner", runner, "ended", stamp(now))
  if t.lock ~= "" and redis.call("HGET", K.unique, t.lock) == id then
    redis.call("HDEL", K.unique, t.lock)
  end
  redis.call("HDEL", K.running, id)
  redis.call("XADD", done, "MAXLEN", "1", "*", "status", status)
  redis.call("EXPIRE", done, DONE_KEPT)
  if left ~= -1 then
    redis.call("EXPIRE", key, left >= 0 and math.max(1, left) or math.max(1, math.ceil(tonumber(t.keep))))
  end
  event(t.session, "task", id, "name", t.name, "status", status)
end
