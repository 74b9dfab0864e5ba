-- A wallet: its balance and seq, its stored answers, and the messages to its user's devices.
--
-- It is a record 'wallet', in the key ':w:<user>'. Limits, which few wallets have, are a record 'limits' of their own,
-- in ':l:<user>'. Version 1 of the functions kept a wallet as a hash; whoever changes it stores it as a text.

local function limits_key(root, user) return root .. ':l:' .. user end

-- Returns the viewer's own limits, a record, or ''.
local function limits_text_of(root, wallet)
  if not wallet.own_limits then
    wallet.own_limits = wallet.flags:find('l', 1, true) and redis.call('GET', limits_key(root, wallet.user)) or ''
  end
  return wallet.own_limits
end

local function set_flags(wallet, is_frozen, has_limits)
  wallet.frozen, wallet.flags = is_frozen, (is_frozen and 'f' or '') .. (has_limits and 'l' or '')
end

-- Returns a wallet that is not stored as a text: one of version 1, a hash, or one that was never changed.
local function load_older(root, user)
  local key = root .. ':w:' .. user
  local row = redis.call('HMGET', key, 'b', 's', 'h', 'f', 'l', 'u')
  local wallet = {
    user = user, key = key, balance = tonumber(row[1] or '0'), seq = tonumber(row[2] or '0'), hours = row[3] or '',
    usage = row[6] or '', own_limits = row[5] or '', is_older = true,
  }
  set_flags(wallet, row[4] and true or false, wallet.own_limits ~= '')
  return wallet
end

local function parse_wallet(root, user, text)
  if not text then return load_older(root, user) end
  -- [generated] read wallet from text
  local balance, seq, hours, flags, usage = text:match('^(-?%d+)|(%d+)|([%d,]*)|(%a*)|(.-)$')
  -- [/generated]
  if not balance then error('the wallet of ' .. user .. ' can not be read') end
  return {
    user = user, key = root .. ':w:' .. user, balance = tonumber(balance), seq = tonumber(seq), hours = hours,
    flags = flags, usage = usage, frozen = flags ~= '' and flags:find('f', 1, true) ~= nil,
  }
end

-- MGET returns nothing for a key that is not a string, where GET would fail.
local function read_wallet(root, user) return parse_wallet(root, user, redis.call('MGET', root .. ':w:' .. user)[1]) end

-- Returns a wallet with the changes that this call has made already.
local function load_wallet(partition, user)
  local wallet = partition.wallets[user]
  if type(wallet) ~= 'table' then
    wallet = wallet == nil and read_wallet(partition.root, user) or parse_wallet(partition.root, user, wallet)
    partition.wallets[user] = wallet
  end
  return wallet
end

-- Has a changed wallet stored at the end of the call. `changed` is the partition's, or any table to be stored by MSET.
local function save_wallet(root, changed, wallet)
  changed[wallet.key] = wallet
  if wallet.is_older and wallet.own_limits ~= '' then changed[limits_key(root, wallet.user)] = wallet.own_limits end
end

-- Returns the reply to a refused request. Nothing is charged.
local function refuse(wallet, code, missing)
  local shortfall = missing or 0
  -- [generated] format refused to reply: code, wallet.balance, shortfall
  local reply = format('no|%s|%d|%d', code, wallet.balance, shortfall)
  -- [/generated]
  return reply
end

local function ref_key(root, user, hour) return root .. ':ref:' .. user .. ':' .. hour end

-- Returns the stored answer of a ref from the hours in which this wallet has any (mostly one), but for `except`.
local function recall(partition, wallet, ref, except)
  for hour in wallet.hours:gmatch('%d+') do
    local answer = hour ~= except and redis.call('HGET', ref_key(partition.root, wallet.user, hour), ref)
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
  local combo_id = ''
  if combo ~= '' then
    combo_id = partition.number .. '-' .. combo
  elseif repeat_count ~= '0' then
    combo_id = event_id
  end
  -- [generated] format duplicate to reply: wallet.balance, wallet.seq
  local reply = format('dup|%s|%d|%d|%d|%s|%d', event_id, coins, wallet.balance, wallet.seq, combo_id,
    repeat_count)
  -- [/generated]
  return reply
end

-- Notes that a wallet has a ref of this hour. If it is the first one, the hash gets its end, and hours that are over
-- are forgotten.
local function note_hour(partition, wallet, key, ref_ttl_s)
  local this_hour = partition.hour
  if wallet.hours == this_hour or wallet.hours:match('%d+$') == this_hour then return end
  redis.call('EXPIRE', key, ref_ttl_s + HOUR_S)
  local oldest = tonumber(this_hour) - math.ceil(ref_ttl_s / HOUR_S)
  local hours = {}
  for hour in wallet.hours:gmatch('%d+') do
    if tonumber(hour) >= oldest and hour ~= this_hour then hours[#hours + 1] = hour end
  end
  hours[#hours + 1] = this_hour
  wallet.hours = table.concat(hours, ',')
end

-- Tells all devices of a user.
local function tell(partition, wallet, reason)
  local channel = partition.root .. ':user:' .. wallet.user
  redis.call('SPUBLISH', channel, format('{"type":"wallet","balance":%d,"seq":%d,"reason":"%s"}', wallet.balance,
    wallet.seq, reason))
end

-- [generated] function wallets_read
-- Return balance, seq, '1' if frozen, limits and usage of each wallet, in one list, whatever form it has.
local function wallets_read_2(keys, argv)
  local root = keys[1]
  -- [/generated]
  local reply = {}
  -- [generated] each wallets_read.users
  for at = 1, #argv do
    local user = argv[at]
    -- [/generated]
    local wallet = read_wallet(root, user)
    local last = #reply
    reply[last + 1], reply[last + 2] = int(wallet.balance), int(wallet.seq)
    reply[last + 3], reply[last + 4] = wallet.frozen and '1' or '', limits_text_of(root, wallet)
    reply[last + 5] = wallet.usage
  end
  return reply
end

-- [generated] registrations
redis.register_function { function_name = 'wallets_read_2', callback = wallets_read_2, flags = { 'no-writes' } }
-- [/generated]
