-- Is there a process alive that has a role?
-- ARGV: time, role, process that does not count
-- Returns: the process, or ''
for process, roles in pairs(record(K.roles)) do
  if process ~= ARGV[3] and alive(process) and string.find(" " .. roles .. " ", " " .. ARGV[2] .. " ", 1, true) then
    return process
  end
end
return ""
