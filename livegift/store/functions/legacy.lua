-- Rooms in the form of versions before decisions 019 and 020: zset ':ranks' maps users to the coins that they have not
-- given anonymously; there is no hash ':gifters' and no zset ':board'; in ':combos' the events have positions as ids.
-- The last step removes ':ranks', so that each room is converted once. A step finds the room as it was at the first
-- one, or does nothing: then somebody has published to it or corrected it since, and the ledger has to be asked again.

local function stamp_of(root)
  if redis.call('EXISTS', root .. ':ranks') == 0 then return nil end
  local row = redis.call('HMGET', root .. ':state', 'epoch', 'seq', 'gifts', 'coins')
  return (row[1] or '') .. ' ' .. (row[2] or '') .. ' ' .. (row[3] or '') .. ' ' .. (row[4] or '')
end

-- [generated] function room_older
-- Return nothing unless it is a legacy room; else its stamp, then id and last event of each open streak.
local function room_older_2(keys)
  local root = keys[1]
  -- [/generated]
  local stamp = stamp_of(root)
  if not stamp then return {} end
  local reply = redis.call('HGETALL', root .. ':combos')
  table.insert(reply, 1, stamp)
  return reply
end

-- [generated] function room_older_gifters
-- Give a legacy room its gifters. Returns 1, or 0 when the room has changed since.
local function room_older_gifters_2(keys, argv)
  local root = keys[1]
  local stamp = argv[1]
  -- [/generated]
  if stamp_of(root) ~= stamp then return 0 end
  -- [generated] each room_older_gifters.gifters
  for at = 2, #argv, 4 do
    local user = argv[at]
    local gifts = tonumber(argv[at + 1])
    local coins = tonumber(argv[at + 2])
    local reached_ms = tonumber(argv[at + 3])
    -- [/generated]
    set_gifter(root, user, gifts, coins, reached_ms)
  end
  return 1
end

-- [generated] function room_older_end
-- Give a legacy room its open streaks, the last step. Returns 1, or 0 when the room has changed since.
local function room_older_end_2(keys, argv)
  local root = keys[1]
  local stamp = argv[1]
  -- [/generated]
  if stamp_of(root) ~= stamp then return 0 end
  -- [generated] each room_older_end.streaks
  for at = 2, #argv, 2 do
    local combo_id = argv[at]
    local event = argv[at + 1]
    -- [/generated]
    redis.call('HSET', root .. ':combos', combo_id, event)
  end
  local left_ms = redis.call('PTTL', root .. ':state')
  if left_ms > 0 then
    for _, suffix in ipairs({ 'gifters', 'board' }) do redis.call('PEXPIRE', root .. ':' .. suffix, left_ms) end
  end
  redis.call('UNLINK', root .. ':ranks')
  return 1
end

-- [generated] registrations
redis.register_function { function_name = 'room_older_2', callback = room_older_2, flags = { 'no-writes' } }
redis.register_function {
  function_name = 'room_older_gifters_2', callback = room_older_gifters_2,
  flags = { 'allow-oom' }
}
redis.register_function { function_name = 'room_older_end_2', callback = room_older_end_2, flags = { 'allow-oom' } }
-- [/generated]
