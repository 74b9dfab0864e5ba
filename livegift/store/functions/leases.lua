-- Leases: the owner of the work on a partition. They only divide the work; two owners at once do no harm, for other
-- reasons (docs/decisions/004). The hash ':lease:<role>' of a partition holds owner, token and end.

-- [generated] function lease_take
-- Take a free or expired lease, or renew one's own. Returns the fencing token, or 0 when another owner has it.
local function lease_take_2(keys, argv)
  local root = keys[1]
  local role = argv[1]
  local owner = argv[2]
  local ttl_ms = tonumber(argv[3])
  -- [/generated]
  local key, now = root .. ':lease:' .. role, now_ms()
  local row = redis.call('HMGET', key, 'owner', 'until_ms', 'token')
  local token = tonumber(row[3] or '0')
  if row[1] ~= owner then
    if row[1] and tonumber(row[2]) > now then return 0 end
    token = token + 1
  end
  redis.call('HSET', key, 'owner', owner, 'until_ms', int(now + ttl_ms), 'token', token)
  return token
end

-- [generated] function lease_release
-- Release a lease. Returns 1, or 0 when another owner has it; then it is left unchanged.
local function lease_release_2(keys, argv)
  local root = keys[1]
  local role = argv[1]
  local owner = argv[2]
  -- [/generated]
  local key = root .. ':lease:' .. role
  if redis.call('HGET', key, 'owner') ~= owner then return 0 end
  redis.call('HDEL', key, 'owner', 'until_ms')
  return 1
end

-- [generated] function worker_seen
-- Record that a worker of a role is alive or, with a `ttl_ms` of 0, that it leaves. Returns how many are alive.
local function worker_seen_2(keys, argv)
  local registry = keys[1]
  local worker = argv[1]
  local ttl_ms = tonumber(argv[2])
  -- [/generated]
  local now = now_ms()
  if ttl_ms == 0 then
    redis.call('ZREM', registry, worker)
  else
    redis.call('ZADD', registry, int(now + ttl_ms), worker)
  end
  redis.call('ZREMRANGEBYSCORE', registry, '-inf', int(now))
  return redis.call('ZCARD', registry)
end

-- [generated] registrations
redis.register_function { function_name = 'lease_take_2', callback = lease_take_2, flags = { 'allow-oom' } }
redis.register_function { function_name = 'lease_release_2', callback = lease_release_2, flags = { 'allow-oom' } }
redis.register_function { function_name = 'worker_seen_2', callback = worker_seen_2, flags = { 'allow-oom' } }
-- [/generated]
