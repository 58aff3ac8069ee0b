-- Record the end of a runner's last task and claim the next, both in one: a task is queued or owned, nothing between.
-- ARGV: time, process, runner, again ('1': the answer to the same question got lost), claim ('' only record the end, mine: only what that
--       answer had claimed, urgent, any),
--       error of a task whose session is over, error of a task without its lock,
--       last task ('' none), process that it was claimed under, status, result, error
-- Returns: {end, what, ...}; end: '' | ended | lost (it was not this runner's any more; its result is dropped);
--          what: claimed, {field, value, ...} | empty | more (ask again at once) | gone (the process counts as gone) | '' (no claim wished)
--@include tasks
local LOOKED_AT = 500 -- ids that one run of the script may take off the queue
local process, runner, last, mine = ARGV[2], ARGV[3], ARGV[8], ARGV[9]

local word = ""
if last ~= "" then
  local t = task_of(last)
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

if ARGV[5] == "" then
  return { word, "" }
elseif not alive(process) then
  return { word, "gone" }
end
if ARGV[4] == "1" then
  for id, owner in pairs(record(K.running)) do
    if owner == process and id ~= last and redis.call("HGET", of("task", id), "runner") == runner then
      return { word, "claimed", redis.call("HGETALL", of("task", id)) }
    end
  end
end

if ARGV[5] == "mine" then
  return { word, "empty" }
end
local answer = { word, "more" }
for _ = 1, LOOKED_AT do
  local id = redis.call("LPOP", K.urgent) or (ARGV[5] == "any" and redis.call("LPOP", K.queue))
  if not id then
    answer = { word, "empty" }
    break
  end
  local t = task_of(id)
  if t and t.status == "submitted" then
    if not may_start(t) then
      end_task(id, t, "failed", "", ARGV[6], "")
    elseif t.lock ~= "" and redis.call("HGET", K.unique, t.lock) ~= id then
      end_task(id, t, "failed", "", ARGV[7], "")
    else
      redis.call("HSET", of("task", id), "status", "running", "owner", process, "runner", runner, "started", stamp(now))
      redis.call("HSET", K.running, id, process)
      event(t.session, "task", id, "name", t.name, "status", "running")
      answer = { word, "claimed", redis.call("HGETALL", of("task", id)) }
      break
    end
  end
end
local queued = redis.call("LLEN", K.queue) + redis.call("LLEN", K.urgent) -- tokens of tasks that are no longer queued would wake runners for nothing
if queued == 0 then
  redis.call("DEL", K.task_wake)
else
  redis.call("LTRIM", K.task_wake, 0, queued - 1)
end
return answer
