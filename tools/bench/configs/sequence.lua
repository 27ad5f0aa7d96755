-- Every URL below a prefix once, in order: the first argument is the prefix, the second how many, the third
-- (or 0) where to begin.
local prefix, count, number, counter = "/", 1, 0, 0

function setup(thread)
  thread:set("first", counter)
  counter = counter + 1
end

function init(arguments)
  prefix = arguments[1]
  count = tonumber(arguments[2])
  number = first + tonumber(arguments[3] or "0")
end

function request()
  local path = prefix .. number % count
  number = number + 1
  return wrk.format("GET", path)
end
