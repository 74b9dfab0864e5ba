-- A room's gifters: totals, ranks, and the hashes and the zset behind them.

-- Gifters are users who have given under their name. If anonymous ones were counted, the next sum would reveal whether
-- it was somebody new, and a new name that does not change the sum would reveal who it was.
local function totals_json(root, state)
  return '{"gifts":' .. int(state.gifts) .. ',"coins":' .. int(state.coins) .. ',"diamonds":' .. int(state.diamonds)
    .. ',"gifters":' .. int(redis.call('ZCOUNT', root .. ':board', '(0', '+inf')) .. '}'
end

-- The time in the member ranks users with equal coins: a zset orders equal scores by their members.
local TIME_DIGITS, TIME_MAX = 15, 999999999999999  -- below 2^53

local function board_member(user, reached_ms)
  return string.format('%015d', TIME_MAX - reached_ms) .. user
end

-- The first `count` gifters. Those who have only given anonymously have a score of 0 and are not shown.
local function top_json(root, count)
  local ranks = redis.call('ZRANGE', root .. ':board', 0, count - 1, 'REV', 'WITHSCORES')
  if #ranks == 0 then return '[]' end
  local users = {}
  for i = 1, #ranks, 2 do users[#users + 1] = ranks[i]:sub(TIME_DIGITS + 1) end
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

-- Returns a gifter's row as numbers.
local function parse_gifter(row)
  if not row then return 0, 0, 0 end
  -- [generated] read gifter from row
  local gifts, coins, reached_ms = row:match('^(%d+) (%d+) (%d+)$')
  -- [/generated]
  return tonumber(gifts), tonumber(coins), tonumber(reached_ms)
end

local function gifter_row(gifts_number, coins_number, reached_number)
  local gifts, coins, reached_ms = int(gifts_number), int(coins_number), int(reached_number)
  -- [generated] write gifter to row
  local row = gifts .. ' ' .. coins .. ' ' .. reached_ms
  -- [/generated]
  return row
end

-- Adds to gifters: `more` is user -> { gifts, coins, reached_ms }. A user without gifts that count is removed.
local function add_to_gifters(root, more)
  local users = {}
  for user in pairs(more) do users[#users + 1] = user end
  if #users == 0 then return end
  local known = redis.call('HMGET', root .. ':gifters', unpack(users))
  local old, board, rows, gone = {}, {}, {}, {}
  for i, user in ipairs(users) do
    local gifts, coins, reached_ms = parse_gifter(known[i])
    local before = known[i] and board_member(user, reached_ms)
    local add = more[user]
    gifts, coins, reached_ms = gifts + add.gifts, coins + add.coins, math.max(reached_ms, add.reached_ms)
    if gifts > 0 then
      local member = board_member(user, reached_ms)
      if before and before ~= member then old[#old + 1] = before end
      board[#board + 1] = int(coins)
      board[#board + 1] = member
      rows[#rows + 1] = user
      rows[#rows + 1] = gifter_row(gifts, coins, reached_ms)
    elseif before then
      old[#old + 1] = before
      gone[#gone + 1] = user
    end
  end
  if #old > 0 then redis.call('ZREM', root .. ':board', unpack(old)) end
  if #board > 0 then
    redis.call('ZADD', root .. ':board', unpack(board))
    redis.call('HSET', root .. ':gifters', unpack(rows))
  end
  if #gone > 0 then
    redis.call('HDEL', root .. ':gifters', unpack(gone))
    redis.call('HDEL', root .. ':names', unpack(gone))
  end
end

-- Sets a gifter's row to what it should be; without gifts it is removed.
local function set_gifter(root, user, gifts, coins, reached_ms)
  local known = redis.call('HGET', root .. ':gifters', user)
  if known then
    local _, _, before_ms = parse_gifter(known)
    redis.call('ZREM', root .. ':board', board_member(user, before_ms))
  end
  if gifts then
    redis.call('ZADD', root .. ':board', int(coins), board_member(user, reached_ms))
    redis.call('HSET', root .. ':gifters', user, gifter_row(gifts, coins, reached_ms))
  elseif known then
    redis.call('HDEL', root .. ':gifters', user)
    redis.call('HDEL', root .. ':names', user)
  end
end
