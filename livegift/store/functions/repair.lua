-- Repair of a disarmed partition from the ledger. Each function needs the token of its claim, and each can be repeated.

-- [generated] function wallets_put
-- Set the state of wallets. Returns 'OK'. Fails unless the token is valid.
local function wallets_put_2(keys, argv)
  local root = keys[1]
  local token = argv[1]
  -- [/generated]
  if not is_claimed(root, token) then return redis.error_reply(UNCLAIMED) end
  -- [generated] each wallets_put.wallets
  for at = 2, #argv, 6 do
    local user = argv[at]
    local balance = argv[at + 1]
    local seq = argv[at + 2]
    local frozen = argv[at + 3] == '1'
    local limits = argv[at + 4]
    local usage = argv[at + 5]
    -- [/generated]
    local wallet = read_wallet(root, user)
    if seq == '0' and limits == '' then
      redis.call('DEL', wallet.key, limits_key(root, user))
    else
      wallet.balance, wallet.seq, wallet.usage = tonumber(balance), tonumber(seq), usage
      set_flags(wallet, frozen, limits ~= '')
      redis.call('SET', wallet.key, wallet_text(wallet))
      if limits == '' then
        redis.call('DEL', limits_key(root, user))
      else
        redis.call('SET', limits_key(root, user), limits)
      end
    end
  end
  return 'OK'
end

-- [generated] function refs_drop
-- Remove refs that were never accepted on the branch that counts. Returns 'OK'. Fails unless the token is valid.
--
-- Comes before `wallets_put`: the wallets know the hours of their refs.
local function refs_drop_2(keys, argv)
  local root = keys[1]
  local token = argv[1]
  -- [/generated]
  if not is_claimed(root, token) then return redis.error_reply(UNCLAIMED) end
  -- [generated] each refs_drop.refs
  for at = 2, #argv, 3 do
    local user = argv[at]
    local ref = argv[at + 1]
    local hour = argv[at + 2]
    -- [/generated]
    redis.call('HDEL', ref_key(root, user, hour), ref)
    for other in read_wallet(root, user).hours:gmatch('%d+') do
      redis.call('HDEL', ref_key(root, user, other), ref)
    end
  end
  return 'OK'
end

-- [generated] function refs_put
-- Store answers again; comes after `wallets_put`. Returns 'OK'. Fails unless the token is valid.
local function refs_put_2(keys, argv)
  local root = keys[1]
  local token = argv[1]
  local ref_ttl_s = tonumber(argv[2])
  -- [/generated]
  if not is_claimed(root, token) then return redis.error_reply(UNCLAIMED) end
  -- [generated] each refs_put.refs
  for at = 3, #argv, 4 do
    local user = argv[at]
    local ref = argv[at + 1]
    local hour = argv[at + 2]
    local answer = argv[at + 3]
    -- [/generated]
    local wallet, key = read_wallet(root, user), ref_key(root, user, hour)
    redis.call('HSET', key, ref, answer)
    redis.call('EXPIREAT', key, int((tonumber(hour) + 2) * HOUR_S + ref_ttl_s))
    if not (',' .. wallet.hours .. ','):find(',' .. hour .. ',', 1, true) then
      wallet.hours = wallet.hours == '' and hour or hour .. ',' .. wallet.hours
      local changed = {}
      save_wallet(root, changed, wallet)
      for name, value in pairs(changed) do redis.call('SET', name, value == wallet and wallet_text(wallet) or value) end
    end
  end
  return 'OK'
end

-- [generated] function streaks_drop
-- Remove streaks that are not open. Returns 'OK'. Fails unless the token is valid.
local function streaks_drop_2(keys, argv)
  local root = keys[1]
  local token = argv[1]
  -- [/generated]
  if not is_claimed(root, token) then return redis.error_reply(UNCLAIMED) end
  -- [generated] each streaks_drop.keys
  for at = 2, #argv do
    local key = argv[at]
    -- [/generated]
    forget_streak(root, key)
  end
  return 'OK'
end

-- [generated] function streaks_put
-- Open streaks again. Returns 'OK'. Fails unless the token is valid.
local function streaks_put_2(keys, argv)
  local root = keys[1]
  local token = argv[1]
  -- [/generated]
  if not is_claimed(root, token) then return redis.error_reply(UNCLAIMED) end
  -- [generated] each streaks_put.streaks
  for at = 2, #argv, 4 do
    local key = argv[at]
    local deadline_ms = argv[at + 1]
    local streak = argv[at + 2]
    local shown = argv[at + 3]
    -- [/generated]
    redis.call('SET', state_key(root, key), streak)
    redis.call('HSET', root .. ':shown', key, shown)
    redis.call('ZADD', root .. ':due', deadline_ms, key)
  end
  return 'OK'
end

-- [generated] function streaks_convert
-- Convert the streaks that version 1 of the functions has left open. Returns 'OK'.
--
-- Fails unless the token is valid.
local function streaks_convert_2(keys, argv)
  local root = keys[1]
  local token = argv[1]
  -- [/generated]
  if not is_claimed(root, token) then return redis.error_reply(UNCLAIMED) end
  local older = redis.call('HGETALL', root .. ':streaks')
  for i = 1, #older, 2 do
    local key, older_text = older[i], older[i + 1]
    -- [generated] read older_streak from older_text
    local combo, repeat_count, deadline_ms, user_json, details_json =
      older_text:match('^([%d-]+)|(%d+)|(%d+)|(.-)\n(.-)$')
    -- [/generated]
    -- [generated] write streak to text
    local text = combo .. '|' .. repeat_count .. '|' .. deadline_ms
    -- [/generated]
    redis.call('SET', state_key(root, key), text)
    redis.call('HSET', root .. ':shown', key, '[' .. user_json .. ',' .. details_json .. ']')
  end
  redis.call('DEL', root .. ':streaks')
  return 'OK'
end

-- Removes each entry that goes beyond an n.
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

-- [generated] function partition_put
-- Remove what is above `common_n` from the outbox, and store the partition's new position. Returns 'OK'.
--
-- `kept` is the part up to `common_n` of an entry of several gifts that goes beyond it, or ''. It comes back as an
-- entry of `epoch`, and `kept_head` says the number of its gifts and their own epoch (see journal.lua).
--
-- This is the last step of a repair: until then the partition reports its old position. The rooms are corrected
-- separately, so the relay has nothing to do up to here. Fails unless the token is valid.
local function partition_put_2(keys, argv)
  local root = keys[1]
  local token = argv[1]
  local common_n = tonumber(argv[2])
  local epoch = argv[3]
  local n = tonumber(argv[4])
  local gifts = tonumber(argv[5])
  local coins = tonumber(argv[6])
  local kept_head = argv[7]
  local kept = argv[8]
  -- [/generated]
  if not is_claimed(root, token) then return redis.error_reply(UNCLAIMED) end
  local outbox, meta, position = root .. ':outbox', root .. ':meta', format('%s-%d', epoch, n)
  cut(outbox, common_n)
  -- Its old id can't be used again: a stream's ids only grow, whatever was removed. The new epoch is above all others.
  if kept_head ~= '' then redis.call('XADD', outbox, format('%s-%d', epoch, common_n), kept_head, kept) end
  local counters = { epoch = epoch, n = n, n_max = 0, gifts = gifts, coins = coins }
  redis.call('SET', root .. ':counters', counters_text(counters))
  redis.call('HSET', meta, 'relayed', position, 'relayed_n', int(n), 'whole_after', int(n))
  redis.call('HINCRBY', meta, 'generation', 1)
  redis.call('DEL', root .. ':broken')
  return 'OK'
end

-- [generated] registrations
redis.register_function { function_name = 'wallets_put_2', callback = wallets_put_2, flags = { 'allow-oom' } }
redis.register_function { function_name = 'refs_drop_2', callback = refs_drop_2, flags = { 'allow-oom' } }
redis.register_function { function_name = 'refs_put_2', callback = refs_put_2, flags = { 'allow-oom' } }
redis.register_function { function_name = 'streaks_drop_2', callback = streaks_drop_2, flags = { 'allow-oom' } }
redis.register_function { function_name = 'streaks_put_2', callback = streaks_put_2, flags = { 'allow-oom' } }
redis.register_function { function_name = 'streaks_convert_2', callback = streaks_convert_2, flags = { 'allow-oom' } }
redis.register_function { function_name = 'partition_put_2', callback = partition_put_2, flags = { 'allow-oom' } }
-- [/generated]
