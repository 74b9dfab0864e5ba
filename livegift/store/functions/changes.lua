-- Changes of a wallet other than gifts: credits, corrections, and revocations of gifts.

local function change_wallet(partition, change, ref_ttl_s)
  local wallet = load_wallet(partition, change.user)
  local stored_ref = '!' .. change.ref  -- no client's ref begins with '!'
  change.stored_ref = stored_ref
  local known = recall(partition, wallet, stored_ref)
  if known then return reply_known(partition, wallet, known, change.payload_hash) end
  if is_busy(partition) then return BUSY end
  local change_coins = change.delta
  if not change_coins or change_coins == 0 or math.abs(wallet.balance + change_coins) > AMOUNT_MAX then
    return refuse(wallet, 'invalid')
  end
  local after = wallet.balance + change_coins
  if after < 0 and change_coins < 0 and not change.overdraw then return refuse(wallet, 'insufficient_coins', -after) end

  local position, coins = next_position(partition), int(change_coins)
  wallet.balance, wallet.seq = after, wallet.seq + 1
  local balance, seq = int(wallet.balance), int(wallet.seq)
  local combo, repeat_count = '', '0'
  -- [generated] write answer to answer: change.payload_hash
  local answer = change.payload_hash .. '|' .. position .. '|' .. coins .. '|' .. combo .. '|' .. repeat_count
  -- [/generated]
  remember(partition, wallet, stored_ref, ref_ttl_s, answer)
  save_wallet(wallet, balance, seq)
  local revoked = change.revoked
  local wallet_seq, delta, ts_ms, revokes = seq, coins, partition.now_text, revoked and revoked.gift_json
  -- [generated] write WalletChanged to entry: change.user, change.ref, change.reason, change.payload_hash
  local entry = '["change","' .. change.user .. '",' .. wallet_seq .. ',' .. balance .. ',"' .. change.ref .. '",'
    .. delta .. ',"' .. change.reason .. '",' .. ts_ms .. ',"' .. change.payload_hash .. '"'
    .. (revokes and ',' .. revokes or '') .. ']'
  -- [/generated]
  append(partition, position, entry)
  if revoked then shorten_streak(partition, revoked) end
  tell(partition, wallet, balance, seq, change.reason, 0)
  local event_id, combo_id = partition.number .. '-' .. position, ''
  -- [generated] write accepted to reply
  local reply = 'ok|' .. event_id .. '|' .. coins .. '|' .. balance .. '|' .. seq .. '|' .. combo_id .. '|'
    .. repeat_count
  -- [/generated]
  return reply
end

local function run_change(root, change, ref_ttl_s)
  local partition = open(root)
  if not partition then return UNARMED end
  local reply = run_item(partition, change_wallet, change, ref_ttl_s)
  close(partition)
  return reply
end

-- [generated] function wallet_credit
-- Add coins to a wallet, once per ref. Returns an outcome. Fails when `ref_ttl_s` is not a decimal number.
local function wallet_credit_1(keys, argv)
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
local function wallet_correct_1(keys, argv)
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
local function wallet_revoke_1(keys, argv)
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
redis.register_function { function_name = 'wallet_credit_1', callback = wallet_credit_1, flags = {} }
redis.register_function { function_name = 'wallet_correct_1', callback = wallet_correct_1, flags = {} }
redis.register_function { function_name = 'wallet_revoke_1', callback = wallet_revoke_1, flags = {} }
-- [/generated]
