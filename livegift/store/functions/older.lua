-- Rooms as versions before decisions 019 and 020 left them. The third part of the library of rooms.lua, whose locals it uses.
-- Zset ':ranks': user -> coins that were not given anonymously; no hash ':gifters', no zset ':board'. In ':combos' the events name
-- places. ':ranks' goes with the last step, so that each room is converted once. A step finds the room as it was when the first
-- was taken, or does nothing: then somebody has published to it or corrected it since, and the ledger has to be asked again.

local function stamp_of(root)
  if redis.call('EXISTS', root .. ':ranks') == 0 then return nil end
  local row = redis.call('HMGET', root .. ':state', 'epoch', 'seq', 'gifts', 'coins')
  return (row[1] or '') .. ' ' .. (row[2] or '') .. ' ' .. (row[3] or '') .. ' ' .. (row[4] or '')
end

-- Returns nothing when the room has no older form; else its stamp, then the id and event of each open streak.
local function room_older_1(keys)
  local stamp = stamp_of(keys[1])
  if not stamp then return {} end
  local reply = redis.call('HGETALL', keys[1] .. ':combos')
  table.insert(reply, 1, stamp)
  return reply
end

-- ARGV: stamp, then user, gifts, coins, reached ms per gifter. Returns 1, or 0 when the room is not as it was.
local function room_older_gifters_1(keys, argv)
  if stamp_of(keys[1]) ~= argv[1] then return 0 end
  for i = 2, #argv, 4 do
    set_gifter(keys[1], argv[i], tonumber(argv[i + 1]), tonumber(argv[i + 2]), tonumber(argv[i + 3]))
  end
  return 1
end

-- The last step. ARGV: stamp, then id and event of each open streak. Returns 1, or 0 when the room is not as it was.
local function room_older_end_1(keys, argv)
  local root = keys[1]
  if stamp_of(root) ~= argv[1] then return 0 end
  for i = 2, #argv, 2 do redis.call('HSET', root .. ':combos', argv[i], argv[i + 1]) end
  local left_ms = redis.call('PTTL', root .. ':state')
  if left_ms > 0 then
    for _, suffix in ipairs({ 'gifters', 'board' }) do redis.call('PEXPIRE', root .. ':' .. suffix, left_ms) end
  end
  redis.call('UNLINK', root .. ':ranks')
  return 1
end

redis.register_function { function_name = 'room_older_1', callback = room_older_1, flags = { 'no-writes' } }
redis.register_function { function_name = 'room_older_gifters_1', callback = room_older_gifters_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'room_older_end_1', callback = room_older_end_1, flags = { 'allow-oom' } }
