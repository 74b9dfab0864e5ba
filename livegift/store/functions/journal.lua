-- A partition while it is changed: its state, its journal, and what happens when a change fails halfway. The wallets'
-- library is the only code that changes one. See docs/reference/redis.md for the keys and docs/decisions/002 for the
-- root key.
--
-- `root` is a partition's root, its hash tag alone: '{w7.123}'. All other keys are the root plus a suffix, so they
-- share its slot. Redis does not roll back, so each item first validates everything, then writes. Wallets, streaks and
-- counters change in `partition.changed` and are stored together, by one command, once the journal has the entries.

-- [generated] constant AMOUNT_MAX
local AMOUNT_MAX = 10000000000000
-- [/generated]
-- From contract/bounds.py; sums of amounts stay far below 2^53.
local HOUR_S = 3600
local UNARMED = 'error|the partition is not armed'
local DISARMED = 'error|the partition was disarmed'
local BUSY = 'no|unavailable|0|0'

-- Root -> { epoch, number }. Memory of this server process and library version: it is gone after a restart, a promotion
-- or a reload, so a Redis that may have lost something refuses money until the aggregator has compared it.
local armed = {}
-- Root -> token of the last caller to disarm it, who alone may repair and arm it. Memory as well.
local claims = {}

-- Parses a decimal number from 0 to AMOUNT_MAX; nil for anything else. tonumber() alone takes '0x10', 'nan' and '1.5'.
local function parse(text)
  if not text or #text > 14 or not text:find('^%d+$') then return nil end
  local number = tonumber(text)
  if number > AMOUNT_MAX then return nil end
  return number
end

local function parse_signed(text)
  if not text then return nil end
  if text:sub(1, 1) ~= '-' then return parse(text) end
  local number = parse(text:sub(2))
  return number and -number
end

local function parse_counters(text)
  if not text then return nil end
  -- [generated] read counters from text
  local epoch, n, n_max, gifts, coins = text:match('^(%d+)|(%d+)|(%d+)|(%d+)|(%d+)$')
  -- [/generated]
  if not epoch then return nil end
  return {
    epoch = epoch, n = tonumber(n), n_max = tonumber(n_max), gifts = tonumber(gifts), coins = tonumber(coins),
  }
end

local function counters_text(counters)
  -- [generated] format counters to text: counters.epoch, counters.n, counters.n_max, counters.gifts, counters.coins
  local text = format('%s|%d|%d|%d|%d', counters.epoch, counters.n, counters.n_max, counters.gifts, counters.coins)
  -- [/generated]
  return text
end

-- Returns the partition's state at the start of a call, or nil when it is not armed: then nothing in it can be trusted,
-- not even a stored answer. `text` are the counters if they were read already, with the texts of wallets and streaks.
local function open(root, text, wallets, streaks)
  local counters, arms = parse_counters(text or redis.call('GET', root .. ':counters')), armed[root]
  if not (counters and arms and arms.epoch == counters.epoch) then return nil end
  local now = now_ms()
  return {
    root = root, epoch = arms.epoch, number = arms.number, n = counters.n, n_max = counters.n_max,
    gifts = counters.gifts, coins = counters.coins, now_ms = now, stored = counters,
    hour = int(math.floor(now / 1000 / HOUR_S)), outbox = root .. ':outbox',
    wallets = wallets or {}, streaks = streaks or {}, changed = {}, sent = {}, replies = {},
  }
end

-- Returns the position of the next entry, '<epoch>-<n>'.
local function next_position(partition) return format('%s-%d', partition.epoch, partition.n + 1) end

-- Appends an entry of its own, JSON, to the journal. No gifts of the call may wait to be appended.
local function append(partition, entry)
  redis.call('XADD', partition.outbox, next_position(partition), 'e', entry)
  partition.n = partition.n + 1
  partition.appended_n = partition.n
end

-- Returns the number of positions that an entry has. Its field is named 'e' when it is an entry of its own; else the
-- name is the number of its gifts, and their epoch where that is not the one of the entry.
local function positions_of(row) return tonumber(row[2][1]:match('^%d+')) or 1 end

-- Returns a wallet as it is stored.
local function wallet_text(wallet)
  -- [generated] format wallet to text: wallet.*
  local text = format('%d|%d|%s|%s|%s', wallet.balance, wallet.seq, wallet.hours, wallet.flags, wallet.usage)
  -- [/generated]
  return text
end

-- Appends the gifts that wait as one entry, then stores what has changed. After an error nothing of that was done.
local function commit(partition)
  if #partition.sent > 0 then
    redis.call('XADD', partition.outbox, format('%s-%d', partition.epoch, partition.n), int(#partition.sent),
      format('[%d,%d,[', partition.now_ms, partition.day) .. table.concat(partition.sent, ',') .. ']]')
    partition.sent, partition.first_reply = {}, nil
  end
  if partition.n == partition.stored.n then return end
  local stored = partition.stored
  stored.n, stored.gifts, stored.coins = partition.n, partition.gifts, partition.coins
  local set, at = { partition.root .. ':counters', counters_text(stored) }, 2
  for key, value in pairs(partition.changed) do
    set[at + 1], set[at + 2] = key, type(value) == 'table' and wallet_text(value) or value
    at = at + 2
  end
  partition.changed = {}
  redis.call('MSET', unpack(set))
end

local function disarm_broken(partition, problem)
  armed[partition.root], partition.is_broken = nil, true
  local message = tostring(type(problem) == 'table' and problem.err or problem)
  redis.log(redis.LOG_WARNING, 'livegift: disarmed ' .. partition.root .. ': ' .. message)
  return 'error|' .. message
end

-- Records a wallet and ref for the repair: the ref may be known without an entry, and in an hour that the stored wallet
-- does not have.
local function note_broken(partition, user, ref)
  pcall(redis.call, 'SADD', partition.root .. ':broken', user .. ' ' .. ref .. ' ' .. partition.hour)
end

-- Records the wallet of an item that failed, and its ref if the item itself has stored an answer. An answer from before
-- counts: it is only the repeat that failed.
local function note_failed(partition, user, ref)
  local key = partition.root .. ':ref:' .. user .. ':' .. partition.hour
  local found, answer = pcall(redis.call, 'HGET', key, ref)
  local is_own = found and answer and answer:find('|' .. next_position(partition) .. '|', 1, true)
  note_broken(partition, user, is_own and ref or '')
end

-- Ends a call. Returns nil, or the reply to the gifts that wait and to those answered since, which may be repeats of
-- these: if the journal does not take them, their outcome is unknown.
local function close(partition)
  local ok, problem = pcall(commit, partition)
  if ok then return nil end
  local reply, stored = disarm_broken(partition, problem), partition.stored
  if partition.appended_n and partition.appended_n > stored.n then
    stored.n = partition.appended_n
    redis.call('SET', partition.root .. ':counters', counters_text(stored))
  end
  return reply
end

-- Whether nothing new can be accepted now. Known refs are answered all the same: a repeat of an accepted one must never
-- look like a refusal.
local function is_busy(partition) return partition.n >= partition.n_max or partition.clock_is_off end

-- Runs one item of a call. An error after the first write leaves a ref without an entry, so the partition is disarmed,
-- and this item and the rest of the call answer 'error': the outcome is unknown until the partition is repaired and the
-- same ref is sent again. What was accepted before it still counts.
local function run_item(partition, run, user, ref, ...)
  if partition.is_broken then return DISARMED end
  local ok, answer = pcall(run, partition, user, ref, ...)
  if ok then return answer end
  if user then note_failed(partition, user, ref) end
  return disarm_broken(partition, answer)
end
