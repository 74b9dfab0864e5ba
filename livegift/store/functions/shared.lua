-- What all libraries begin with.

-- An integer as decimal digits. string.format costs more than a small write does, and most numbers here are small. %d
-- is exact up to 2^53 (Lua's numbers become a long) and a third of what %.0f costs.
local small = {}
local SMALL_MAX = 10000

local function int(n)
  local text = small[n]
  if text then return text end
  text = string.format('%d', n)
  if n >= 0 and n <= SMALL_MAX then small[n] = text end
  return text
end

-- Redis' clock.
local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
