-- Streaks. Hash ':streaks': key -> state (records streak_key and streak). Zset ':due': key -> when the sweep is to look
-- at the streak, which is never after its deadline: at the deadline of the first gift, then at the one that it finds.

-- In a key, '!' stands for '|' in users' ids; no id contains '!'.
local function in_key(user) return (user:gsub('|', '!')) end
local function from_key(text) return (text:gsub('!', '|')) end

local function end_streak(partition, key, streak)
  -- [generated] read streak from streak: combo, repeat_count, user_json, details_json
  local combo, repeat_count, user_json, details_json = streak:match('^([%d-]+)|(%d+)|%d+|(.-)\n(.-)$')
  -- [/generated]
  -- [generated] read streak_key from key: room, gift_id, to as to_in_key, anonymous as digit, user as user_in_key
  local room, gift_id, to_in_key, digit, user_in_key = key:match('^(.-)|(.-)|(.-)|(.-)|(.-)$')
  -- [/generated]
  local to, user, anonymous = from_key(to_in_key), from_key(user_in_key), digit == '1'
  local combo_id, ts_ms = partition.number .. '-' .. combo, partition.now_text
  -- [generated] write StreakEnded to entry
  local entry = '["streak_end","' .. user .. '","' .. room .. '","' .. to .. '","' .. gift_id .. '","' .. combo_id
    .. '",' .. repeat_count .. ',' .. (anonymous and 'true' or 'false') .. ',' .. ts_ms .. ',' .. user_json .. ','
    .. details_json .. ']'
  -- [/generated]
  append(partition, next_position(partition), entry)
  redis.call('HDEL', partition.root .. ':streaks', key)
  redis.call('ZREM', partition.root .. ':due', key)
end

-- Returns the position of the streak's first gift and the streak's count so far, as text.
local function extend_streak(partition, send, timeout_ms)
  local to, user, anonymous = in_key(send.to), in_key(send.user), send.anonymous and '1' or '0'
  -- [generated] write streak_key to key: send.room, send.gift_id
  local key = send.room .. '|' .. send.gift_id .. '|' .. to .. '|' .. anonymous .. '|' .. user
  -- [/generated]
  local streaks = partition.root .. ':streaks'
  local before = redis.call('HGET', streaks, key)
  local combo, count, deadline_before_ms = nil, send.gift_count, math.huge
  if before then
    -- [generated] read streak from before: combo as first, repeat_count as count_before, deadline_ms as deadline
    local first, count_before, deadline = before:match('^([%d-]+)|(%d+)|(%d+)|')
    -- [/generated]
    if partition.now_ms >= tonumber(deadline) then
      end_streak(partition, key, before)
    else
      combo, count, deadline_before_ms = first, count + tonumber(count_before), tonumber(deadline)
    end
  end
  combo = combo or next_position(partition)
  local new_deadline_ms = partition.now_ms + timeout_ms
  local repeat_count, deadline_ms = int(count), int(new_deadline_ms)
  -- [generated] write streak to streak: send.user_json, send.details_json
  local streak = combo .. '|' .. repeat_count .. '|' .. deadline_ms .. '|' .. send.user_json .. '\n'
    .. send.details_json
  -- [/generated]
  redis.call('HSET', streaks, key, streak)
  -- The new deadline is earlier where the time-out was made shorter, or the clock went back.
  if new_deadline_ms < deadline_before_ms then redis.call('ZADD', partition.root .. ':due', deadline_ms, key) end
  return combo, repeat_count
end

-- Takes a revoked gift out of its streak, if the streak is still open.
local function shorten_streak(partition, revoked)
  local streaks = partition.root .. ':streaks'
  local streak = redis.call('HGET', streaks, revoked.streak_key)
  if not streak then return end
  -- [generated] read streak from streak: combo, repeat_count, rest
  local combo, repeat_count, rest = streak:match('^([%d-]+)|(%d+)(.*)$')
  -- [/generated]
  if combo and partition.number .. '-' .. combo == revoked.combo_id then
    local left = int(math.max(tonumber(repeat_count) - revoked.count, 0))
    redis.call('HSET', streaks, revoked.streak_key, combo .. '|' .. left .. rest)
  end
end

-- [generated] function streaks_sweep
-- End the expired streaks, and all of `room` ('' for none). Returns how many are open, -1 if not armed.
local function streaks_sweep_1(keys, argv)
  local root = keys[1]
  local at_most = argv[1]
  local room = argv[2]
  -- [/generated]
  local due_key = root .. ':due'
  local first = redis.call('ZRANGE', due_key, 0, 0, 'WITHSCORES')
  if not first[1] then return 0 end
  if room == '' and tonumber(first[2]) > now_ms() then return redis.call('ZCARD', due_key) end
  local partition = open(root)
  if not partition then return -1 end
  local function is_of_room(key) return key:sub(1, #room + 1) == room .. '|' end
  local due = redis.call('ZRANGEBYSCORE', due_key, '-inf', partition.now_text, 'LIMIT', 0, at_most)
  if room ~= '' then
    for _, key in ipairs(redis.call('ZRANGEBYSCORE', due_key, '(' .. partition.now_text, '+inf')) do
      if is_of_room(key) then due[#due + 1] = key end
    end
  end
  local over = {}
  for _, key in ipairs(due) do
    local streak = redis.call('HGET', root .. ':streaks', key)
    -- [generated] read streak from streak: deadline_ms
    local deadline_ms = streak:match('^[%d-]+|%d+|(%d+)|')
    -- [/generated]
    if tonumber(deadline_ms) <= partition.now_ms or is_of_room(key) then
      over[#over + 1] = { key = key, streak = streak, deadline_ms = tonumber(deadline_ms) }
    else
      redis.call('ZADD', due_key, deadline_ms, key)
    end
  end
  table.sort(over, function(a, b)
    if a.deadline_ms ~= b.deadline_ms then return a.deadline_ms < b.deadline_ms end
    return a.key < b.key
  end)
  for _, ended in ipairs(over) do run_item(partition, end_streak, ended.key, ended.streak) end
  close(partition)
  return redis.call('ZCARD', due_key)
end

-- [generated] registrations
redis.register_function { function_name = 'streaks_sweep_1', callback = streaks_sweep_1, flags = { 'allow-oom' } }
-- [/generated]
