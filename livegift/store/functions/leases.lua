-- Leases: who works on a partition. They only divide the work; what two owners at once may do is harmless by other
-- means (docs/decisions/004). KEYS[1] is a partition's root; the hash ':lease:<role>' holds owner, token and end.

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- ARGV: role, owner, TTL in ms. Takes a free or expired lease, or renews one's own. Returns the fencing token, or 0.
local function lease_take_1(keys, argv)
  local key, now = keys[1] .. ':lease:' .. argv[1], now_ms()
  local row = redis.call('HMGET', key, 'owner', 'until_ms', 'token')
  local token = tonumber(row[3] or '0')
  if row[1] ~= argv[2] then
    if row[1] and tonumber(row[2]) > now then return 0 end
    token = token + 1
  end
  redis.call('HSET', key, 'owner', argv[2], 'until_ms', string.format('%d', now + tonumber(argv[3])), 'token', token)
  return token
end

-- ARGV: role, owner. Gives a lease back; somebody else's stays as it is.
local function lease_release_1(keys, argv)
  local key = keys[1] .. ':lease:' .. argv[1]
  if redis.call('HGET', key, 'owner') ~= argv[2] then return 0 end
  redis.call('HDEL', key, 'owner', 'until_ms')
  return 1
end

-- KEYS[1] is the registry of a role's workers. ARGV: worker, TTL in ms ('0': leaves). Returns how many there are.
local function worker_seen_1(keys, argv)
  local now = now_ms()
  if argv[2] == '0' then
    redis.call('ZREM', keys[1], argv[1])
  else
    redis.call('ZADD', keys[1], string.format('%d', now + tonumber(argv[2])), argv[1])
  end
  redis.call('ZREMRANGEBYSCORE', keys[1], '-inf', string.format('%d', now))
  return redis.call('ZCARD', keys[1])
end

redis.register_function { function_name = 'lease_take_1', callback = lease_take_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'lease_release_1', callback = lease_release_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'worker_seen_1', callback = worker_seen_1, flags = { 'allow-oom' } }
