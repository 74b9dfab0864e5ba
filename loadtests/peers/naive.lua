#!lua name=naive_gifts
-- The same promise in the obvious way: a ref counts once, the coins are there, the gift is in a stream.
-- KEYS: wallet (hash), ref (string), stream. ARGV: coins, ref's TTL in s, event (JSON).
-- Returns {status, balance, event id}.
local function naive_gift(keys, argv)
  local known = redis.call('GET', keys[2])
  if known then return { 'duplicate', redis.call('HGET', keys[1], 'balance'), known } end
  local balance, coins = tonumber(redis.call('HGET', keys[1], 'balance') or '0'), tonumber(argv[1])
  if balance < coins then return { 'rejected', tostring(balance), '' } end
  balance = string.format('%.0f', balance - coins)
  redis.call('HSET', keys[1], 'balance', balance)
  local id = redis.call('XADD', keys[3], '*', 'event', argv[3], 'balance', balance)
  redis.call('SET', keys[2], id, 'EX', argv[2])
  return { 'accepted', balance, id }
end

redis.register_function('naive_gift', naive_gift)
