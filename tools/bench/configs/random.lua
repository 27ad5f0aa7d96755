-- Requests for one of `count` objects below `prefix`, drawn anew each time, in every run another row.
local prefix, count = "/", 1
local threads = 0

function setup(thread)
  thread:set("offset", threads)
  threads = threads + 1
end

function init(args)
  prefix, count = args[1], tonumber(args[2])
  math.randomseed(os.time() * 64 + offset)
end

function request()
  return wrk.format("GET", prefix .. math.random(0, count - 1))
end
