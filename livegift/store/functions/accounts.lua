-- A wallet: its balance and seq, its stored answers, and the messages to its user's devices.

local function load_wallet(partition, user)
  local key = partition.root .. ':w:' .. user
  local row = redis.call('HMGET', key, 'b', 's', 'h', 'f', 'l', 'u')
  return {
    key = key, user = user, balance = tonumber(row[1] or '0'), seq = tonumber(row[2] or '0'),
    hours = row[3] or '', frozen = row[4] or false, limits = row[5] or '', usage = row[6] or '',
  }
end

local function save_wallet(wallet, balance, seq)
  local used = wallet.used
  if not used then
    redis.call('HSET', wallet.key, 'b', balance, 's', seq, 'h', wallet.hours)
    return
  end
  local day, day_coins, month_coins = int(used.day), int(used.day_coins), int(used.month_coins)
  local minute, minute_gifts = int(used.minute), int(used.minute_gifts)
  -- [generated] write usage to usage
  local usage = day .. '|' .. day_coins .. '|' .. month_coins .. '|' .. minute .. '|' .. minute_gifts
  -- [/generated]
  redis.call('HSET', wallet.key, 'b', balance, 's', seq, 'h', wallet.hours, 'u', usage)
end

-- Returns the reply to a refused request. Nothing is charged.
local function refuse(wallet, code, missing)
  local balance, shortfall = int(wallet.balance), int(missing or 0)
  -- [generated] write refused to reply
  local reply = 'no|' .. code .. '|' .. balance .. '|' .. shortfall
  -- [/generated]
  return reply
end

local function ref_key(root, user, hour) return root .. ':ref:' .. user .. ':' .. hour end

-- Returns the stored answer of a ref. It looks in the hours in which this wallet has any (mostly one).
local function recall(partition, wallet, ref)
  for hour in wallet.hours:gmatch('%d+') do
    local answer = redis.call('HGET', ref_key(partition.root, wallet.user, hour), ref)
    if answer then return answer end
  end
end

-- Returns the reply to a ref that has an answer.
local function reply_known(partition, wallet, answer, payload_hash)
  -- [generated] read answer from answer: payload_hash as known_hash, position, coins, combo, repeat_count
  local known_hash, position, coins, combo, repeat_count = answer:match('^(%x*)|([%d-]+)|(-?%d+)|([%d-]*)|(%d+)$')
  -- [/generated]
  if known_hash ~= payload_hash then return refuse(wallet, 'ref_conflict') end
  local event_id = partition.number .. '-' .. position
  local combo_id = combo == '' and '' or partition.number .. '-' .. combo
  local balance, seq = int(wallet.balance), int(wallet.seq)
  -- [generated] write duplicate to reply
  local reply = 'dup|' .. event_id .. '|' .. coins .. '|' .. balance .. '|' .. seq .. '|' .. combo_id .. '|'
    .. repeat_count
  -- [/generated]
  return reply
end

local function remember(partition, wallet, ref, ref_ttl_s, answer)
  local this_hour = partition.hour
  local key = ref_key(partition.root, wallet.user, this_hour)
  redis.call('HSET', key, ref, answer)
  if wallet.hours == this_hour or wallet.hours:match('%d+$') == this_hour then return end
  -- The first ref of this hour: add the hour, forget expired ones.
  redis.call('EXPIRE', key, ref_ttl_s + HOUR_S)
  local oldest = tonumber(this_hour) - math.ceil(ref_ttl_s / HOUR_S)
  local hours = {}
  for hour in wallet.hours:gmatch('%d+') do
    if tonumber(hour) >= oldest and hour ~= this_hour then hours[#hours + 1] = hour end
  end
  hours[#hours + 1] = this_hour
  wallet.hours = table.concat(hours, ',')
end

-- Tells the user's other devices. `known` subscribers need not be told: the sender's own process (1 for a gift).
local function tell(partition, wallet, balance, seq, reason, known)
  local channel = partition.root .. ':user:' .. wallet.user
  if redis.call('PUBSUB', 'SHARDNUMSUB', channel)[2] > known then
    redis.call('SPUBLISH', channel, '{"type":"wallet","balance":' .. balance .. ',"seq":' .. seq
      .. ',"reason":"' .. reason .. '"}')
  end
end
