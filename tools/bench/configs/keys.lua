-- One path; each request with one of many keys, in an order that each thread shuffles for itself.
local path, count = "/", 1
local heads = {}

function init(args)
  path, count = args[1], tonumber(args[2])
  math.randomseed(os.time() + tonumber(tostring({}):sub(8)))
  if count > 1 then
    for index = 1, 10000 do
      heads[index] = wrk.format("GET", path, { ["X-Key"] = "k" .. math.random(count) })
    end
  else
    heads[1] = wrk.format("GET", path)
  end
end

local turn = 0
function request()
  turn = turn % #heads + 1
  return heads[turn]
end
