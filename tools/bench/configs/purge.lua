-- PURGE requests, one after the other: of tags that some objects have, or of URLs.
local kind, number, counter = "tag", 0, 0

function setup(thread)
  thread:set("first", counter * 1000003)
  counter = counter + 1
end

function init(arguments)
  kind = arguments[1] or "tag"
  number = first
end

function request()
  number = number + 1
  if kind == "url" then
    return wrk.format("PURGE", "/tagged/" .. number % 1000000)
  end
  return wrk.format("PURGE", "/", { ["xkey-purge"] = "group-" .. number % 1000 .. "-" .. number })
end
