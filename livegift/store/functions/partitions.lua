-- The life cycle of a partition: armed, read, trimmed. See docs/decisions/001 and 007.

local COUNTERS = { 'epoch', 'n', 'n_max', 'gifts', 'coins' }

-- Returns the counters, nil when the partition was never armed. Version 1 of the functions kept them in ':meta'.
local function read_counters(root)
  local found = parse_counters(redis.call('GET', root .. ':counters'))
  if found then return found end
  local row = redis.call('HMGET', root .. ':meta', unpack(COUNTERS))
  if not row[1] then return nil end
  return {
    epoch = row[1], n = tonumber(row[2] or '0'), n_max = tonumber(row[3] or '0'), gifts = tonumber(row[4] or '0'),
    coins = tonumber(row[5] or '0'),
  }
end

local NEVER = { epoch = '0', n = 0, n_max = 0, gifts = 0, coins = 0 }

-- Stores the counters with n_max, beyond which no debit goes: the slower reader's position plus the backlog limit; 0
-- while memory is short.
local function save_counters(root, counters)
  local row = redis.call('HMGET', root .. ':meta', 'booked_n', 'relayed_n', 'backlog_max', 'short')
  local n_max = math.min(tonumber(row[1] or '0'), tonumber(row[2] or '0')) + tonumber(row[3] or '0')
  counters.n_max = row[4] == '1' and 0 or n_max
  redis.call('SET', root .. ':counters', counters_text(counters))
end

-- Computes n_max again. A partition that this version has never armed gets it with the next arming.
local function save_limit(root)
  local counters = parse_counters(redis.call('GET', root .. ':counters'))
  if counters then save_counters(root, counters) end
end

-- Returns a position's epoch and n.
local function split(position)
  local epoch, n = position:match('^(%d+)-(%d+)$')
  return tonumber(epoch), tonumber(n)
end

local function is_before(a, b)
  local a_epoch, a_n = split(a)
  local b_epoch, b_n = split(b)
  if a_epoch ~= b_epoch then return a_epoch < b_epoch end
  return a_n < b_n
end

local UNCLAIMED = 'ERR the partition is armed, or was disarmed by somebody else since: begin again'

local function is_claimed(root, token) return claims[root] == token and not armed[root] end

-- [generated] function partition_disarm
-- Let no money move until the caller that disarmed last has armed the partition. Returns the stored epoch and n.
local function partition_disarm_2(keys, argv)
  local root = keys[1]
  local token = argv[1]
  -- [/generated]
  armed[root], claims[root] = nil, token
  local counters = read_counters(root) or NEVER
  local epoch, n = counters.epoch, int(counters.n)
  -- [generated] reply partition_disarm
  return { epoch, n }
  -- [/generated]
end

-- [generated] function partition_arm
-- Let money move under a new epoch, and tell all hubs: their viewers may know other balances. Returns 'OK'.
--
-- Fails unless the token is valid, the epoch is above the stored one and the partition is at `n`. `number` is the
-- partition's own; event ids are made with `event_id_key`.
local function partition_arm_2(keys, argv)
  local root = keys[1]
  local epoch = argv[1]
  local number = argv[2]
  local backlog_max = argv[3]
  local token = argv[4]
  local n = argv[5]
  local event_id_key = argv[6]
  -- [/generated]
  local meta = root .. ':meta'
  if not (parse(epoch) and parse(backlog_max) and event_id_key) then
    return redis.error_reply(
      'ERR partition_arm_2 expects epoch and backlog limit as decimal numbers, and six arguments'
    )
  end
  if not is_claimed(root, token) then return redis.error_reply(UNCLAIMED) end
  local counters = read_counters(root)
  if counters and tonumber(counters.epoch) >= tonumber(epoch) then
    return redis.error_reply('ERR partition ' .. root .. ' has epoch ' .. counters.epoch .. ', not below ' .. epoch)
  end
  counters = counters or { n = 0, gifts = 0, coins = 0 }
  if int(counters.n) ~= n then
    return redis.error_reply('ERR partition ' .. root .. ' is at n ' .. int(counters.n) .. ', not at ' .. n)
  end
  for _, field in ipairs({ 'booked_n', 'relayed_n', 'generation' }) do redis.call('HSETNX', meta, field, '0') end
  redis.call('HSET', meta, 'backlog_max', backlog_max, 'event_id_key', event_id_key)
  redis.call('HDEL', meta, unpack(COUNTERS))
  if tonumber(redis.call('HGET', meta, 'relayed_n')) > counters.n then
    -- A relay has published entries that were lost since; it has everything that counts.
    redis.call('HSET', meta, 'relayed', epoch .. '-' .. n, 'relayed_n', n)
  end
  counters.epoch = epoch
  save_counters(root, counters)
  armed[root], claims[root] = { epoch = epoch, number = number }, nil
  redis.call('SPUBLISH', root .. ':armed', epoch)
  return 'OK'
end

-- [generated] function partition_join
-- Arm another version of the functions beside the one that was armed first. Returns 'OK'.
--
-- Fails when the partition is in a different epoch.
local function partition_join_2(keys, argv)
  local root = keys[1]
  local epoch = argv[1]
  local number = argv[2]
  -- [/generated]
  if (read_counters(root) or NEVER).epoch ~= epoch then
    return redis.error_reply('ERR partition ' .. root .. ' has another epoch than ' .. epoch)
  end
  armed[root] = { epoch = epoch, number = number }
  return 'OK'
end

-- Returns the n after which the outbox has every entry: where it was trimmed, or repaired after a loss that left a gap.
local function reach(root, n, whole_after)
  local first = redis.pcall('XRANGE', root .. ':outbox', '-', '+', 'COUNT', 1)[1]  -- nil when it is not a stream
  local oldest = n
  if first then
    local _, first_n = split(first[1])
    oldest = first_n - positions_of(first)
  end
  return math.max(oldest, tonumber(whole_after or '0'))
end

-- [generated] function partition_state
-- Return a `PartitionReply`.
--
-- `armed_epoch` is the epoch under which money moves, or '0' (also when it is not the stored one); `reach_n` is the n
-- after which the outbox has every entry; `event_id_key` is '' before the partition is armed for the first time.
local function partition_state_2(keys)
  local root = keys[1]
  -- [/generated]
  local meta = redis.call('HMGET', root .. ':meta', 'relayed', 'booked', 'generation', 'whole_after', 'event_id_key')
  local counters, arms = read_counters(root) or NEVER, armed[root]
  local armed_epoch = arms and arms.epoch == counters.epoch and arms.epoch or '0'
  local epoch, n, relayed, booked = counters.epoch, int(counters.n), meta[1] or '0-0', meta[2] or '0-0'
  local gifts, coins, generation = int(counters.gifts), int(counters.coins), meta[3] or '0'
  local reach_n, event_id_key = int(reach(root, counters.n, meta[4])), meta[5] or ''
  -- [generated] reply partition_state
  return { armed_epoch, epoch, n, relayed, booked, gifts, coins, generation, reach_n, event_id_key }
  -- [/generated]
end

-- [generated] function partition_short
-- Record that memory is short ('1') or no longer short ('0'). Returns 'OK'.
local function partition_short_2(keys, argv)
  local root = keys[1]
  local short = argv[1]
  -- [/generated]
  redis.call('HSET', root .. ':meta', 'short', short)
  save_limit(root)
  return 'OK'
end

-- [generated] function cursor_advance
-- Record the position of a reader, 'relayed' or 'booked'. Returns 1, or 0 when it is not new or does not count.
--
-- The cursor only goes forwards, so a late owner does no harm, and never beyond the partition itself, as that of a
-- reader of another Redis would. For 'relayed', `epoch` and `generation` are those in which the relay has begun:
-- setting a relay back begins a generation, in which nothing of the one before counts. While the partition is being
-- compared (it is not armed then) that cursor does not move.
local function cursor_advance_2(keys, argv)
  local root = keys[1]
  local reader = argv[1]
  local position = argv[2]
  local epoch = argv[3]
  local generation = argv[4]
  -- [/generated]
  local meta = root .. ':meta'
  local row, counters = redis.call('HMGET', meta, reader, 'generation'), read_counters(root) or NEVER
  if not is_before(row[1] or '0-0', position) then return 0 end
  if is_before(format('%s-%d', counters.epoch, counters.n), position) then return 0 end
  if reader == 'relayed' then
    local arms = armed[root]
    local is_of_now = arms and arms.epoch == counters.epoch and epoch == counters.epoch
    if not is_of_now or generation ~= (row[2] or '0') then return 0 end
  end
  local _, n = split(position)
  redis.call('HSET', meta, reader, position, reader .. '_n', int(n))
  save_limit(root)
  return 1
end

-- [generated] function cursor_rewind
-- Set the relay back to publish again what comes after a position, which a room may have lost.
--
-- Returns the new generation. Fails when the partition is in a different epoch, or its outbox no longer has all of
-- these entries.
local function cursor_rewind_2(keys, argv)
  local root = keys[1]
  local position = argv[1]
  local epoch = argv[2]
  -- [/generated]
  local meta = root .. ':meta'
  local counters = read_counters(root) or NEVER
  local _, n = split(position)
  if counters.epoch ~= epoch then return redis.error_reply('ERR the partition is at epoch ' .. counters.epoch) end
  if reach(root, counters.n, redis.call('HGET', meta, 'whole_after')) > n then
    return redis.error_reply('ERR the outbox does not have all entries after ' .. position)
  end
  if is_before(position, redis.call('HGET', meta, 'relayed') or '0-0') then
    redis.call('HSET', meta, 'relayed', position, 'relayed_n', int(n))
    save_limit(root)
  end
  -- In any case: the relay may have read beyond its cursor, and have entries queued for a room that lost earlier ones.
  return redis.call('HINCRBY', meta, 'generation', 1)
end

-- [generated] function outbox_trim
-- Trim the entries before a position, but none that a reader does not have yet. Returns how many were removed.
local function outbox_trim_2(keys, argv)
  local root = keys[1]
  local upto = argv[1]
  -- [/generated]
  local cursors = redis.call('HMGET', root .. ':meta', 'relayed', 'booked')
  for i = 1, 2 do
    local cursor = cursors[i] or '0-0'
    if is_before(cursor, upto) then upto = cursor end
  end
  -- MINID keeps the entry itself: harmless, and the last position stays readable in the stream.
  return redis.call('XTRIM', root .. ':outbox', 'MINID', upto)
end

-- [generated] function barrier
-- Write something for WAITAOF to wait for. Returns 'OK'.
local function barrier_2(keys)
  local root = keys[1]
  -- [/generated]
  redis.call('SET', root .. ':barrier', '1')
  return 'OK'
end

-- [generated] registrations
redis.register_function { function_name = 'partition_disarm_2', callback = partition_disarm_2, flags = { 'no-writes' } }
redis.register_function { function_name = 'partition_arm_2', callback = partition_arm_2, flags = { 'allow-oom' } }
redis.register_function { function_name = 'partition_join_2', callback = partition_join_2, flags = { 'allow-oom' } }
redis.register_function { function_name = 'partition_state_2', callback = partition_state_2, flags = { 'no-writes' } }
redis.register_function { function_name = 'partition_short_2', callback = partition_short_2, flags = { 'allow-oom' } }
redis.register_function { function_name = 'cursor_advance_2', callback = cursor_advance_2, flags = { 'allow-oom' } }
redis.register_function { function_name = 'cursor_rewind_2', callback = cursor_rewind_2, flags = { 'allow-oom' } }
redis.register_function { function_name = 'outbox_trim_2', callback = outbox_trim_2, flags = { 'allow-oom' } }
redis.register_function { function_name = 'barrier_2', callback = barrier_2, flags = { 'allow-oom' } }
-- [/generated]
