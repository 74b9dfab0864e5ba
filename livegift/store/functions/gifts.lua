-- The debit of gifts, in batches.

-- Returns the reply to a gift that is refused, or nil.
local function refusal(partition, wallet, send)
  if send.verdict ~= '' then return refuse(wallet, send.verdict) end
  if wallet.frozen or wallet.balance < 0 then return refuse(wallet, 'wallet_frozen') end
  if not (send.price and send.gift_count and send.diamond_count) or send.gift_count < 1
    or send.price * send.gift_count > AMOUNT_MAX or send.diamond_count * send.gift_count > AMOUNT_MAX then
    return refuse(wallet, 'invalid')
  end
  local coins = send.price * send.gift_count
  if wallet.balance < coins then return refuse(wallet, 'insufficient_coins', coins - wallet.balance) end
  if send.policy == false then return refuse(wallet, 'invalid') end
  if send.policy then return over_limit(partition, wallet, send.policy, coins) end
end

local function send_gift(partition, send, combo_timeout_ms, ref_ttl_s)
  local wallet = load_wallet(partition, send.user)
  local known = recall(partition, wallet, send.ref)
  if known then return reply_known(partition, wallet, known, send.payload_hash) end
  if is_busy(partition) then return BUSY end
  local refused = refusal(partition, wallet, send)
  if refused then return refused end

  local combo, repeat_count
  if send.streakable then
    combo, repeat_count = extend_streak(partition, send, combo_timeout_ms)  -- may append the previous streak's end
  end
  local position, count = next_position(partition), int(send.gift_count)
  combo, repeat_count = combo or position, repeat_count or count
  local cost = send.price * send.gift_count
  wallet.balance, wallet.seq = wallet.balance - cost, wallet.seq + 1
  if send.policy then use(partition, wallet, send.policy, cost) end
  local coins, diamonds = int(cost), int(send.diamond_count * send.gift_count)
  local balance, seq = int(wallet.balance), int(wallet.seq)
  -- [generated] write answer to answer: send.payload_hash
  local answer = send.payload_hash .. '|' .. position .. '|' .. coins .. '|' .. combo .. '|' .. repeat_count
  -- [/generated]
  remember(partition, wallet, send.ref, ref_ttl_s, answer)
  save_wallet(wallet, balance, seq)
  local combo_id, wallet_seq, ts_ms = partition.number .. '-' .. combo, seq, partition.now_text
  local repeat_end, day = not send.streakable, send.policy and int(wallet.used.day) or '0'
  -- [generated] write GiftSent to entry: send.user, send.ref, send.room, send.to, send.gift_id, send.anonymous,
  --   send.user_json, send.details_json, send.message_json, send.payload_hash
  local entry = '["gift","' .. send.user .. '",' .. wallet_seq .. ',' .. balance .. ',"' .. send.ref .. '","'
    .. send.room .. '","' .. send.to .. '","' .. send.gift_id .. '",' .. count .. ',' .. coins .. ',' .. diamonds
    .. ',"' .. combo_id .. '",' .. repeat_count .. ',' .. (repeat_end and 'true' or 'false') .. ','
    .. (send.anonymous and 'true' or 'false') .. ',' .. ts_ms .. ',' .. send.user_json .. ',' .. send.details_json
    .. ',' .. send.message_json .. ',"' .. send.payload_hash .. '",' .. day .. ']'
  -- [/generated]
  append(partition, position, entry)
  partition.gifts, partition.coins = partition.gifts + 1, partition.coins + cost
  partition.notices[send.user] = { wallet = wallet, balance = balance, seq = seq }
  local event_id = partition.number .. '-' .. position
  -- [generated] write accepted to reply
  local reply = 'ok|' .. event_id .. '|' .. coins .. '|' .. balance .. '|' .. seq .. '|' .. combo_id .. '|'
    .. repeat_count
  -- [/generated]
  return reply
end

-- [generated] function gift_send
-- Debit gifts of one partition's wallets, in order. Returns an outcome for each.
--
-- Nothing new is accepted while the clocks of the hub and Redis differ by more than `clock_difference_max_ms`. Fails
-- when a number before the gifts is not a decimal number.
local function gift_send_1(keys, argv)
  local root = keys[1]
  local hub_now_ms = parse(argv[1])
  local clock_difference_max_ms = parse(argv[2])
  local combo_timeout_ms = parse(argv[3])
  local ref_ttl_s = parse(argv[4])
  -- [/generated]
  if not (combo_timeout_ms and ref_ttl_s and hub_now_ms and clock_difference_max_ms) then
    return redis.error_reply('ERR gift_send_1 expects four decimal numbers first')
  end
  local partition = open(root)
  local replies = {}
  if partition and math.abs(partition.now_ms - hub_now_ms) > clock_difference_max_ms then
    partition.clock_is_off = true
  end
  -- [generated] each gift_send.gifts into send
  for at = 5, #argv, 16 do
    local send = {
      user = argv[at],
      ref = argv[at + 1],
      payload_hash = argv[at + 2],
      verdict = argv[at + 3],
      room = argv[at + 4],
      to = argv[at + 5],
      gift_id = argv[at + 6],
      price = parse(argv[at + 7]),
      gift_count = parse(argv[at + 8]),
      diamond_count = parse(argv[at + 9]),
      streakable = argv[at + 10] == '1',
      anonymous = argv[at + 11] == '1',
      user_json = argv[at + 12],
      details_json = argv[at + 13],
      message_json = argv[at + 14],
      policy = parse_policy(argv[at + 15]),
    }
    -- [/generated]
    replies[#replies + 1] =
      partition and run_item(partition, send_gift, send, combo_timeout_ms, ref_ttl_s) or UNARMED
  end
  if partition then
    close(partition)
    -- Of several gifts of a user, only the last balance is worth telling.
    for _, notice in pairs(partition.notices) do
      tell(partition, notice.wallet, notice.balance, notice.seq, 'gift', 1)
    end
  end
  return replies
end

-- [generated] registrations
redis.register_function { function_name = 'gift_send_1', callback = gift_send_1, flags = {} }
-- [/generated]
