-- Changes of a wallet other than gifts: credits, corrections, and revocations of gifts.

local function change_wallet(partition, user, stored_ref, change, ref_ttl_s)
  local wallet = load_wallet(partition, user)
  local known = recall(partition, wallet, stored_ref)
  if known then return reply_known(partition, wallet, known, change.payload_hash) end
  if is_busy(partition) then return BUSY end
  local coins = change.delta
  if not coins or coins == 0 or math.abs(wallet.balance + coins) > AMOUNT_MAX then return refuse(wallet, 'invalid') end
  local after = wallet.balance + coins
  if after < 0 and coins < 0 and not change.overdraw then return refuse(wallet, 'insufficient_coins', -after) end

  local revoked = change.revoked
  local streak = revoked and shortened_streak(partition, revoked)
  local position, key = next_position(partition), ref_key(partition.root, user, partition.hour)
  local combo, repeat_count = '', 0
  -- [generated] format answer to answer: change.payload_hash
  local answer = format('%s|%s|%d|%s|%d', change.payload_hash, position, coins, combo, repeat_count)
  -- [/generated]
  redis.call('HSET', key, stored_ref, answer)
  note_hour(partition, wallet, key, ref_ttl_s)
  local wallet_seq, balance, delta, ts_ms = int(wallet.seq + 1), int(after), int(coins), int(partition.now_ms)
  local revokes = revoked and revoked.gift_json
  -- [generated] write WalletChanged to entry: change.user, change.ref, change.reason, change.payload_hash
  local entry = '["change","' .. change.user .. '",' .. wallet_seq .. ',' .. balance .. ',"' .. change.ref .. '",'
    .. delta .. ',"' .. change.reason .. '",' .. ts_ms .. ',"' .. change.payload_hash .. '"'
    .. (revokes and ',' .. revokes or '') .. ']'
  -- [/generated]
  append(partition, entry)
  -- From here on nothing can fail.
  wallet.balance, wallet.seq = after, wallet.seq + 1
  save_wallet(partition.root, partition.changed, wallet)
  if streak then save_streak(partition, revoked.streak_key, streak) end
  tell(partition, wallet, change.reason)
  local event_id, combo_id = partition.number .. '-' .. position, ''
  -- [generated] format accepted to reply: wallet.balance, wallet.seq
  local reply = format('ok|%s|%d|%d|%d|%s|%d', event_id, coins, wallet.balance, wallet.seq, combo_id, repeat_count)
  -- [/generated]
  return reply
end

local function run_change(root, change, ref_ttl_s)
  local partition = open(root)
  if not partition then return UNARMED end
  -- No client's ref begins with '!'.
  local reply = run_item(partition, change_wallet, change.user, '!' .. change.ref, change, ref_ttl_s)
  close(partition)
  return reply
end

-- [generated] function wallet_credit
-- Add coins to a wallet, once per ref. Returns an outcome. Fails when `ref_ttl_s` is not a decimal number.
local function wallet_credit_2(keys, argv)
  local root = keys[1]
  local ref_ttl_s = parse(argv[1])
  local user = argv[2]
  local ref = argv[3]
  local payload_hash = argv[4]
  local delta = parse(argv[5])
  local reason = argv[6]
  -- [/generated]
  if not ref_ttl_s then return redis.error_reply('ERR expected the ref TTL as a decimal number') end
  local change = { user = user, ref = ref, payload_hash = payload_hash, delta = delta, reason = reason }
  return run_change(root, change, ref_ttl_s)
end

-- [generated] function wallet_correct
-- Change a wallet by a signed number of coins, once per ref. Returns an outcome.
--
-- The balance may go below zero only with `overdraw`; then the wallet can't send. Fails when `ref_ttl_s` is not a
-- decimal number.
local function wallet_correct_2(keys, argv)
  local root = keys[1]
  local ref_ttl_s = parse(argv[1])
  local user = argv[2]
  local ref = argv[3]
  local payload_hash = argv[4]
  local delta = parse_signed(argv[5])
  local reason = argv[6]
  local overdraw = argv[7] == '1'
  -- [/generated]
  if not ref_ttl_s then return redis.error_reply('ERR expected the ref TTL as a decimal number') end
  local change = {
    user = user, ref = ref, payload_hash = payload_hash, delta = delta, reason = reason, overdraw = overdraw,
  }
  return run_change(root, change, ref_ttl_s)
end

-- [generated] function wallet_revoke
-- Give back the coins of a gift, once per ref, and take its `count` out of its streak. Returns an outcome.
--
-- `gift_json` is the gift as it is in the journal (GiftRevoked). Fails when `ref_ttl_s` or `count` is not a decimal
-- number.
local function wallet_revoke_2(keys, argv)
  local root = keys[1]
  local ref_ttl_s = parse(argv[1])
  local user = argv[2]
  local ref = argv[3]
  local payload_hash = argv[4]
  local delta = parse(argv[5])
  local reason = argv[6]
  local gift_json = argv[7]
  local streak_key = argv[8]
  local combo_id = argv[9]
  local count = parse(argv[10])
  -- [/generated]
  if not (ref_ttl_s and count) then
    return redis.error_reply('ERR expected the ref TTL and a count as decimal numbers')
  end
  local change = {
    user = user, ref = ref, payload_hash = payload_hash, delta = delta, reason = reason,
    revoked = { gift_json = gift_json, streak_key = streak_key, combo_id = combo_id, count = count },
  }
  return run_change(root, change, ref_ttl_s)
end

-- [generated] registrations
redis.register_function { function_name = 'wallet_credit_2', callback = wallet_credit_2, flags = {} }
redis.register_function { function_name = 'wallet_correct_2', callback = wallet_correct_2, flags = {} }
redis.register_function { function_name = 'wallet_revoke_2', callback = wallet_revoke_2, flags = {} }
-- [/generated]
