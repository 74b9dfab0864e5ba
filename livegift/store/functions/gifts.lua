-- The debit of gifts, in batches. All gifts of a call are one entry of the journal, unless the end of a streak comes in
-- between. What others hear of the new balance they hear from the relay.

-- Returns the reply to a gift that is refused, or nil.
local function refusal(partition, wallet, cost, cost_text, count, policy)
  if is_busy(partition) then return BUSY end
  if not cost and cost_text:sub(1, 1) == '!' then return refuse(wallet, cost_text:sub(2)) end
  if wallet.frozen or wallet.balance < 0 then return refuse(wallet, 'wallet_frozen') end
  if not (cost and count) or count < 1 then return refuse(wallet, 'invalid') end
  if wallet.balance < cost then return refuse(wallet, 'insufficient_coins', cost - wallet.balance) end
  if policy == false then return refuse(wallet, 'invalid') end
  if policy then return over_limit(partition, wallet, policy, cost) end
end

-- Adds an accepted gift to those that wait to be appended. `combo` is as in the record 'sent_gift'.
local function add_sent(partition, wallet, combo, repeat_count, day, fragment)
  local sent = #partition.sent + 1
  if sent == 1 then partition.first_reply, partition.day = #partition.replies + 1, day end
  local later_days = day - partition.day
  -- [generated] format sent_gift to item: wallet.seq as wallet_seq, wallet.balance
  local item = format('[%d,%d,"%s",%d,%d,%s]', wallet.seq, wallet.balance, combo, repeat_count, later_days,
    fragment)
  -- [/generated]
  partition.sent[sent] = item
end

local function send_gift(partition, user, ref, payload_hash, cost_text, count_text, streak_key, policy, fragment)
  local wallet = load_wallet(partition, user)
  local cost, count = parse(cost_text), parse(count_text)
  local known = wallet.hours ~= partition.hour and recall(partition, wallet, ref, partition.hour)
  if known then return reply_known(partition, wallet, known, payload_hash) end
  local key = ref_key(partition.root, user, partition.hour)
  local refused = refusal(partition, wallet, cost, cost_text, count, policy)
  local streak = not refused and streak_key ~= '' and load_streak(partition, streak_key) or nil
  local is_over = streak and partition.now_ms >= streak.deadline_ms
  if refused or is_over then
    known = redis.call('HGET', key, ref)
    if known then return reply_known(partition, wallet, known, payload_hash) end
    if refused then return refused end
    commit(partition)
    end_streak(partition, streak_key, streak)
    streak = nil
  end

  local position, repeat_count = next_position(partition), count + (streak and streak.repeat_count or 0)
  local combo = streak and streak.combo or ''
  -- [generated] format answer to answer: payload_hash, position, cost as coins, combo, repeat_count
  local answer = format('%s|%s|%d|%s|%d', payload_hash, position, cost, combo, repeat_count)
  -- [/generated]
  if redis.call('HSETNX', key, ref, answer) == 0 then
    return reply_known(partition, wallet, redis.call('HGET', key, ref), payload_hash)
  end
  note_hour(partition, wallet, key, partition.ref_ttl_s)
  if streak_key ~= '' then extend_streak(partition, streak_key, streak, position, repeat_count, fragment) end
  -- From here on nothing can fail.
  wallet.balance, wallet.seq = wallet.balance - cost, wallet.seq + 1
  if policy then use(partition, wallet, policy, cost) end
  save_wallet(partition.root, partition.changed, wallet)
  partition.n, partition.gifts, partition.coins = partition.n + 1, partition.gifts + 1, partition.coins + cost
  local shown_combo = streak_key == '' and '' or streak and combo or '='
  add_sent(partition, wallet, shown_combo, repeat_count, policy and wallet.used.day or 0, fragment)
  local event_id = partition.number .. '-' .. position
  local combo_id = streak and partition.number .. '-' .. combo or event_id
  -- [generated] format accepted to reply: event_id, cost as coins, wallet.balance, wallet.seq, combo_id, repeat_count
  local reply = format('ok|%s|%d|%d|%d|%s|%d', event_id, cost, wallet.balance, wallet.seq, combo_id, repeat_count)
  -- [/generated]
  return reply
end

-- Reads the counters, wallets and streaks of a call's gifts at once. Returns the partition, nil when it is not armed.
local function open_for(root, argv)
  local names, users, streaks, last = { root .. ':counters' }, {}, {}, 1
  -- [generated] each gift_send.gifts: user, streak_key
  for at = 5, #argv, 8 do
    local user = argv[at]
    local streak_key = argv[at + 5]
    -- [/generated]
    if not users[user] then
      last = last + 1
      names[last], users[user] = root .. ':w:' .. user, last
    end
    if streak_key ~= '' and not streaks[streak_key] then
      last = last + 1
      names[last], streaks[streak_key] = root .. ':s:' .. streak_key, last
    end
  end
  local found = redis.call('MGET', unpack(names))
  for user, i in pairs(users) do users[user] = found[i] end
  for key, i in pairs(streaks) do streaks[key] = found[i] end
  return open(root, found[1], users, streaks)
end

-- Replies to the gifts that the journal has not taken, and records them.
local function take_back(partition, reply, argv)
  local replies, i = partition.replies, 0
  -- [generated] each gift_send.gifts: user, ref
  for at = 5, #argv, 8 do
    local user = argv[at]
    local ref = argv[at + 1]
    -- [/generated]
    i = i + 1
    if i >= (partition.first_reply or 1) then
      if replies[i]:sub(1, 3) == 'ok|' then note_broken(partition, user, ref) end
      replies[i] = reply
    end
  end
end

-- [generated] function gift_send
-- Debit gifts of one partition's wallets, in order. Returns an outcome for each.
--
-- Nothing new is accepted while the clocks of the hub and Redis differ by more than `clock_difference_max_ms`. Fails
-- when a number before the gifts is not a decimal number.
local function gift_send_2(keys, argv)
  local root = keys[1]
  local hub_now_ms = parse(argv[1])
  local clock_difference_max_ms = parse(argv[2])
  local combo_timeout_ms = parse(argv[3])
  local ref_ttl_s = parse(argv[4])
  -- [/generated]
  if not (combo_timeout_ms and ref_ttl_s and hub_now_ms and clock_difference_max_ms) then
    return redis.error_reply('ERR gift_send_2 expects four decimal numbers first')
  end
  local partition = open_for(root, argv)
  if not partition then
    local replies = {}
    -- [generated] count gift_send.gifts
    local gifts_count = (#argv - 4) / 8
    -- [/generated]
    for i = 1, gifts_count do replies[i] = UNARMED end
    return replies
  end
  partition.combo_timeout_ms, partition.ref_ttl_s = combo_timeout_ms, ref_ttl_s
  partition.clock_is_off = math.abs(partition.now_ms - hub_now_ms) > clock_difference_max_ms
  local replies = partition.replies
  -- [generated] each gift_send.gifts
  for at = 5, #argv, 8 do
    local user = argv[at]
    local ref = argv[at + 1]
    local payload_hash = argv[at + 2]
    local cost = argv[at + 3]
    local gift_count = argv[at + 4]
    local streak_key = argv[at + 5]
    local policy = argv[at + 6]
    local fragment = argv[at + 7]
    -- [/generated]
    replies[#replies + 1] = run_item(partition, send_gift, user, ref, payload_hash, cost, gift_count, streak_key,
      parse_policy(policy), fragment)
  end
  local problem = close(partition)
  if problem then take_back(partition, problem, argv) end
  return replies
end

-- [generated] registrations
redis.register_function { function_name = 'gift_send_2', callback = gift_send_2, flags = {} }
-- [/generated]
