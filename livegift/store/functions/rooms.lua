-- Rooms: totals, ranks, log and numbering. `root` is a room's root '{room:ID}'; all other keys are the root plus a
-- suffix. Publishing twice changes nothing: each partition's watermark says what the room has already.
--
-- Hash ':watermarks': partition -> record 'contribution', its last entry and the sums of what came from it, so that one
-- partition's contribution can be corrected; 'f' .. partition -> its fences, '<epoch>-<base>,…' (decision 007).
-- Hash ':gifters': user -> record 'gifter': gifts that count, coins that were not given anonymously, and when the last
-- of those gifts was sent. Zset ':board': the same users by coins; the member is that time counted down and the user,
-- so that equals are ranked by who got there first (decision 019). The ledger knows all of it and can restore it.

-- Memory of this server process. Without a gate it may lack something, and publishes nothing until the aggregator
-- has compared its rooms with the ledger and opened the gate, with a token above all earlier ones. A room takes the
-- token as its epoch at its first change, which tells clients that numbers of an earlier epoch are not valid. Opening
-- the gate sets the relays back. What a relay read before that, in an earlier incarnation of the partition (its epoch,
-- and the generation of the relay's cursor), would leave a gap, so it is refused.
local gate, claim, floors = nil, nil, {}
local changed = {}
-- Rooms whose state has been seen since the gate was claimed, so that it was compared or is newer. If it is no longer
-- there it was lost (somebody has emptied this Redis): new entries would leave a gap below them that nobody sees.
local seen = {}
local CLOSED = 'ERR the rooms of this node are being compared with the ledger'
local STALE = 'ERR this was read before the relays were set back'
local UNCLAIMED = 'UNCLAIMED the gate was claimed by somebody else, or the rooms were restarted since: begin again'
local GONE = 'ERR the room has lost its state: livegift restore puts it right'

local function load_state(root)
  local row = redis.call('HMGET', root .. ':state', 'epoch', 'seq', 'gifts', 'coins', 'diamonds', 'ttl_s')
  local epoch = row[1] or '0'
  if row[1] then seen[root] = true end
  if gate and not changed[root] then
    -- A room that exists gets a higher epoch than the token: should its state vanish, its epoch differs from then on.
    epoch = row[1] and int(math.max(tonumber(gate), tonumber(epoch)) + 1) or gate
  end
  return {
    epoch = epoch, seq = tonumber(row[2] or '0'), gifts = tonumber(row[3] or '0'), coins = tonumber(row[4] or '0'),
    diamonds = tonumber(row[5] or '0'), ttl_s = row[6], is_gone = seen[root] and not row[1],
    is_new = not row[1],
  }
end

-- Rooms of earlier versions have ':matches' as well.
local SUFFIXES = {
  'state', 'watermarks', 'gifters', 'board', 'names', 'combos', 'log', 'announced', 'viewers', 'matches',
  'told', 'kept',
}

-- The keys of a room that has ended expire, with what is still published to it after its end.
local function expire(root, ttl_s)
  for _, suffix in ipairs(SUFFIXES) do redis.call('EXPIRE', root .. ':' .. suffix, ttl_s) end
end

-- Numbers one event and writes it to the log. `body` is its JSON without the opening brace. `place`, for an event from
-- a journal, is its entry's '<partition>-<epoch>-<n>', which the event does not show.
local function number(root, state, log_max, body, place)
  state.seq = state.seq + 1
  local seq = int(state.seq)
  local event = '{"seq":' .. seq .. ',' .. body
  redis.call('XADD', root .. ':log', 'MAXLEN', '~', log_max, state.epoch .. '-' .. seq, 'e', event, 'p', place or '')
  return event
end

-- The only writer of `gift.revoked`, for all kinds of revocation; without the opening brace.
local function revoked_body(gift_id, ts_ms, combo_id, count, coins, diamonds)
  return '"type":"gift.revoked","id":"' .. gift_id .. '-revoked","ts_ms":' .. ts_ms .. ',"gift_event_id":"' .. gift_id
    .. '","combo_id":"' .. combo_id .. '","count":' .. count .. ',"coins":' .. coins .. ',"diamonds":' .. diamonds
    .. '}'
end

-- A partition's contribution: { epoch, n, gifts, coins, diamonds, fences }.
local function load_contribution(root, partition)
  local row = redis.call('HMGET', root .. ':watermarks', partition, 'f' .. partition)
  local contribution = { epoch = 0, n = 0, gifts = 0, coins = 0, diamonds = 0, fences = row[2] }
  if row[1] then
    -- [generated] read contribution from row[1]
    local epoch, n, gifts, coins, diamonds = row[1]:match('^(%d+)%-(%d+) (%d+) (%d+) (%d+)$')
    -- [/generated]
    contribution.epoch, contribution.n = tonumber(epoch), tonumber(n)
    contribution.gifts, contribution.coins, contribution.diamonds = tonumber(gifts), tonumber(coins), tonumber(diamonds)
  end
  return contribution
end

local function save_contribution(root, partition, contribution)
  local epoch, n = int(contribution.epoch), int(contribution.n)
  local gifts, coins, diamonds = int(contribution.gifts), int(contribution.coins), int(contribution.diamonds)
  -- [generated] write contribution to text
  local text = epoch .. '-' .. n .. ' ' .. gifts .. ' ' .. coins .. ' ' .. diamonds
  -- [/generated]
  redis.call('HSET', root .. ':watermarks', partition, text)
end

-- Whether the room lacks the entry and the entry is on the branch that counts (domain/recovery.py: superseded).
local function is_due(contribution, epoch, n)
  if epoch < contribution.epoch or (epoch == contribution.epoch and n <= contribution.n) then return false end
  if contribution.fences then
    for fence_epoch, base in contribution.fences:gmatch('(%d+)-(%d+)') do
      if tonumber(fence_epoch) > epoch and n > tonumber(base) then return false end
    end
  end
  return true
end

-- Whether a relay that has begun in this incarnation of a partition is no longer accepted.
local function is_late(partition, epoch, generation)
  local floor = floors[partition]
  if not floor then return false end
  return epoch < floor.epoch or (epoch == floor.epoch and generation < floor.generation)
end
