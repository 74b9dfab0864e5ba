-- Repair of a disarmed partition from the ledger. Each function needs the token of its claim, and each can be repeated.

-- [generated] function wallets_put
-- Set the state of wallets. Returns 'OK'. Fails unless the token is valid.
local function wallets_put_1(keys, argv)
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
    local key = root .. ':w:' .. user
    if seq == '0' and limits == '' then
      redis.call('DEL', key)
    else
      redis.call('HSET', key, 'b', balance, 's', seq)
      for field, value in pairs({ l = limits, u = usage }) do
        if value == '' then redis.call('HDEL', key, field) else redis.call('HSET', key, field, value) end
      end
      if frozen then redis.call('HSET', key, 'f', '1') else redis.call('HDEL', key, 'f') end
    end
  end
  return 'OK'
end

-- [generated] function refs_drop
-- Remove refs that were never accepted on the branch that counts. Returns 'OK'. Fails unless the token is valid.
--
-- Comes before `wallets_put`: the wallets know the hours of their refs.
local function refs_drop_1(keys, argv)
  local root = keys[1]
  local token = argv[1]
  -- [/generated]
  if not is_claimed(root, token) then return redis.error_reply(UNCLAIMED) end
  -- [generated] each refs_drop.refs
  for at = 2, #argv, 2 do
    local user = argv[at]
    local ref = argv[at + 1]
    -- [/generated]
    for hour in load_wallet({ root = root }, user).hours:gmatch('%d+') do
      redis.call('HDEL', ref_key(root, user, hour), ref)
    end
  end
  return 'OK'
end

-- [generated] function refs_put
-- Store answers again; comes after `wallets_put`. Returns 'OK'. Fails unless the token is valid.
local function refs_put_1(keys, argv)
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
    local wallet, key = load_wallet({ root = root }, user), ref_key(root, user, hour)
    redis.call('HSET', key, ref, answer)
    redis.call('EXPIREAT', key, int((tonumber(hour) + 2) * HOUR_S + ref_ttl_s))
    if not (',' .. wallet.hours .. ','):find(',' .. hour .. ',', 1, true) then
      redis.call('HSET', wallet.key, 'h', wallet.hours == '' and hour or hour .. ',' .. wallet.hours)
    end
  end
  return 'OK'
end

-- [generated] function streaks_drop
-- Remove streaks that are not open. Returns 'OK'. Fails unless the token is valid.
local function streaks_drop_1(keys, argv)
  local root = keys[1]
  local token = argv[1]
  -- [/generated]
  if not is_claimed(root, token) then return redis.error_reply(UNCLAIMED) end
  -- [generated] each streaks_drop.keys
  for at = 2, #argv do
    local key = argv[at]
    -- [/generated]
    redis.call('HDEL', root .. ':streaks', key)
    redis.call('ZREM', root .. ':due', key)
  end
  return 'OK'
end

-- [generated] function streaks_put
-- Open streaks again. Returns 'OK'. Fails unless the token is valid.
local function streaks_put_1(keys, argv)
  local root = keys[1]
  local token = argv[1]
  -- [/generated]
  if not is_claimed(root, token) then return redis.error_reply(UNCLAIMED) end
  -- [generated] each streaks_put.streaks
  for at = 2, #argv, 3 do
    local key = argv[at]
    local deadline_ms = argv[at + 1]
    local streak = argv[at + 2]
    -- [/generated]
    redis.call('HSET', root .. ':streaks', key, streak)
    redis.call('ZADD', root .. ':due', deadline_ms, key)
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

-- [generated] function partition_put
-- Remove what is above `common_n` from the outbox, and store the partition's new position. Returns 'OK'.
--
-- This is the last step of a repair: until then the partition reports its old position. The rooms are corrected
-- separately, so the relay has nothing to do up to here. Fails unless the token is valid.
local function partition_put_1(keys, argv)
  local root = keys[1]
  local token = argv[1]
  local common_n = tonumber(argv[2])
  local epoch = argv[3]
  local n = argv[4]
  local gifts = argv[5]
  local coins = argv[6]
  -- [/generated]
  if not is_claimed(root, token) then return redis.error_reply(UNCLAIMED) end
  cut(root .. ':outbox', common_n)
  local meta, position = root .. ':meta', epoch .. '-' .. n
  redis.call('HSET', meta, 'epoch', epoch, 'n', n, 'gifts', gifts, 'coins', coins, 'relayed', position,
    'relayed_n', n, 'whole_after', n)
  redis.call('HINCRBY', meta, 'generation', 1)
  redis.call('DEL', root .. ':broken')
  return 'OK'
end

-- [generated] registrations
redis.register_function { function_name = 'wallets_put_1', callback = wallets_put_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'refs_drop_1', callback = refs_drop_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'refs_put_1', callback = refs_put_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'streaks_drop_1', callback = streaks_drop_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'streaks_put_1', callback = streaks_put_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'partition_put_1', callback = partition_put_1, flags = { 'allow-oom' } }
-- [/generated]
