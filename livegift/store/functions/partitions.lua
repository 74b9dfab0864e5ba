-- A partition's life: armed, followed by its readers, trimmed, and put right from the ledger after a loss. The second
-- half of the library of wallets.lua, whose locals it uses. See docs/decisions/001 and 007.

-- No debit goes beyond n_max: the slower reader's place plus the backlog limit; nothing at all while memory is short.
local function save_limit(meta)
  local row = redis.call('HMGET', meta, 'booked_n', 'relayed_n', 'backlog_max', 'short')
  if not row[3] then return end  -- never armed: there is no limit yet
  local n_max = math.min(tonumber(row[1] or '0'), tonumber(row[2] or '0')) + tonumber(row[3])
  redis.call('HSET', meta, 'n_max', row[4] == '1' and '0' or int(n_max))
end

local function split(position)
  local epoch, n = position:match('^(%d+)-(%d+)$')
  return tonumber(epoch), tonumber(n)
end

local function position_less(a, b)
  local a_epoch, a_n = split(a)
  local b_epoch, b_n = split(b)
  if a_epoch ~= b_epoch then return a_epoch < b_epoch end
  return a_n < b_n
end

local UNCLAIMED = 'ERR the partition is armed, or was disarmed by somebody else since: begin again'

local function is_claimed(root, token) return claims[root] == token and not armed[root] end

-- ARGV: token. No money moves until the one who disarmed last has armed. Returns the stored epoch and n.
local function partition_disarm_1(keys, argv)
  local root = keys[1]
  armed[root], claims[root] = nil, argv[1]
  local row = redis.call('HMGET', root .. ':meta', 'epoch', 'n')
  return { row[1] or '0', row[2] or '0' }
end

-- ARGV: epoch, the partition's number, backlog limit, token, n, key of its events' ids. Refuses to step back, and when anything has changed since the
-- caller disarmed it. Tells all hubs, whose viewers may know another balance.
local function partition_arm_1(keys, argv)
  local root, epoch = keys[1], argv[1]
  local meta = root .. ':meta'
  if not (parse(epoch) and parse(argv[3]) and argv[6]) then
    return redis.error_reply('ERR partition_arm_1 expects epoch and backlog limit as decimal numbers, and six arguments')
  end
  if not is_claimed(root, argv[4]) then return redis.error_reply(UNCLAIMED) end
  local row = redis.call('HMGET', meta, 'epoch', 'n')
  if row[1] and tonumber(row[1]) >= tonumber(epoch) then
    return redis.error_reply('ERR partition ' .. root .. ' has epoch ' .. row[1] .. ', not below ' .. epoch)
  end
  if (row[2] or '0') ~= argv[5] then
    return redis.error_reply('ERR partition ' .. root .. ' is at n ' .. (row[2] or '0') .. ', not at ' .. argv[5])
  end
  for _, field in ipairs({ 'n', 'booked_n', 'relayed_n', 'gifts', 'coins', 'generation' }) do
    redis.call('HSETNX', meta, field, '0')
  end
  redis.call('HSET', meta, 'epoch', epoch, 'backlog_max', argv[3], 'event_id_key', argv[6])
  if tonumber(redis.call('HGET', meta, 'relayed_n')) > tonumber(argv[5]) then
    -- A relay has published what was lost since; it has everything that counts.
    redis.call('HSET', meta, 'relayed', epoch .. '-' .. argv[5], 'relayed_n', argv[5])
  end
  save_limit(meta)
  armed[root], claims[root] = { epoch = epoch, number = argv[2] }, nil
  redis.call('SPUBLISH', root .. ':armed', epoch)
  return 'OK'
end

-- ARGV: epoch, the partition's number. Arms another version of the functions beside the one that was armed first.
local function partition_join_1(keys, argv)
  if redis.call('HGET', keys[1] .. ':meta', 'epoch') ~= argv[1] then
    return redis.error_reply('ERR partition ' .. keys[1] .. ' has another epoch than ' .. argv[1])
  end
  armed[keys[1]] = { epoch = argv[1], number = argv[2] }
  return 'OK'
end

-- The n after which the outbox has every entry: where it was trimmed, or put right after a loss that left a hole.
local function reach(root, n, whole_after)
  local first = redis.pcall('XRANGE', root .. ':outbox', '-', '+', 'COUNT', 1)[1]  -- nothing either when it is no stream
  local oldest = tonumber(n or '0')
  if first then
    local _, first_n = split(first[1])
    oldest = first_n - 1
  end
  return math.max(oldest, tonumber(whole_after or '0'))
end

-- Returns: the epoch under which money moves or '0' (also when another one is stored), stored epoch, n, relayed position,
-- booked position, gifts, coins, the relay cursor's generation, the n after which the outbox has everything, the
-- key of its events' ids ('' before it is armed for the first time).
local function partition_state_1(keys)
  local meta = redis.call('HMGET', keys[1] .. ':meta', 'epoch', 'n', 'relayed', 'booked', 'gifts', 'coins', 'generation',
    'whole_after', 'event_id_key')
  local arms = armed[keys[1]]
  return {
    arms and arms.epoch == meta[1] and arms.epoch or '0', meta[1] or '0', meta[2] or '0', meta[3] or '0-0',
    meta[4] or '0-0', meta[5] or '0', meta[6] or '0', meta[7] or '0', int(reach(keys[1], meta[2], meta[8])),
    meta[9] or '',
  }
end

-- ARGV: '1' when memory is short, '0' when it is not any more.
local function partition_short_1(keys, argv)
  redis.call('HSET', keys[1] .. ':meta', 'short', argv[1])
  save_limit(keys[1] .. ':meta')
  return 'OK'
end

-- Notes how far a reader is: ARGV 'relayed' or 'booked', position; for 'relayed' also the epoch and the generation in which
-- the relay has begun. Only forwards, so a late owner does no harm, and never beyond the partition itself, as one would be that
-- has read another Redis. A relay that was set back begins a generation, in which nothing of the one before counts; and while
-- the partition is compared (it is not armed then) its cursor stands still.
local function cursor_advance_1(keys, argv)
  local meta, field = keys[1] .. ':meta', argv[1]
  local row = redis.call('HMGET', meta, field, 'epoch', 'n', 'generation')
  if not position_less(row[1] or '0-0', argv[2]) then return 0 end
  if position_less((row[2] or '0') .. '-' .. (row[3] or '0'), argv[2]) then return 0 end
  if field == 'relayed' then
    local arms = armed[keys[1]]
    if not (arms and arms.epoch == row[2] and argv[3] == row[2] and argv[4] == (row[4] or '0')) then return 0 end
  end
  local _, n = split(argv[2])
  redis.call('HSET', meta, field, argv[2], field .. '_n', int(n))
  save_limit(meta)
  return 1
end

-- ARGV: position, epoch. The relay has to publish again what comes after the position: a room may have lost that. Refused by a
-- partition of another epoch, and when the outbox does not have all of it any more. Returns the new generation.
local function cursor_rewind_1(keys, argv)
  local meta = keys[1] .. ':meta'
  local row = redis.call('HMGET', meta, 'epoch', 'n', 'whole_after')
  local _, from_n = split(argv[1])
  if (row[1] or '0') ~= argv[2] then return redis.error_reply('ERR the partition is at epoch ' .. (row[1] or '0')) end
  if reach(keys[1], row[2], row[3]) > from_n then
    return redis.error_reply('ERR the outbox does not have all entries after ' .. argv[1])
  end
  if position_less(argv[1], redis.call('HGET', meta, 'relayed') or '0-0') then
    local _, n = split(argv[1])
    redis.call('HSET', meta, 'relayed', argv[1], 'relayed_n', int(n))
    save_limit(meta)
  end
  -- In any case: the relay may have read beyond its cursor, and queued for a room that has lost what came before.
  return redis.call('HINCRBY', meta, 'generation', 1)
end

-- Forgets the entries up to a position, but never what a reader does not have yet. Returns how many went.
local function outbox_trim_1(keys, argv)
  local upto = argv[1]
  local cursors = redis.call('HMGET', keys[1] .. ':meta', 'relayed', 'booked')
  for i = 1, 2 do
    local cursor = cursors[i] or '0-0'
    if position_less(cursor, upto) then upto = cursor end
  end
  -- MINID keeps the entry itself: harmless, and the last position stays readable in the stream.
  return redis.call('XTRIM', keys[1] .. ':outbox', 'MINID', upto)
end

-- A write for WAITAOF to wait for, permitted when memory is full.
local function barrier_1(keys)
  redis.call('SET', keys[1] .. ':barrier', '1')
  return 'OK'
end

-- --- Repair: each needs the claim, and each can be repeated. ARGV[1] is the token -----------------------------------------

-- ARGV from 2: user, balance, seq, frozen ('1' or '0'), limits, usage ('' for none) per wallet. A seq of 0 and no limits: there
-- is none.
local function wallets_put_1(keys, argv)
  if not is_claimed(keys[1], argv[1]) then return redis.error_reply(UNCLAIMED) end
  for i = 2, #argv, 6 do
    local key = keys[1] .. ':w:' .. argv[i]
    if argv[i + 2] == '0' and argv[i + 4] == '' then
      redis.call('DEL', key)
    else
      redis.call('HSET', key, 'b', argv[i + 1], 's', argv[i + 2])
      for field, value in pairs({ l = argv[i + 4], u = argv[i + 5] }) do
        if value == '' then redis.call('HDEL', key, field) else redis.call('HSET', key, field, value) end
      end
      if argv[i + 3] == '1' then redis.call('HSET', key, 'f', '1') else redis.call('HDEL', key, 'f') end
    end
  end
  return 'OK'
end

-- ARGV from 2: user, ref per ref that was never accepted on the branch that counts. Before the wallets, which know the hours.
local function refs_drop_1(keys, argv)
  local root = keys[1]
  if not is_claimed(root, argv[1]) then return redis.error_reply(UNCLAIMED) end
  local p = { root = root }
  for i = 2, #argv, 2 do
    for hour in load_wallet(p, argv[i]).hours:gmatch('%d+') do
      redis.call('HDEL', ref_key(p, argv[i], hour), argv[i + 1])
    end
  end
  return 'OK'
end

-- ARGV: token, ref TTL in s, then user, ref, hour, stored answer (see answer_known) per ref. After the wallets.
local function refs_put_1(keys, argv)
  local root = keys[1]
  if not is_claimed(root, argv[1]) then return redis.error_reply(UNCLAIMED) end
  local p = { root = root }
  for i = 3, #argv, 4 do
    local wallet, hour = load_wallet(p, argv[i]), argv[i + 2]
    local key = ref_key(p, argv[i], hour)
    redis.call('HSET', key, argv[i + 1], argv[i + 3])
    redis.call('EXPIREAT', key, int((tonumber(hour) + 2) * HOUR_S + tonumber(argv[2])))
    if not (',' .. wallet.hours .. ','):find(',' .. hour .. ',', 1, true) then
      redis.call('HSET', wallet.key, 'h', wallet.hours == '' and hour or hour .. ',' .. wallet.hours)
    end
  end
  return 'OK'
end

-- ARGV from 2: key of a streak that is not open.
local function streaks_drop_1(keys, argv)
  if not is_claimed(keys[1], argv[1]) then return redis.error_reply(UNCLAIMED) end
  for i = 2, #argv do
    redis.call('HDEL', keys[1] .. ':streaks', argv[i])
    redis.call('ZREM', keys[1] .. ':due', argv[i])
  end
  return 'OK'
end

-- ARGV from 2: key, deadline, value (see extend_streak) per streak.
local function streaks_put_1(keys, argv)
  if not is_claimed(keys[1], argv[1]) then return redis.error_reply(UNCLAIMED) end
  for i = 2, #argv, 3 do
    redis.call('HSET', keys[1] .. ':streaks', argv[i], argv[i + 2])
    redis.call('ZADD', keys[1] .. ':due', argv[i + 1], argv[i])
  end
  return 'OK'
end

local function cut(outbox, above)
  while true do
    local ids = {}
    for _, row in ipairs(redis.call('XREVRANGE', outbox, '+', '-', 'COUNT', 500)) do
      local _, n = split(row[1])
      if n <= above then break end
      ids[#ids + 1] = row[1]
    end
    if #ids == 0 then return end
    redis.call('XDEL', outbox, unpack(ids))
  end
end

-- ARGV: token, n up to which the outbox counts, epoch and n of the checkpoint, gifts, coins. The last step of a repair: until
-- then the partition says that it is where it was. The rooms are put right otherwise, so the relay has nothing to do up to here.
local function partition_put_1(keys, argv)
  if not is_claimed(keys[1], argv[1]) then return redis.error_reply(UNCLAIMED) end
  cut(keys[1] .. ':outbox', tonumber(argv[2]))
  local meta, position = keys[1] .. ':meta', argv[3] .. '-' .. argv[4]
  redis.call('HSET', meta, 'epoch', argv[3], 'n', argv[4], 'gifts', argv[5], 'coins', argv[6], 'relayed', position,
    'relayed_n', argv[4], 'whole_after', argv[4])
  redis.call('HINCRBY', meta, 'generation', 1)
  redis.call('DEL', keys[1] .. ':broken')
  return 'OK'
end

redis.register_function { function_name = 'partition_disarm_1', callback = partition_disarm_1, flags = { 'no-writes' } }
redis.register_function { function_name = 'partition_state_1', callback = partition_state_1, flags = { 'no-writes' } }
-- What drains and what repairs works when memory is full.
redis.register_function { function_name = 'partition_arm_1', callback = partition_arm_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'partition_join_1', callback = partition_join_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'partition_short_1', callback = partition_short_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'cursor_advance_1', callback = cursor_advance_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'cursor_rewind_1', callback = cursor_rewind_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'outbox_trim_1', callback = outbox_trim_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'barrier_1', callback = barrier_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'wallets_put_1', callback = wallets_put_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'refs_drop_1', callback = refs_drop_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'refs_put_1', callback = refs_put_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'streaks_drop_1', callback = streaks_drop_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'streaks_put_1', callback = streaks_put_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'partition_put_1', callback = partition_put_1, flags = { 'allow-oom' } }
