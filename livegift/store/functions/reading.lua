-- Reading rooms, and counting their viewers.

-- [generated] function room_snapshot
-- Return the room's header as JSON, '1' or '0', and the events after `since`.
--
-- '0' says that events are missing: the log does not reach back that far, or `since_epoch` ('' for the present one) is
-- not the room's epoch.
local function room_snapshot_2(keys, argv)
  local root = keys[1]
  local top_size = tonumber(argv[1])
  local since = tonumber(argv[2])
  local since_epoch = argv[3]
  local events_max = argv[4]
  -- [/generated]
  if not gate then return redis.error_reply(CLOSED) end  -- the same numbers may have been other events' before
  local state = load_state(root)
  if state.is_gone then return redis.error_reply(GONE) end
  local combos = table.concat(redis.call('HVALS', root .. ':combos'), ',')
  local header = '{"epoch":' .. state.epoch .. ',"seq":' .. int(state.seq) .. ',"totals":' .. totals_json(root, state)
    .. ',"top":' .. top_json(root, top_size) .. ',"combos":[' .. combos .. '],"kept":' .. kept_json(root, state) .. '}'
  if not since then return { header, '1' } end
  if since_epoch ~= '' and since_epoch ~= state.epoch then return { header, '0' } end
  if since >= state.seq then return { header, since == state.seq and '1' or '0' } end
  local first = state.epoch .. '-' .. int(since + 1)
  local rows = redis.call('XRANGE', root .. ':log', first, '+', 'COUNT', events_max)
  local is_complete = #rows > 0 and rows[1][1] == first and #rows == state.seq - since
  local reply = { header, is_complete and '1' or '0' }
  if is_complete then
    for _, row in ipairs(rows) do reply[#reply + 1] = row[2][2] end
  end
  return reply
end

-- Partition and contribution of each partition, in one list.
local function all_contributions(root)
  local rows, found = redis.call('HGETALL', root .. ':watermarks'), {}
  for i = 1, #rows, 2 do
    if rows[i]:sub(1, 1) ~= 'f' then
      found[#found + 1] = rows[i]
      found[#found + 1] = rows[i + 1]
    end
  end
  return found
end

-- [generated] function room_contributions
-- Return partition and contribution (a record) of each partition from which the room has something.
local function room_contributions_2(keys)
  local root = keys[1]
  -- [/generated]
  load_state(root)
  return all_contributions(root)
end

-- [generated] function room_totals
-- Return gifts, coins and diamonds, then partition and position of each watermark, all of the same moment.
local function room_totals_2(keys)
  local root = keys[1]
  -- [/generated]
  local row = redis.call('HMGET', root .. ':state', 'gifts', 'coins', 'diamonds')
  local reply = { row[1] or '0', row[2] or '0', row[3] or '0' }
  load_state(root)
  for i, value in ipairs(all_contributions(root)) do
    reply[#reply + 1] = i % 2 == 0 and value:match('^[%d-]+') or value
  end
  return reply
end

-- [generated] function room_head
-- Return a `HeadReply`: the epoch and the last seq.
local function room_head_2(keys)
  local root = keys[1]
  -- [/generated]
  if not gate then return redis.error_reply(CLOSED) end
  local state = load_state(root)
  if state.is_gone then return redis.error_reply(GONE) end
  local epoch, seq = state.epoch, int(state.seq)
  -- [generated] reply room_head
  return { epoch, seq }
  -- [/generated]
end

-- [generated] function room_pulse
-- Record how many viewers a process has in the room. Returns how many all processes have.
local function room_pulse_2(keys, argv)
  local root = keys[1]
  local process = argv[1]
  local count = argv[2]
  local ttl_ms = tonumber(argv[3])
  -- [/generated]
  local key, now = root .. ':viewers', now_ms()
  if count == '0' then
    redis.call('HDEL', key, process)
  else
    redis.call('HSET', key, process, count .. '|' .. int(now))
    redis.call('PEXPIRE', key, ttl_ms)
  end
  local sum = 0
  local rows = redis.call('HGETALL', key)
  for i = 1, #rows, 2 do
    local viewers, at_ms = rows[i + 1]:match('^(%d+)|(%d+)$')
    if now - tonumber(at_ms) > ttl_ms then
      redis.call('HDEL', key, rows[i])
    else
      sum = sum + tonumber(viewers)
    end
  end
  return sum
end

-- [generated] registrations
redis.register_function { function_name = 'room_snapshot_2', callback = room_snapshot_2, flags = { 'no-writes' } }
redis.register_function {
  function_name = 'room_contributions_2', callback = room_contributions_2,
  flags = { 'no-writes' }
}
redis.register_function { function_name = 'room_totals_2', callback = room_totals_2, flags = { 'no-writes' } }
redis.register_function { function_name = 'room_head_2', callback = room_head_2, flags = { 'no-writes' } }
redis.register_function { function_name = 'room_pulse_2', callback = room_pulse_2, flags = { 'allow-oom' } }
-- [/generated]
