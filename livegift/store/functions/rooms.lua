-- Rooms: totals, ranks, log and numbering. KEYS[1] is a room's root '{room:ID}'; all other keys are the root plus a
-- suffix. Publishing twice changes nothing: each partition's watermark says what the room has already.

local function int(n) return string.format('%.0f', n) end

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function load_state(root)
  local row = redis.call('HMGET', root .. ':state', 'epoch', 'seq', 'gifts', 'coins', 'diamonds', 'ttl_s')
  if not row[1] then
    -- A room's epoch only has to differ from that of an earlier life of the room; nothing is ordered by it.
    local epoch = int(now_ms())
    redis.call('HSET', root .. ':state', 'epoch', epoch)
    row = { epoch, '0', '0', '0', '0' }
  end
  return {
    epoch = row[1], seq = tonumber(row[2] or '0'), gifts = tonumber(row[3] or '0'), coins = tonumber(row[4] or '0'),
    diamonds = tonumber(row[5] or '0'), ttl_s = row[6],
  }
end

local function totals_json(root, state)
  return '{"gifts":' .. int(state.gifts) .. ',"coins":' .. int(state.coins) .. ',"diamonds":' .. int(state.diamonds)
    .. ',"gifters":' .. int(redis.call('ZCARD', root .. ':ranks')) .. '}'
end

-- The first `count` gifters. Those with nothing but anonymous gifts stand at 0 and are not shown.
local function top_json(root, count)
  local ranks = redis.call('ZRANGE', root .. ':ranks', 0, count - 1, 'REV', 'WITHSCORES')
  if #ranks == 0 then return '[]' end
  local users = {}
  for i = 1, #ranks, 2 do users[#users + 1] = ranks[i] end
  local names = redis.call('HMGET', root .. ':names', unpack(users))
  local rows = {}
  for i = 1, #users do
    local coins = tonumber(ranks[2 * i])
    if coins > 0 and names[i] then
      rows[#rows + 1] = '{"user":' .. names[i] .. ',"coins":' .. int(coins) .. ',"rank":' .. i .. '}'
    end
  end
  return '[' .. table.concat(rows, ',') .. ']'
end

-- Numbers one event and writes it to the log. `body` is its JSON without the opening brace.
local function number(root, state, log_max, body)
  state.seq = state.seq + 1
  local event = '{"seq":' .. int(state.seq) .. ',' .. body
  redis.call('XADD', root .. ':log', 'MAXLEN', '~', log_max, state.epoch .. '-' .. int(state.seq), 'e', event)
  return event
end

local SUFFIXES = { 'state', 'watermarks', 'ranks', 'names', 'combos', 'log', 'announced', 'viewers' }

-- A room that has ended goes some day, with what is still published to it after its end.
local function expire(root, ttl_s)
  for _, suffix in ipairs(SUFFIXES) do redis.call('EXPIRE', root .. ':' .. suffix, ttl_s) end
end

local function save_and_publish(root, state, first_seq, top, events)
  redis.call('HSET', root .. ':state', 'seq', int(state.seq), 'gifts', int(state.gifts), 'coins', int(state.coins),
    'diamonds', int(state.diamonds))
  local header = '{"epoch":' .. state.epoch .. ',"first_seq":' .. int(first_seq) .. ',"seq":' .. int(state.seq)
    .. ',"totals":' .. totals_json(root, state) .. ',"top":' .. top_json(root, top) .. '}'
  if state.ttl_s then expire(root, state.ttl_s) end
  redis.call('SPUBLISH', root .. ':events', header .. '\n' .. table.concat(events, '\n'))
end

local function after(epoch, n, watermark)
  if not watermark then return true end
  local seen_epoch, seen_n = watermark:match('^(%d+)-(%d+)$')
  seen_epoch, seen_n = tonumber(seen_epoch), tonumber(seen_n)
  return epoch > seen_epoch or (epoch == seen_epoch and n > seen_n)
end

local PUBLISH_FIELDS = 11

-- ARGV: log limit, top size, then PUBLISH_FIELDS per entry: partition, epoch, n, kind (gift, end), coins, diamonds, user,
-- anonymous, user json, combo id ('' for a gift without a streak), body. Entries of a partition come in their order.
-- Returns the number of entries that were new.
local function room_publish_1(keys, argv)
  local root = keys[1]
  local state = load_state(root)
  local first_seq = state.seq + 1
  local watermarks, touched, events = {}, {}, {}
  local ranks, names, combos, ended = {}, {}, {}, {}
  for i = 3, #argv, PUBLISH_FIELDS do
    local partition, epoch, n = argv[i], tonumber(argv[i + 1]), tonumber(argv[i + 2])
    if watermarks[partition] == nil then
      watermarks[partition] = redis.call('HGET', root .. ':watermarks', partition)
    end
    if after(epoch, n, watermarks[partition]) then
      watermarks[partition] = argv[i + 1] .. '-' .. argv[i + 2]
      touched[partition] = true
      local kind, coins, user, combo = argv[i + 3], tonumber(argv[i + 4]), argv[i + 6], argv[i + 9]
      if kind == 'gift' then
        state.gifts, state.coins = state.gifts + 1, state.coins + coins
        state.diamonds = state.diamonds + tonumber(argv[i + 5])
        local anonymous = argv[i + 7] == '1'
        ranks[user] = (ranks[user] or 0) + (anonymous and 0 or coins)
        if not anonymous then names[user] = argv[i + 8] end
        if combo ~= '' then combos[combo] = argv[i + 10]; ended[combo] = nil end
      else
        combos[combo] = nil
        ended[combo] = true
      end
      events[#events + 1] = number(root, state, argv[1], argv[i + 10])
    end
  end
  if #events == 0 then return 0 end
  for partition in pairs(touched) do
    redis.call('HSET', root .. ':watermarks', partition, watermarks[partition])
  end
  for user, coins in pairs(ranks) do redis.call('ZINCRBY', root .. ':ranks', int(coins), user) end
  for user, json in pairs(names) do redis.call('HSET', root .. ':names', user, json) end
  for combo, body in pairs(combos) do redis.call('HSET', root .. ':combos', combo, '{' .. body) end
  for combo in pairs(ended) do redis.call('HDEL', root .. ':combos', combo) end
  save_and_publish(root, state, first_seq, tonumber(argv[2]), events)
  return #events
end

-- An event that comes from no wallet (a room was opened or ended). ARGV: log limit, top size, body, key that makes it
-- happen once, TTL in s for all keys of a room that has ended (0: none).
local function room_announce_1(keys, argv)
  local root = keys[1]
  local state = load_state(root)
  if redis.call('HSETNX', root .. ':announced', argv[4], '1') == 0 then return 0 end
  local first_seq = state.seq + 1
  local event = number(root, state, argv[1], argv[3])
  if argv[5] ~= '0' then
    redis.call('HSET', root .. ':state', 'ttl_s', argv[5])
    state.ttl_s = argv[5]
  end
  save_and_publish(root, state, first_seq, tonumber(argv[2]), { event })
  return 1
end

-- The room as it is now. ARGV: top size, `since` ('' for none), its epoch ('' for this one), events at most.
-- Returns: header json, whether the events are all since then ('1'/'0'), events…
local function room_snapshot_1(keys, argv)
  local root = keys[1]
  local state = load_state(root)
  local combos = redis.call('HVALS', root .. ':combos')
  local header = '{"epoch":' .. state.epoch .. ',"seq":' .. int(state.seq) .. ',"totals":' .. totals_json(root, state)
    .. ',"top":' .. top_json(root, tonumber(argv[1])) .. ',"combos":[' .. table.concat(combos, ',') .. ']}'
  local since = tonumber(argv[2])
  if not since then return { header, '1' } end
  if argv[3] ~= '' and argv[3] ~= state.epoch then return { header, '0' } end
  if since >= state.seq then return { header, since == state.seq and '1' or '0' } end
  local rows = redis.call('XRANGE', root .. ':log', state.epoch .. '-' .. int(since + 1), '+', 'COUNT', argv[4])
  local complete = #rows > 0 and rows[1][1] == state.epoch .. '-' .. int(since + 1) and #rows == state.seq - since
  local reply = { header, complete and '1' or '0' }
  if complete then
    for _, row in ipairs(rows) do reply[#reply + 1] = row[2][2] end
  end
  return reply
end

-- Totals and watermarks of one moment, for the audit: gifts, coins, diamonds, then partition, position, …
local function room_totals_1(keys)
  local row = redis.call('HMGET', keys[1] .. ':state', 'gifts', 'coins', 'diamonds')
  local reply = { row[1] or '0', row[2] or '0', row[3] or '0' }
  for _, value in ipairs(redis.call('HGETALL', keys[1] .. ':watermarks')) do reply[#reply + 1] = value end
  return reply
end

-- The epoch and last seq, or an empty list.
local function room_head_1(keys)
  local row = redis.call('HMGET', keys[1] .. ':state', 'epoch', 'seq')
  if not row[1] then return {} end
  return { row[1], row[2] or '0' }
end

-- Presence: each web process tells its count of viewers and gets the sum. ARGV: process, count, TTL in ms.
local function room_pulse_1(keys, argv)
  local key, now = keys[1] .. ':viewers', now_ms()
  if argv[2] == '0' then
    redis.call('HDEL', key, argv[1])
  else
    redis.call('HSET', key, argv[1], argv[2] .. '|' .. int(now))
    redis.call('PEXPIRE', key, argv[3])
  end
  local sum = 0
  local rows = redis.call('HGETALL', key)
  for i = 1, #rows, 2 do
    local count, at = rows[i + 1]:match('^(%d+)|(%d+)$')
    if now - tonumber(at) > tonumber(argv[3]) then
      redis.call('HDEL', key, rows[i])
    else
      sum = sum + tonumber(count)
    end
  end
  return sum
end

redis.register_function { function_name = 'room_head_1', callback = room_head_1, flags = { 'no-writes' } }
redis.register_function { function_name = 'room_totals_1', callback = room_totals_1, flags = { 'no-writes' } }
redis.register_function { function_name = 'room_publish_1', callback = room_publish_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'room_announce_1', callback = room_announce_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'room_snapshot_1', callback = room_snapshot_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'room_pulse_1', callback = room_pulse_1, flags = { 'allow-oom' } }
