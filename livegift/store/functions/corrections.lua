-- Correction of a room: branches of a partition that do not count, and contributions according to the ledger.

local FENCES_MAX = 4

-- [generated] function room_fence
-- Refuse, from now on, entries that are not on the branch that counts.
--
-- Returns the partitions and their contributions ('' for none).
local function room_fence_2(keys, argv)
  local root = keys[1]
  -- [/generated]
  local watermarks, reply = root .. ':watermarks', {}
  -- [generated] each room_fence.fences
  for at = 1, #argv, 3 do
    local partition = argv[at]
    local epoch = argv[at + 1]
    local base = argv[at + 2]
    -- [/generated]
    local field, kept = 'f' .. partition, { epoch .. '-' .. base }
    for fence in (redis.call('HGET', watermarks, field) or ''):gmatch('[%d-]+') do
      if #kept < FENCES_MAX and fence ~= kept[1] then kept[#kept + 1] = fence end
    end
    redis.call('HSET', watermarks, field, table.concat(kept, ','))
    reply[#reply + 1] = partition
    reply[#reply + 1] = redis.call('HGET', watermarks, partition) or ''
  end
  local state = load_state(root)
  if state.ttl_s then expire(root, state.ttl_s) end
  return reply
end

local GIFT_EVENT = '^{"seq":%d+,"type":"gift","id":"([^"]+)","ts_ms":%d+,"count":(%d+),"combo_id":"([^"]+)"'
  .. ',"repeat_count":%d+,"repeat_end":%l+,"coins":(%d+),"diamonds":(%d+)'

-- Revocations of the published gifts of a partition's epoch above `base`, newest first, as far as the log reaches back.
local function revocations(root, partition, epoch, base)
  local found, from, ts_ms = {}, '+', int(now_ms())
  local place = '^' .. partition .. '%-' .. int(epoch) .. '%-(%d+)$'
  while true do
    local rows = redis.call('XREVRANGE', root .. ':log', from, '-', 'COUNT', 100)
    for _, row in ipairs(rows) do
      local n = (row[2][4] or ''):match(place)
      local id, count, combo_id, coins, diamonds = row[2][2]:match(GIFT_EVENT)
      if n and id and tonumber(n) > base and count ~= '0' then
        found[#found + 1] = revoked_body(id, ts_ms, combo_id, count, coins, diamonds)
      end
    end
    if #rows < 100 then return found end
    from = '(' .. rows[#rows][1]
  end
end

local function correct_sums(state, contribution, right)
  for name, sum in pairs(right) do
    state[name], contribution[name] = state[name] - contribution[name] + sum, sum
  end
end

-- [generated] function room_correct
-- Set one partition's contribution to what the ledger says: position, sums and gifters.
--
-- `before` is the contribution as the caller has read it, '' for none. `revoke_above` is the n above which the room
-- has published entries that do not count, '' when there are none. With `room_lost`, the numbers that the room has
-- given lately are not valid. Returns how many gifts were revoked, or -1 when the contribution is no longer `before`.
local function room_correct_2(keys, argv)
  local root = keys[1]
  local log_max = argv[1]
  local top_size = tonumber(argv[2])
  local partition = argv[3]
  local before = argv[4]
  local epoch = tonumber(argv[5])
  local n = tonumber(argv[6])
  local gifts = tonumber(argv[7])
  local coins = tonumber(argv[8])
  local diamonds = tonumber(argv[9])
  local revoke_above = tonumber(argv[10])
  local room_lost = argv[11] == '1'
  local forgotten_count = tonumber(argv[12])
  -- [/generated]
  if (redis.call('HGET', root .. ':watermarks', partition) or '') ~= before then return -1 end
  local state, contribution = load_state(root), load_contribution(root, partition)
  local first_seq, events = state.seq + 1, {}
  local surplus = contribution.gifts - gifts
  if revoke_above then
    local found = revocations(root, partition, contribution.epoch, revoke_above)
    for i = #found, 1, -1 do events[#events + 1] = number(root, state, log_max, found[i]) end
  end
  correct_sums(state, contribution, { gifts = gifts, coins = coins, diamonds = diamonds })
  contribution.epoch, contribution.n = epoch, n
  save_contribution(root, partition, contribution)
  -- [generated] each room_correct.forgotten: forgotten as user
  for at = 13, 12 + forgotten_count do
    local user = argv[at]
    -- [/generated]
    set_gifter(root, user)
  end
  -- [generated] each room_correct.gifters: user, gifts as user_gifts, coins as user_coins, reached_ms, user_json
  for at = 13 + forgotten_count, #argv, 5 do
    local user = argv[at]
    local user_gifts = tonumber(argv[at + 1])
    local user_coins = tonumber(argv[at + 2])
    local reached_ms = tonumber(argv[at + 3])
    local user_json = argv[at + 4]
    -- [/generated]
    set_gifter(root, user, user_gifts, user_coins, reached_ms)
    if user_coins ~= 0 then redis.call('HSETNX', root .. ':names', user, user_json) end
  end
  for _, combo_id in ipairs(redis.call('HKEYS', root .. ':combos')) do
    if combo_id:match('^(%d+)%-') == partition then redis.call('HDEL', root .. ':combos', combo_id) end
  end
  -- If the events do not cover all of it (a revocation was lost), all viewers have to begin with a new snapshot.
  if room_lost or #events ~= surplus then state.epoch = int(tonumber(state.epoch) + 1) end
  save_and_publish(root, state, first_seq, top_size, events)
  return #events
end

-- [generated] registrations
redis.register_function { function_name = 'room_fence_2', callback = room_fence_2, flags = { 'allow-oom' } }
redis.register_function { function_name = 'room_correct_2', callback = room_correct_2, flags = { 'allow-oom' } }
-- [/generated]
