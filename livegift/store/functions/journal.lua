-- A partition while it is changed: its state, its journal, and what happens when a change fails halfway. The wallets'
-- library is the only code that changes one. See docs/reference/redis.md for the keys and docs/decisions/002 for the
-- root key.
--
-- `root` is a partition's root, its hash tag alone: '{w7.123}'. All other keys are the root plus a suffix, so they
-- share its slot. Redis does not roll back, so each item first validates everything, then writes.

-- [generated] constant AMOUNT_MAX
local AMOUNT_MAX = 10000000000000
-- [/generated]
-- From contract/bounds.py; sums of amounts stay far below 2^53.
local HOUR_S = 3600
local UNARMED = 'error|the partition is not armed'
local BUSY = 'no|unavailable|0|0'

-- Root -> { epoch, number }. Memory of this server process and library version: it is gone after a restart, a promotion
-- or a reload, so a Redis that may have lost something refuses money until the aggregator has compared it.
local armed = {}
-- Root -> token of the last caller to disarm it, who alone may repair and arm it. Memory as well.
local claims = {}

-- Parses a decimal number from 0 to AMOUNT_MAX; nil for anything else. tonumber() alone takes '0x10', 'nan' and '1.5'.
local function parse(text)
  if type(text) ~= 'string' or #text > 14 or not text:find('^%d+$') then return nil end
  local number = tonumber(text)
  if number > AMOUNT_MAX then return nil end
  return number
end

local function parse_signed(text)
  if type(text) ~= 'string' then return nil end
  if text:sub(1, 1) ~= '-' then return parse(text) end
  local number = parse(text:sub(2))
  return number and -number
end

-- Returns the partition's state at the start of a call, or nil when it is not armed: then nothing in it can be trusted,
-- not even a stored answer.
local function open(root)
  local meta = redis.call('HMGET', root .. ':meta', 'epoch', 'n', 'n_max', 'gifts', 'coins')
  local arms = armed[root]
  if not arms or arms.epoch ~= meta[1] then return nil end
  local n = tonumber(meta[2])
  local now = now_ms()
  return {
    root = root, epoch = arms.epoch, number = arms.number, n = n, first_n = n, n_max = tonumber(meta[3]),
    gifts = tonumber(meta[4]), coins = tonumber(meta[5]), now_ms = now, now_text = int(now),
    hour = int(math.floor(now / 1000 / HOUR_S)), outbox = root .. ':outbox', notices = {},
  }
end

local function close(partition)
  if partition.n > partition.first_n then
    redis.call('HSET', partition.root .. ':meta', 'n', int(partition.n), 'gifts', int(partition.gifts),
      'coins', int(partition.coins))
  end
end

-- Returns the position of the next entry, '<epoch>-<n>'.
local function next_position(partition) return partition.epoch .. '-' .. int(partition.n + 1) end

-- Appends an entry, JSON, to the journal.
local function append(partition, position, entry)
  redis.call('XADD', partition.outbox, position, 'e', entry)
  partition.n = partition.n + 1
end

-- Whether nothing new can be accepted now. Known refs are answered all the same: a repeat of an accepted one must never
-- look like a refusal.
local function is_busy(partition) return partition.n >= partition.n_max or partition.clock_is_off end

-- Runs one item of a batch. An error after the first write leaves a half-changed wallet, so the partition is disarmed,
-- and this item and the rest of the batch answer 'error': the outcome is unknown until the partition is repaired and
-- the same ref is sent again. The wallet and ref are recorded for the repair.
local function run_item(partition, run, what, ...)
  if partition.is_broken then return 'error|the partition was disarmed' end
  local ok, answer = pcall(run, partition, what, ...)
  if ok then return answer end
  armed[partition.root] = nil
  partition.is_broken = true
  if what.user then
    pcall(redis.call, 'SADD', partition.root .. ':broken', what.user .. ' ' .. (what.stored_ref or what.ref))
  end
  local message = type(answer) == 'table' and answer.err or answer
  redis.log(redis.LOG_WARNING, 'livegift: disarmed ' .. partition.root .. ': ' .. tostring(message))
  return 'error|' .. tostring(message)
end
