-- Streaks. Key ':s:<key>': the state (records streak_key and streak). Hash ':shown': key -> what the end shows, as the
-- first gift did. Zset ':due': key -> when the sweep is to look at the streak, which is never after its deadline: at
-- that of the first gift, then at the one that it finds.

-- In a key, '!' stands for '|' in users' ids; no id contains '!'.
local function from_key(text) return (text:gsub('!', '|')) end

local function state_key(root, key) return root .. ':s:' .. key end

local function parse_streak(text)
  if not text then return nil end
  -- [generated] read streak from text
  local combo, repeat_count, deadline_ms = text:match('^([%d-]+)|(%d+)|(%d+)$')
  -- [/generated]
  return { combo = combo, repeat_count = tonumber(repeat_count), deadline_ms = tonumber(deadline_ms) }
end

-- Returns a streak with the changes that this call has made already, or nil.
local function load_streak(partition, key)
  local streak = partition.streaks[key]
  if streak == nil then streak = redis.call('GET', state_key(partition.root, key)) end
  if type(streak) ~= 'table' then
    streak = parse_streak(streak) or false
    partition.streaks[key] = streak
  end
  return streak or nil
end

local function forget_streak(root, key)
  redis.call('DEL', state_key(root, key))
  redis.call('HDEL', root .. ':shown', key)
  redis.call('ZREM', root .. ':due', key)
end

local function end_streak(partition, key, streak)
  -- [generated] read streak_key from key: room, gift_id, to as to_in_key, anonymous as digit, user as user_in_key
  local room, gift_id, to_in_key, digit, user_in_key = key:match('^(.-)|(.-)|(.-)|(.-)|(.-)$')
  -- [/generated]
  local to, user, anonymous = from_key(to_in_key), from_key(user_in_key), digit == '1'
  local combo_id, repeat_count, ts_ms = partition.number .. '-' .. streak.combo, int(streak.repeat_count),
    int(partition.now_ms)
  local shown = redis.call('HGET', partition.root .. ':shown', key) or 'null'
  -- [generated] write StreakOver to entry
  local entry = '["streak_over","' .. user .. '","' .. room .. '","' .. to .. '","' .. gift_id .. '","'
    .. combo_id .. '",' .. repeat_count .. ',' .. (anonymous and 'true' or 'false') .. ',' .. ts_ms .. ','
    .. shown .. ']'
  -- [/generated]
  append(partition, entry)
  partition.streaks[key], partition.changed[state_key(partition.root, key)] = false, nil
  forget_streak(partition.root, key)
end

-- Has the state of a streak stored at the end of the call.
local function save_streak(partition, key, streak)
  -- [generated] format streak to text: streak.combo, streak.repeat_count, streak.deadline_ms
  local text = format('%s|%d|%d', streak.combo, streak.repeat_count, streak.deadline_ms)
  -- [/generated]
  partition.streaks[key], partition.changed[state_key(partition.root, key)] = streak, text
end

-- Adds a gift to its streak, or opens one at `position` if there is none. A gift's fragment ends with a line that is
-- what its event shows.
local function extend_streak(partition, key, streak, position, repeat_count, fragment)
  local deadline_ms = partition.now_ms + partition.combo_timeout_ms
  if not streak then redis.call('HSET', partition.root .. ':shown', key, fragment:match('\n(.*)$')) end
  -- The new deadline is earlier where the time-out was made shorter, or the clock went back.
  if not streak or deadline_ms < streak.deadline_ms then
    redis.call('ZADD', partition.root .. ':due', int(deadline_ms), key)
  end
  save_streak(partition, key, {
    combo = streak and streak.combo or position, repeat_count = repeat_count, deadline_ms = deadline_ms,
  })
end

-- Returns the streak of a revoked gift without that gift, or nil when it is not open any more.
local function shortened_streak(partition, revoked)
  local streak = load_streak(partition, revoked.streak_key)
  if streak and partition.number .. '-' .. streak.combo == revoked.combo_id then
    return {
      combo = streak.combo, repeat_count = math.max(streak.repeat_count - revoked.count, 0),
      deadline_ms = streak.deadline_ms,
    }
  end
end

-- Returns the streaks that are over or of `room`, oldest deadline first; others are looked at again when they are due.
local function streaks_over(partition, at_most, room)
  local due_key, now = partition.root .. ':due', int(partition.now_ms)
  local function is_of_room(key) return key:sub(1, #room + 1) == room .. '|' end
  local due = redis.call('ZRANGEBYSCORE', due_key, '-inf', now, 'LIMIT', 0, at_most)
  if room ~= '' then
    for _, key in ipairs(redis.call('ZRANGEBYSCORE', due_key, '(' .. now, '+inf')) do
      if is_of_room(key) then due[#due + 1] = key end
    end
  end
  local over = {}
  for _, key in ipairs(due) do
    local streak = load_streak(partition, key)
    if not streak then  -- its gift was never accepted
      forget_streak(partition.root, key)
    elseif streak.deadline_ms <= partition.now_ms or is_of_room(key) then
      over[#over + 1] = { key = key, streak = streak }
    else
      redis.call('ZADD', due_key, int(streak.deadline_ms), key)
    end
  end
  table.sort(over, function(a, b)
    if a.streak.deadline_ms ~= b.streak.deadline_ms then return a.streak.deadline_ms < b.streak.deadline_ms end
    return a.key < b.key
  end)
  return over
end

-- [generated] function streaks_sweep
-- End the expired streaks, and all of `room` ('' for none). Returns how many are open, -1 if not armed.
local function streaks_sweep_2(keys, argv)
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
  local function end_one(_, _, _, ended) end_streak(partition, ended.key, ended.streak) end
  for _, ended in ipairs(streaks_over(partition, at_most, room)) do run_item(partition, end_one, nil, nil, ended) end
  close(partition)
  return redis.call('ZCARD', due_key)
end

-- [generated] registrations
redis.register_function { function_name = 'streaks_sweep_2', callback = streaks_sweep_2, flags = { 'allow-oom' } }
-- [/generated]
