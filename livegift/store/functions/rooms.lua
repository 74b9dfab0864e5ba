-- Rooms: totals, ranks, log and numbering. KEYS[1] is a room's root '{room:ID}'; all other keys are the root plus a
-- suffix. Publishing twice changes nothing: each partition's watermark says what the room has already.
--
-- Hash ':watermarks': partition -> '<epoch>-<n> <gifts> <coins> <diamonds>', the last entry and what came from that partition
-- in all, so that one partition's share can be put right; 'f' .. partition -> its fences, '<epoch>-<base>,…' (decision 007).
-- Hash ':gifters': user -> '<gifts> <coins> <reached ms>', gifts that count and coins that were not given anonymously, and when the
-- last gift of those was sent. Zset ':board': the same users by coins, the member being that time counted down and the user, so
-- that equals are ranked by who got there first (decision 019). The ledger knows all of it, so it can be put back.

-- Memory of this very process. No gate: it may have lost something, and publishes nothing before the aggregator has compared
-- its rooms with the ledger and opened the gate with a token above all before. A room takes the token as its epoch at its
-- first change, so that whoever knows numbers of an earlier life learns that they are worth nothing. When the gate was opened
-- the relays were set back; what one has read before (in an earlier life of the partition: its epoch, and the generation of the
-- relay's cursor) would leave a hole, so it is refused.
local gate, claim, floors = nil, nil, {}
local changed = {}
-- Rooms whose state was there since the gate was claimed, and so was compared or is newer. One that is not there any more has
-- lost it (somebody has emptied this Redis): what came into it now would leave a hole below it that nobody sees.
local seen = {}
local CLOSED = 'ERR the rooms of this node are being compared with the ledger'
local STALE = 'ERR this was read before the relays were set back'
local UNCLAIMED = 'UNCLAIMED the gate was claimed by somebody else, or the rooms have started anew since: begin again'
local GONE = 'ERR the room has lost its state: livegift restore puts it right'
local FENCES_MAX = 4

local function int(n) return string.format('%d', n) end

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function load_state(root)
  local row = redis.call('HMGET', root .. ':state', 'epoch', 'seq', 'gifts', 'coins', 'diamonds', 'ttl_s')
  local epoch = row[1] or '0'
  if row[1] then seen[root] = true end
  if gate and not changed[root] then
    -- One more for a room that is there: should it vanish, then that is told by its epoch too.
    epoch = row[1] and int(math.max(tonumber(gate), tonumber(epoch)) + 1) or gate
  end
  return {
    epoch = epoch, seq = tonumber(row[2] or '0'), gifts = tonumber(row[3] or '0'), coins = tonumber(row[4] or '0'),
    diamonds = tonumber(row[5] or '0'), ttl_s = row[6], is_gone = seen[root] and not row[1],
  }
end

-- Gifters are those who have given under their name. If anonymous ones were counted, the next sum would reveal whether it was
-- somebody new, and a new name that does not change the sum would reveal who it was.
local function totals_json(root, state)
  return '{"gifts":' .. int(state.gifts) .. ',"coins":' .. int(state.coins) .. ',"diamonds":' .. int(state.diamonds)
    .. ',"gifters":' .. int(redis.call('ZCOUNT', root .. ':board', '(0', '+inf')) .. '}'
end

-- A user's rank among those with the same coins: equal scores of a zset are in the order of their members.
local TIME_DIGITS, TIME_MAX = 15, 999999999999999  -- below 2^53

local function board_member(user, reached_ms)
  return string.format('%015d', TIME_MAX - reached_ms) .. user
end

-- The first `count` gifters. Those with nothing but anonymous gifts stand at 0 and are not shown.
local function top_json(root, count)
  local ranks = redis.call('ZRANGE', root .. ':board', 0, count - 1, 'REV', 'WITHSCORES')
  if #ranks == 0 then return '[]' end
  local users = {}
  for i = 1, #ranks, 2 do users[#users + 1] = ranks[i]:sub(TIME_DIGITS + 1) end
  local names = redis.call('HMGET', root .. ':names', unpack(users))
  local rows = {}
  for i = 1, #users do
    local coins = tonumber(ranks[2 * i])
    if coins > 0 and names[i] then
      rows[#rows + 1] = '{"user":' .. names[i] .. ',"coins":' .. int(coins) .. ',"rank":' .. i .. '}'
    end
  end
  return '[' .. table.concat(rows, ',') .. ']'
end

-- A gifter's row: gifts, coins, reached ms.
local function parse_gifter(row)
  if not row then return 0, 0, 0 end
  local gifts, coins, reached = row:match('^(%d+) (%d+) (%d+)$')
  return tonumber(gifts), tonumber(coins), tonumber(reached)
end

-- Adds to gifters: `more` is user -> { gifts, coins, reached_ms }. Without a gift that counts one is not a gifter.
local function add_to_gifters(root, more)
  local users = {}
  for user in pairs(more) do users[#users + 1] = user end
  if #users == 0 then return end
  local known = redis.call('HMGET', root .. ':gifters', unpack(users))
  local old, board, rows, gone = {}, {}, {}, {}
  for i, user in ipairs(users) do
    local gifts, coins, reached = parse_gifter(known[i])
    local before = known[i] and board_member(user, reached)
    local add = more[user]
    gifts, coins, reached = gifts + add.gifts, coins + add.coins, math.max(reached, add.reached_ms)
    if gifts > 0 then
      local member = board_member(user, reached)
      if before and before ~= member then old[#old + 1] = before end
      board[#board + 1] = int(coins)
      board[#board + 1] = member
      rows[#rows + 1] = user
      rows[#rows + 1] = int(gifts) .. ' ' .. int(coins) .. ' ' .. int(reached)
    elseif before then
      old[#old + 1] = before
      gone[#gone + 1] = user
    end
  end
  if #old > 0 then redis.call('ZREM', root .. ':board', unpack(old)) end
  if #board > 0 then
    redis.call('ZADD', root .. ':board', unpack(board))
    redis.call('HSET', root .. ':gifters', unpack(rows))
  end
  if #gone > 0 then
    redis.call('HDEL', root .. ':gifters', unpack(gone))
    redis.call('HDEL', root .. ':names', unpack(gone))
  end
end

-- Sets a gifter's row to what it should be; without gifts it is removed.
local function set_gifter(root, user, gifts, coins, reached_ms)
  local known = redis.call('HGET', root .. ':gifters', user)
  if known then
    local _, _, before_ms = parse_gifter(known)
    redis.call('ZREM', root .. ':board', board_member(user, before_ms))
  end
  if gifts then
    redis.call('ZADD', root .. ':board', int(coins), board_member(user, reached_ms))
    redis.call('HSET', root .. ':gifters', user, int(gifts) .. ' ' .. int(coins) .. ' ' .. int(reached_ms))
  elseif known then
    redis.call('HDEL', root .. ':gifters', user)
    redis.call('HDEL', root .. ':names', user)
  end
end

-- The one writer of `gift.revoked`, whoever revoked: without the opening brace.
local function revoked_body(gift_id, ts_ms, combo_id, count, coins, diamonds)
  return '"type":"gift.revoked","id":"' .. gift_id .. '-revoked","ts_ms":' .. ts_ms .. ',"gift_event_id":"' .. gift_id
    .. '","combo_id":"' .. combo_id .. '","count":' .. count .. ',"coins":' .. coins .. ',"diamonds":' .. diamonds .. '}'
end

-- The last event of an open streak without `count` of its gifts, or nil when there is none left.
local function shortened(event, count)
  local head, repeated, rest = event:match('^(.-"repeat_count":)(%d+)(.*)$')
  local left = tonumber(repeated or '0') - count
  if left > 0 then return head .. int(left) .. rest end
end

-- Numbers one event and writes it to the log. `body` is its JSON without the opening brace. `place`, where it comes from a
-- journal, is its entry's '<partition>-<epoch>-<n>', which the event does not tell.
local function number(root, state, log_max, body, place)
  state.seq = state.seq + 1
  local event = '{"seq":' .. int(state.seq) .. ',' .. body
  redis.call('XADD', root .. ':log', 'MAXLEN', '~', log_max, state.epoch .. '-' .. int(state.seq), 'e', event, 'p', place or '')
  return event
end

local SUFFIXES = { 'state', 'watermarks', 'gifters', 'board', 'names', 'combos', 'log', 'announced', 'viewers', 'matches' }

-- A room that has ended goes some day, with what is still published to it after its end.
local function expire(root, ttl_s)
  for _, suffix in ipairs(SUFFIXES) do redis.call('EXPIRE', root .. ':' .. suffix, ttl_s) end
end

local function save_and_publish(root, state, first_seq, top, events)
  changed[root], seen[root] = true, true
  redis.call('HSET', root .. ':state', 'epoch', state.epoch, 'seq', int(state.seq), 'gifts', int(state.gifts), 'coins',
    int(state.coins), 'diamonds', int(state.diamonds))
  local header = '{"epoch":' .. state.epoch .. ',"first_seq":' .. int(first_seq) .. ',"seq":' .. int(state.seq)
    .. ',"totals":' .. totals_json(root, state) .. ',"top":' .. top_json(root, top) .. '}'
  if state.ttl_s then expire(root, state.ttl_s) end
  redis.call('SPUBLISH', root .. ':events', header .. '\n' .. table.concat(events, '\n'))
end

-- A partition's share: { epoch, n, gifts, coins, diamonds, fences }.
local function load_share(root, partition)
  local row = redis.call('HMGET', root .. ':watermarks', partition, 'f' .. partition)
  local share = { epoch = 0, n = 0, gifts = 0, coins = 0, diamonds = 0, fences = row[2] }
  if row[1] then
    local epoch, n, gifts, coins, diamonds = row[1]:match('^(%d+)-(%d+) (%d+) (%d+) (%d+)$')
    share.epoch, share.n = tonumber(epoch), tonumber(n)
    share.gifts, share.coins, share.diamonds = tonumber(gifts), tonumber(coins), tonumber(diamonds)
  end
  return share
end

local function save_share(root, partition, share)
  redis.call('HSET', root .. ':watermarks', partition, int(share.epoch) .. '-' .. int(share.n) .. ' ' .. int(share.gifts)
    .. ' ' .. int(share.coins) .. ' ' .. int(share.diamonds))
end

-- Whether the room does not have the entry yet and it is of the branch that counts (domain/recovery.py: superseded).
local function is_due(share, epoch, n)
  if epoch < share.epoch or (epoch == share.epoch and n <= share.n) then return false end
  if share.fences then
    for fence_epoch, base in share.fences:gmatch('(%d+)-(%d+)') do
      if tonumber(fence_epoch) > epoch and n > tonumber(base) then return false end
    end
  end
  return true
end

local PUBLISH_FIELDS = 14
local KINDS = { gift = true, ['end'] = true, revoke = true }
local MALFORMED = 'ERR expected ' .. PUBLISH_FIELDS .. ' fields per entry, as this version has them: stop the relays of earlier ones'

-- Whether a relay that has begun in this life of a partition may publish.
local function is_late(partition, epoch, generation)
  local floor = floors[partition]
  if not floor then return false end
  return epoch < floor.epoch or (epoch == floor.epoch and generation < floor.generation)
end

-- A gift of a partition that the room no longer counts. `at`: what open streaks and gifters become by the call.
local function take_back(root, at, item)
  local gift_id, combo_id, count = item.body:match('^(%S+) (%S+) (%d+)$')
  at.add_to(item.user, -1, item.anonymous and 0 or -item.coins, 0)
  local open = at.combos[item.combo]
  if not open and not at.ended[item.combo] then open = redis.call('HGET', root .. ':combos', item.combo) end
  if open then
    at.combos[item.combo] = shortened(open, tonumber(count))
    at.ended[item.combo] = not at.combos[item.combo] or nil
  end
  return revoked_body(gift_id, item.ts_ms, combo_id, count, int(item.coins), int(item.diamonds))
end

-- ARGV: log limit, top size, then PUBLISH_FIELDS per entry: partition, epoch, n, kind (gift, end, revoke), coins, diamonds, user,
-- anonymous, user json, combo id ('' for a gift without a streak), body, ts_ms, epoch and generation in which its relay has
-- begun. Entries of a partition come in their order. What is revoked has as body the ids of the gift's
-- event and its streak as clients know them, and its count.
-- Returns the number of entries that were new.
local function room_publish_1(keys, argv)
  if not gate then return redis.error_reply(CLOSED) end
  local root = keys[1]
  local state = load_state(root)
  local is_only_revoked = true
  if (#argv - 2) % PUBLISH_FIELDS ~= 0 then return redis.error_reply(MALFORMED) end
  for i = 3, #argv, PUBLISH_FIELDS do
    if not KINDS[argv[i + 3]] then return redis.error_reply(MALFORMED) end
    is_only_revoked = is_only_revoked and argv[i + 3] == 'revoke'
    if is_late(argv[i], tonumber(argv[i + 12]), tonumber(argv[i + 13])) then return redis.error_reply(STALE) end
  end
  -- A gift may be revoked long after its room has ended and is gone. A room that was lost is repaired from the ledger.
  if state.is_gone then return is_only_revoked and 0 or redis.error_reply(GONE) end
  local first_seq = state.seq + 1
  local shares, touched, events = {}, {}, {}
  local names, gifters = {}, {}
  local at = { combos = {}, ended = {} }
  function at.add_to(user, gifts, coins, reached_ms)
    local row = gifters[user]
    if not row then
      row = { gifts = 0, coins = 0, reached_ms = 0 }
      gifters[user] = row
    end
    row.gifts, row.coins, row.reached_ms = row.gifts + gifts, row.coins + coins, math.max(row.reached_ms, reached_ms)
  end
  for i = 3, #argv, PUBLISH_FIELDS do
    local partition, epoch, n, kind = argv[i], tonumber(argv[i + 1]), tonumber(argv[i + 2]), argv[i + 3]
    local share = shares[partition]
    if not share then
      share = load_share(root, partition)
      shares[partition] = share
    end
    -- A room that has nothing from this partition has nothing to take back.
    if is_due(share, epoch, n) and (kind ~= 'revoke' or share.gifts > 0) then
      share.epoch, share.n = epoch, n
      touched[partition] = true
      local item = {
        coins = tonumber(argv[i + 4]), diamonds = tonumber(argv[i + 5]), user = argv[i + 6], anonymous = argv[i + 7] == '1',
        combo = argv[i + 9], body = argv[i + 10], ts_ms = argv[i + 11],
      }
      local body = item.body
      if kind == 'end' then
        at.combos[item.combo] = nil
        at.ended[item.combo] = true
      else
        local sign = kind == 'gift' and 1 or -1
        state.gifts, state.coins = state.gifts + sign, state.coins + sign * item.coins
        state.diamonds = state.diamonds + sign * item.diamonds
        share.gifts, share.coins = share.gifts + sign, share.coins + sign * item.coins
        share.diamonds = share.diamonds + sign * item.diamonds
        if kind == 'revoke' then
          body = take_back(root, at, item)
        else
          at.add_to(item.user, 1, item.anonymous and 0 or item.coins, item.anonymous and 0 or tonumber(item.ts_ms))
          if not item.anonymous then names[item.user] = argv[i + 8] end
          if item.combo ~= '' then at.combos[item.combo] = '{' .. body; at.ended[item.combo] = nil end
        end
      end
      local place = argv[i] .. '-' .. argv[i + 1] .. '-' .. argv[i + 2]
      events[#events + 1] = number(root, state, argv[1], body, place)
    end
  end
  if #events == 0 then return 0 end
  for partition in pairs(touched) do save_share(root, partition, shares[partition]) end
  for user, json in pairs(names) do redis.call('HSET', root .. ':names', user, json) end
  add_to_gifters(root, gifters)
  for combo, body in pairs(at.combos) do redis.call('HSET', root .. ':combos', combo, body) end
  for combo in pairs(at.ended) do redis.call('HDEL', root .. ':combos', combo) end
  save_and_publish(root, state, first_seq, tonumber(argv[2]), events)
  return #events
end

-- ARGV: partition, epoch, base per partition that is about to be armed. Returns partition, share ('' for none), … for all.
local function room_fence_1(keys, argv)
  local root, reply = keys[1], {}
  local watermarks = root .. ':watermarks'
  for i = 1, #argv, 3 do
    local field, fences = 'f' .. argv[i], { argv[i + 1] .. '-' .. argv[i + 2] }
    for fence in (redis.call('HGET', watermarks, field) or ''):gmatch('[%d-]+') do
      if #fences < FENCES_MAX and fence ~= fences[1] then fences[#fences + 1] = fence end
    end
    redis.call('HSET', watermarks, field, table.concat(fences, ','))
    reply[#reply + 1] = argv[i]
    reply[#reply + 1] = redis.call('HGET', watermarks, argv[i]) or ''
  end
  local state = load_state(root)
  if state.ttl_s then expire(root, state.ttl_s) end
  return reply
end

-- Events for the published gifts of a partition's epoch above `base`, newest first, as far as the log reaches back.
local function revocations(root, partition, epoch, base)
  local found, from, now = {}, '+', int(now_ms())
  local gift = '^{"seq":%d+,"type":"gift","id":"([^"]+)","ts_ms":%d+,"count":(%d+),"combo_id":"([^"]+)"'
    .. ',"repeat_count":%d+,"repeat_end":%l+,"coins":(%d+),"diamonds":(%d+)'
  local place = '^' .. partition .. '%-' .. int(epoch) .. '%-(%d+)$'
  while true do
    local rows = redis.call('XREVRANGE', root .. ':log', from, '-', 'COUNT', 100)
    for _, row in ipairs(rows) do
      local n = (row[2][4] or ''):match(place)
      local id, count, combo, coins, diamonds = row[2][2]:match(gift)
      if n and id and tonumber(n) > base and count ~= '0' then
        found[#found + 1] = revoked_body(id, now, combo, count, coins, diamonds)
      end
    end
    if #rows < 100 then return found end
    from = '(' .. rows[#rows][1]
  end
end

-- Puts one partition's share right, to what the ledger says. ARGV: log limit, top size, partition, its share as the caller has
-- read it ('' for none), epoch, n, gifts, coins, diamonds, the n above which it has published what does not count ('' when it
-- has not), '1' when the room itself lost something (what it numbered since then is worth nothing), count of users to forget,
-- those users, then user, gifts, coins, reached ms, user json per gifter of that partition.
-- Returns how many gifts were revoked, or -1 when the share has changed since it was read.
local function room_correct_1(keys, argv)
  local root, partition = keys[1], argv[3]
  if (redis.call('HGET', root .. ':watermarks', partition) or '') ~= argv[4] then return -1 end
  local state, share = load_state(root), load_share(root, partition)
  local first_seq, events = state.seq + 1, {}
  local surplus = share.gifts - tonumber(argv[7])
  if argv[10] ~= '' then
    local found = revocations(root, partition, share.epoch, tonumber(argv[10]))
    for i = #found, 1, -1 do events[#events + 1] = number(root, state, argv[1], found[i]) end
  end
  for i, name in ipairs({ 'gifts', 'coins', 'diamonds' }) do
    local right = tonumber(argv[6 + i])
    state[name], share[name] = state[name] - share[name] + right, right
  end
  share.epoch, share.n = tonumber(argv[5]), tonumber(argv[6])
  save_share(root, partition, share)
  local forgotten = tonumber(argv[12])
  for i = 13, 12 + forgotten do set_gifter(root, argv[i]) end
  for i = 13 + forgotten, #argv, 5 do
    set_gifter(root, argv[i], tonumber(argv[i + 1]), tonumber(argv[i + 2]), tonumber(argv[i + 3]))
    if argv[i + 2] ~= '0' then redis.call('HSETNX', root .. ':names', argv[i], argv[i + 4]) end
  end
  for _, combo in ipairs(redis.call('HKEYS', root .. ':combos')) do
    if combo:match('^(%d+)%-') == partition then redis.call('HDEL', root .. ':combos', combo) end
  end
  -- Where the events do not tell all of it (a revocation was lost), everybody has to begin with a new snapshot.
  if argv[11] == '1' or #events ~= surplus then state.epoch = int(tonumber(state.epoch) + 1) end
  save_and_publish(root, state, first_seq, tonumber(argv[2]), events)
  return #events
end

-- All shares: partition, share, … (not the fences).
local function room_shares_1(keys)
  load_state(keys[1])
  local rows, reply = redis.call('HGETALL', keys[1] .. ':watermarks'), {}
  for i = 1, #rows, 2 do
    if rows[i]:sub(1, 1) ~= 'f' then
      reply[#reply + 1] = rows[i]
      reply[#reply + 1] = rows[i + 1]
    end
  end
  return reply
end

-- On no key. The token of this node's gate, '' while it is closed.
local function rooms_gate_1() return gate or '' end

-- On no key. Nothing is published until the gate is opened again.
local function rooms_close_1()
  gate, claim = nil, nil
  return ''
end

-- On no key. ARGV: token. Whoever claims a closed gate last, of this very process, may open it. Returns '' or the open gate's token.
local function rooms_claim_1(_, argv)
  if not gate then claim, seen = argv[1], {} end
  return gate or ''
end

-- On no key. ARGV: token of the claim, then partition, epoch and generation from which on its relays are heard. Returns the token.
local function rooms_open_1(_, argv)
  if gate then return gate end
  if claim ~= argv[1] then return redis.error_reply(UNCLAIMED) end
  gate, claim, changed = argv[1], nil, {}
  for i = 2, #argv, 3 do
    local epoch, generation = tonumber(argv[i + 1]), tonumber(argv[i + 2])
    if not is_late(argv[i], epoch, generation) then
      floors[argv[i]] = { epoch = epoch, generation = generation }
    end
  end
  return gate
end

-- An event that comes from no wallet (a room was opened or ended). ARGV: log limit, top size, body, key that makes it
-- happen once, TTL in s for all keys of a room that has ended (0: none).
local function room_announce_1(keys, argv)
  if not gate then return redis.error_reply(CLOSED) end
  local root = keys[1]
  local state = load_state(root)
  if state.is_gone then return redis.error_reply(GONE) end
  if redis.call('HSETNX', root .. ':announced', argv[4], '1') == 0 then return 0 end
  local first_seq = state.seq + 1
  local event = number(root, state, argv[1], argv[3])
  if argv[5] ~= '0' then
    redis.call('HSET', root .. ':state', 'ttl_s', argv[5])
    state.ttl_s = argv[5]
  end
  save_and_publish(root, state, first_seq, tonumber(argv[2]), { event })
  return 1
end

-- Of hash ':matches', see matches.lua.
local function parse_match(text)
  local used, rank, at, json = text:match('^(%d+) (%d) (%d+) (.*)$')
  return tonumber(used), tonumber(rank), tonumber(at), json
end

-- The active matches, by id. A room that has ended has none.
local function matches_json(root, state)
  local found = {}
  if not state.ttl_s then
    local rows = redis.call('HGETALL', root .. ':matches')
    for i = 1, #rows, 2 do
      local _, rank, _, json = parse_match(rows[i + 1])
      if rank == 0 then found[#found + 1] = { id = rows[i], json = json } end
    end
    table.sort(found, function(a, b) return a.id < b.id end)
    for i = 1, #found do found[i] = found[i].json end
  end
  return '[' .. table.concat(found, ',') .. ']'
end

-- The room as it is now. ARGV: top size, `since` ('' for none), its epoch ('' for this one), events at most.
-- Returns: header json, whether the events are all since then ('1'/'0'), events…
local function room_snapshot_1(keys, argv)
  if not gate then return redis.error_reply(CLOSED) end  -- its numbers may have been used for other events before
  local root = keys[1]
  local state = load_state(root)
  if state.is_gone then return redis.error_reply(GONE) end
  local combos = redis.call('HVALS', root .. ':combos')
  local header = '{"epoch":' .. state.epoch .. ',"seq":' .. int(state.seq) .. ',"totals":' .. totals_json(root, state)
    .. ',"top":' .. top_json(root, tonumber(argv[1])) .. ',"combos":[' .. table.concat(combos, ',') .. '],"matches":' .. matches_json(root, state)
    .. '}'
  local since = tonumber(argv[2])
  if not since then return { header, '1' } end
  if argv[3] ~= '' and argv[3] ~= state.epoch then return { header, '0' } end
  if since >= state.seq then return { header, since == state.seq and '1' or '0' } end
  local rows = redis.call('XRANGE', root .. ':log', state.epoch .. '-' .. int(since + 1), '+', 'COUNT', argv[4])
  local complete = #rows > 0 and rows[1][1] == state.epoch .. '-' .. int(since + 1) and #rows == state.seq - since
  local reply = { header, complete and '1' or '0' }
  if complete then
    for _, row in ipairs(rows) do reply[#reply + 1] = row[2][2] end
  end
  return reply
end

-- Totals and watermarks of one moment, for the audit: gifts, coins, diamonds, then partition, position, …
local function room_totals_1(keys)
  local row = redis.call('HMGET', keys[1] .. ':state', 'gifts', 'coins', 'diamonds')
  local reply = { row[1] or '0', row[2] or '0', row[3] or '0' }
  for i, value in ipairs(room_shares_1(keys)) do
    reply[#reply + 1] = i % 2 == 0 and value:match('^[%d-]+') or value
  end
  return reply
end

-- The epoch and last seq.
local function room_head_1(keys)
  if not gate then return redis.error_reply(CLOSED) end
  local state = load_state(keys[1])
  if state.is_gone then return redis.error_reply(GONE) end
  return { state.epoch, int(state.seq) }
end

-- Presence: each web process tells its count of viewers and gets the sum. ARGV: process, count, TTL in ms.
local function room_pulse_1(keys, argv)
  local key, now = keys[1] .. ':viewers', now_ms()
  if argv[2] == '0' then
    redis.call('HDEL', key, argv[1])
  else
    redis.call('HSET', key, argv[1], argv[2] .. '|' .. int(now))
    redis.call('PEXPIRE', key, argv[3])
  end
  local sum = 0
  local rows = redis.call('HGETALL', key)
  for i = 1, #rows, 2 do
    local count, at = rows[i + 1]:match('^(%d+)|(%d+)$')
    if now - tonumber(at) > tonumber(argv[3]) then
      redis.call('HDEL', key, rows[i])
    else
      sum = sum + tonumber(count)
    end
  end
  return sum
end

redis.register_function { function_name = 'room_head_1', callback = room_head_1, flags = { 'no-writes' } }
redis.register_function { function_name = 'room_totals_1', callback = room_totals_1, flags = { 'no-writes' } }
redis.register_function { function_name = 'room_shares_1', callback = room_shares_1, flags = { 'no-writes' } }
redis.register_function { function_name = 'room_snapshot_1', callback = room_snapshot_1, flags = { 'no-writes' } }
redis.register_function { function_name = 'rooms_gate_1', callback = rooms_gate_1, flags = { 'no-writes' } }
redis.register_function { function_name = 'rooms_claim_1', callback = rooms_claim_1, flags = { 'no-writes' } }
redis.register_function { function_name = 'rooms_open_1', callback = rooms_open_1, flags = { 'no-writes' } }
redis.register_function { function_name = 'rooms_close_1', callback = rooms_close_1, flags = { 'no-writes' } }
-- What drains works when memory is full.
redis.register_function { function_name = 'room_publish_1', callback = room_publish_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'room_announce_1', callback = room_announce_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'room_fence_1', callback = room_fence_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'room_correct_1', callback = room_correct_1, flags = { 'allow-oom' } }
redis.register_function { function_name = 'room_pulse_1', callback = room_pulse_1, flags = { 'allow-oom' } }
