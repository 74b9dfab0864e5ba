-- The beginning of all libraries.

-- Globals other than `redis` can't be read while a library is loaded, but a text has its methods.
local format = ('').format

-- An integer as decimal digits. %d is exact up to 2^53 (Lua's numbers become a long) and a third of what %.0f costs. A
-- table that remembers the texts costs more than it saves: the garbage collector traverses it again and again.
local function int(number) return format('%d', number) end

-- Redis' clock.
local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
