-- Requests for `count` objects below `prefix`, each a browser's with a cookie and a token; made before the
-- clock starts.
local requests, count, position = {}, 1, 0

function init(args)
  local prefix = args[1]
  count = tonumber(args[2])
  local fields = {
    ["Cookie"] = "session=7b1f2d3c4e5f60718293a4b5c6d7e8f9; theme=dark; lang=de",
    ["Authorization"] = "Bearer " .. args[3],
  }
  for index = 0, count - 1 do
    requests[index] = wrk.format("GET", prefix .. index, fields)
  end
end

function request()
  position = (position + 1) % count
  return requests[position]
end
