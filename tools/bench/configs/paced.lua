-- One path, asked for at a rate: each connection pauses so many milliseconds before each request.
local request_text, pause

function init(args)
  request_text = wrk.format("GET", args[1])
  pause = tonumber(args[2])
end

function request() return request_text end
function delay() return pause end
