-- Requests for `count` objects below `prefix`, in an order that a cache cannot guess but every run
-- repeats. The requests are made before the clock starts; each one then costs the load generator an
-- addition and a look into a table.
local requests, count, position = {}, 1, 0
local threads = 0

function setup(thread)
  thread:set("offset", threads * 7919)
  threads = threads + 1
end

function init(args)
  local prefix = args[1]
  count = tonumber(args[2])
  for index = 0, count - 1 do
    requests[index] = wrk.format("GET", prefix .. index)
  end
  position = offset % count
end

function request()
  -- The step is a prime: it visits every object once before it comes back.
  position = (position + 6151) % count
  return requests[position]
end
