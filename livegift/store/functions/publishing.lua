-- Publishing to a room: journal entries, and events that come from no wallet.

local function save_and_publish(root, state, first_seq, top_size, events)
  changed[root], seen[root] = true, true
  redis.call('HSET', root .. ':state', 'epoch', state.epoch, 'seq', int(state.seq), 'gifts', int(state.gifts), 'coins',
    int(state.coins), 'diamonds', int(state.diamonds))
  local header = '{"epoch":' .. state.epoch .. ',"first_seq":' .. int(first_seq) .. ',"seq":' .. int(state.seq)
    .. ',"totals":' .. totals_json(root, state) .. ',"top":' .. top_json(root, top_size) .. '}'
  if state.ttl_s then expire(root, state.ttl_s) end
  redis.call('SPUBLISH', root .. ':events', header .. '\n' .. table.concat(events, '\n'))
end

-- Returns the last event of an open streak without `count` of its gifts, or nil when none is left.
local function shortened(event, count)
  local head, repeated, rest = event:match('^(.-"repeat_count":)(%d+)(.*)$')
  local left = tonumber(repeated or '0') - count
  if left > 0 then return head .. int(left) .. rest end
end

-- The changes that a call makes to a room, beside its state: written once, at the end.
local function no_changes()
  return { contributions = {}, touched = {}, names = {}, gifters = {}, combos = {}, ended = {} }
end

local function save_changes(root, changes)
  for partition in pairs(changes.touched) do save_contribution(root, partition, changes.contributions[partition]) end
  for user, json in pairs(changes.names) do redis.call('HSET', root .. ':names', user, json) end
  add_to_gifters(root, changes.gifters)
  for combo_id, event in pairs(changes.combos) do redis.call('HSET', root .. ':combos', combo_id, event) end
  for combo_id in pairs(changes.ended) do redis.call('HDEL', root .. ':combos', combo_id) end
end

local function add_to_gifter(changes, user, gifts, coins, reached_ms)
  local row = changes.gifters[user]
  if not row then
    row = { gifts = 0, coins = 0, reached_ms = 0 }
    changes.gifters[user] = row
  end
  row.gifts, row.coins, row.reached_ms = row.gifts + gifts, row.coins + coins, math.max(row.reached_ms, reached_ms)
end

local function contribution_of(root, changes, partition)
  local contribution = changes.contributions[partition]
  if not contribution then
    contribution = load_contribution(root, partition)
    changes.contributions[partition] = contribution
  end
  return contribution
end

-- Takes a revoked gift out of its streak. Returns the body of the event that says so.
local function take_back(root, changes, revoked_gift, combo_id, ts_ms, coins, diamonds)
  -- [generated] read revoked_gift from revoked_gift: event_id, combo_id as public_combo_id, count
  local event_id, public_combo_id, count = revoked_gift:match('^(.-) (.-) (%d+)$')
  -- [/generated]
  local open = changes.combos[combo_id]
  if not open and not changes.ended[combo_id] then open = redis.call('HGET', root .. ':combos', combo_id) end
  if open then
    changes.combos[combo_id] = shortened(open, tonumber(count))
    changes.ended[combo_id] = not changes.combos[combo_id] or nil
  end
  return revoked_body(event_id, ts_ms, public_combo_id, count, int(coins), int(diamonds))
end

local KINDS = { gift = true, ['end'] = true, revoke = true }
local MALFORMED = 'ERR expected 14 fields per entry, as this version has them: stop the relays of earlier ones'

-- [generated] function room_publish
-- Publish journal entries, those of a partition in order; entries that the room has already are skipped.
--
-- Returns how many were new. Fails when one was read before the relays were set back, or has other fields than those
-- of this version.
local function room_publish_2(keys, argv)
  local root = keys[1]
  local log_max = argv[1]
  local top_size = tonumber(argv[2])
  -- [/generated]
  if not gate then return redis.error_reply(CLOSED) end
  local state = load_state(root)
  local is_only_revoked = true
  -- [generated] count room_publish.publications
  local publications_count = (#argv - 2) / 14
  -- [/generated]
  if publications_count % 1 ~= 0 then return redis.error_reply(MALFORMED) end
  -- [generated] each room_publish.publications: partition, kind, relay_epoch, relay_generation
  for at = 3, #argv, 14 do
    local partition = argv[at]
    local kind = argv[at + 3]
    local relay_epoch = tonumber(argv[at + 12])
    local relay_generation = tonumber(argv[at + 13])
    -- [/generated]
    if not KINDS[kind] then return redis.error_reply(MALFORMED) end
    is_only_revoked = is_only_revoked and kind == 'revoke'
    if is_late(partition, relay_epoch, relay_generation) then return redis.error_reply(STALE) end
  end
  -- A gift may be revoked long after its ended room has expired. A room that was lost is repaired from the ledger.
  if state.is_gone then return is_only_revoked and 0 or redis.error_reply(GONE) end
  local first_seq = state.seq + 1
  local changes, events = no_changes(), {}
  -- [generated] each room_publish.publications: partition, epoch, n, kind, coins, diamonds, user, anonymous, user_json,
  --   combo_id, body, ts_ms
  for at = 3, #argv, 14 do
    local partition = argv[at]
    local epoch = argv[at + 1]
    local n = argv[at + 2]
    local kind = argv[at + 3]
    local coins = tonumber(argv[at + 4])
    local diamonds = tonumber(argv[at + 5])
    local user = argv[at + 6]
    local anonymous = argv[at + 7] == '1'
    local user_json = argv[at + 8]
    local combo_id = argv[at + 9]
    local body = argv[at + 10]
    local ts_ms = argv[at + 11]
    -- [/generated]
    local contribution, epoch_number, n_number = contribution_of(root, changes, partition), tonumber(epoch), tonumber(n)
    -- A room that has nothing from this partition has nothing to revoke.
    if is_due(contribution, epoch_number, n_number) and (kind ~= 'revoke' or contribution.gifts > 0) then
      contribution.epoch, contribution.n = epoch_number, n_number
      changes.touched[partition] = true
      if kind == 'end' then
        changes.combos[combo_id] = nil
        changes.ended[combo_id] = true
      else
        local sign = kind == 'gift' and 1 or -1
        state.gifts, state.coins = state.gifts + sign, state.coins + sign * coins
        state.diamonds = state.diamonds + sign * diamonds
        contribution.gifts, contribution.coins = contribution.gifts + sign, contribution.coins + sign * coins
        contribution.diamonds = contribution.diamonds + sign * diamonds
        if kind == 'revoke' then
          add_to_gifter(changes, user, -1, anonymous and 0 or -coins, 0)
          body = take_back(root, changes, body, combo_id, ts_ms, coins, diamonds)
        else
          add_to_gifter(changes, user, 1, anonymous and 0 or coins, anonymous and 0 or tonumber(ts_ms))
          if not anonymous then changes.names[user] = user_json end
          if combo_id ~= '' then
            changes.combos[combo_id] = '{' .. body
            changes.ended[combo_id] = nil
          end
        end
      end
      events[#events + 1] = number(root, state, log_max, body, partition .. '-' .. epoch .. '-' .. n)
    end
  end
  if #events == 0 then return 0 end
  save_changes(root, changes)
  save_and_publish(root, state, first_seq, top_size, events)
  return #events
end

-- [generated] function room_announce
-- Publish an event that comes from no wallet, once per key `once`. Returns 1, or 0 when it was published before.
--
-- `expire_after_s` is the time after which the keys of a room that has ended expire; 0 while it is open.
local function room_announce_2(keys, argv)
  local root = keys[1]
  local log_max = argv[1]
  local top_size = tonumber(argv[2])
  local body = argv[3]
  local once = argv[4]
  local expire_after_s = argv[5]
  -- [/generated]
  if not gate then return redis.error_reply(CLOSED) end
  local state = load_state(root)
  if state.is_gone then return redis.error_reply(GONE) end
  if redis.call('HSETNX', root .. ':announced', once, '1') == 0 then return 0 end
  local first_seq = state.seq + 1
  local event = number(root, state, log_max, body)
  if expire_after_s ~= '0' then
    redis.call('HSET', root .. ':state', 'ttl_s', expire_after_s)
    state.ttl_s = expire_after_s
  end
  save_and_publish(root, state, first_seq, top_size, { event })
  return 1
end

-- [generated] registrations
redis.register_function { function_name = 'room_publish_2', callback = room_publish_2, flags = { 'allow-oom' } }
redis.register_function { function_name = 'room_announce_2', callback = room_announce_2, flags = { 'allow-oom' } }
-- [/generated]
