-- Record the end of a runner's last task and claim the next, both in one: a task is queued or owned, nothing between.
-- A runner that sleeps where there is none is handed the next one when it is submitted.
-- ARGV: time, process, runner, again ('1': it may have been given a task of which it does not know: it slept, or an answer got lost),
--       claim ('' only record the end, back: give back what it may have been given, urgent, any, sleep: any, or sleep),
--       error of a task whose session is over, error of a task without its lock,
--       last task ('' none), process that it was claimed under, status, result, error
-- Returns: {end, what, ...}; end: '' | ended | lost (it was not this runner's any more; its result is dropped);
--          what: claimed, record | empty | more (ask again at once) | gone (the process counts as gone) | '' (no claim wished)
--@include tasks
local LOOKED_AT = 500 -- ids that one run of the script may take off the queue
local process, runner, last, mine = ARGV[2], ARGV[3], ARGV[8], ARGV[9]

local word = ""
if last ~= "" then
  local t = some(of("task", last), { "status", "name", "session", "lock", "keep", "owner", "runner", "started", "data", "progress", "stop" })
  t = t.status ~= "" and t
  word = "lost"
  if redis.call("HGET", K.running, last) == mine then
    if t then
      end_task(last, t, ARGV[10], ARGV[11], ARGV[12], runner)
      word = "ended"
    else
      redis.call("HDEL", K.running, last)
    end
  elseif t and t.runner == runner and t.status == ARGV[10] then
    word = "ended" -- the first time that this was sent
  end
end

local claim = ARGV[5]
if claim == "" then
  return { word, "" }
elseif ARGV[4] == "1" then
  redis.call("LREM", K.sleeping, 0, runner .. " " .. process)
  for id, owner in pairs(record(K.running)) do
    local t, flat
    if owner == process and id ~= last then
      t, flat = task_of(id)
    end
    if t and t.runner == runner then
      if claim == "back" then
        give_back(id, t)
      elseif alive(process) then
        redis.call("LREM", of("handed", runner), 0, unread(id, t) or "")
        return { word, "claimed", packed(flat) }
      end
    end
  end
end
if claim == "back" then
  return { word, "empty" }
elseif not alive(process) then
  return { word, "gone" }
end

for _ = 1, LOOKED_AT do
  local id = redis.call("LPOP", K.urgent) or (claim ~= "urgent" and redis.call("LPOP", K.queue))
  if not id then
    if claim ~= "sleep" then
      return { word, "empty" }
    end
    local handed = redis.call("LPOP", of("handed", runner)) -- it slept only in the eyes of the store: a question came late
    if not handed then
      redis.call("RPUSH", K.sleeping, runner .. " " .. process)
      return { word, "empty" }
    end
    local given = string.match(handed, "^id%z(%Z+)")
    local t = task_of(given)
    if t and t.status == "running" and t.owner == process then
      return { word, "claimed", handed }
    elseif t and t.status == "running" then -- handed to it under the name that its process had before it was taken for dead
      give_back(given, t)
    end
  else
    local t, flat = task_of(id)
    if t and t.status == "submitted" then
      if not may_start(t) then
        end_task(id, t, "failed", "", ARGV[6], "")
      elseif t.lock ~= "" and redis.call("HGET", K.unique, t.lock) ~= id then
        end_task(id, t, "failed", "", ARGV[7], "")
      else
        return { word, "claimed", own(id, t, flat, process, runner) }
      end
    end
  end
end
return { word, "more" }
