-- What features tell a room's viewers, and what the room keeps of it for its snapshots.
--
-- Zset ':told': the ids of the events that were told last, by their seq: one that comes again is known.
-- Hash ':kept': '<part> <key>' -> record 'kept', the latest value. One that is over stays for a while without being
-- shown, so that older news do not bring it back.

local OVER_KEPT_MS = 3600000
local UNKNOWN = 'UNKNOWN expected a room that was opened'
local ENDED = 'ENDED expected a room that has not ended'
local FULL = 'FULL expected fewer values of this part of the room'

-- Loads the state of a room that can be told something; else nil and the error.
local function load_open(root, when_ended, when_unknown)
  if not gate then return nil, CLOSED end
  local state = load_state(root)
  if state.is_gone then return nil, GONE end
  if state.is_new and not when_unknown then return nil, UNKNOWN end
  if state.ttl_s and not when_ended then return nil, ENDED end
  return state
end

local function parse_kept(row)
  -- [generated] read kept from row
  local version, over, at_ms, body = row:match('^(%d+) (%d+) (%d+) (.-)$')
  -- [/generated]
  return tonumber(version), over == '1', tonumber(at_ms), body
end

-- Makes room for one more value of a part. Returns whether there is any.
local function make_room(key, part, values_max, now)
  local rows, shown, over = redis.call('HGETALL', key), 0, {}
  for i = 1, #rows, 2 do
    if rows[i]:sub(1, #part + 1) == part .. ' ' then
      local _, is_over, at_ms = parse_kept(rows[i + 1])
      if is_over then over[#over + 1] = { field = rows[i], at_ms = at_ms } else shown = shown + 1 end
    end
  end
  table.sort(over, function(a, b) return a.at_ms > b.at_ms end)
  for i, row in ipairs(over) do
    if i >= values_max or now - row.at_ms > OVER_KEPT_MS then redis.call('HDEL', key, row.field) end
  end
  return shown < values_max
end

-- The values that are not over, as a JSON object of the parts; those of a part by their keys. A room that has ended
-- shows none.
local function kept_json(root, state)
  if state.ttl_s then return '{}' end
  local rows, fields, values = redis.call('HGETALL', root .. ':kept'), {}, {}
  for i = 1, #rows, 2 do
    local _, is_over, _, body = parse_kept(rows[i + 1])
    if not is_over then
      fields[#fields + 1] = rows[i]
      values[rows[i]] = '{' .. body
    end
  end
  table.sort(fields)
  local parts, last = {}, nil
  for _, field in ipairs(fields) do
    local part = field:match('^[^ ]+')
    if part == last then
      parts[#parts] = parts[#parts] .. ',' .. values[field]
    else
      parts[#parts + 1] = '"' .. part .. '":[' .. values[field]
      last = part
    end
  end
  if #parts == 0 then return '{}' end
  return '{' .. table.concat(parts, '],') .. ']}'
end

-- [generated] function room_tell
-- Publish a feature's event, once per id. Returns 1, or 0 when it is among the `told_max` that were told last.
--
-- Fails with UNKNOWN when the room was never opened, and with ENDED unless it may be told something `when_ended`.
local function room_tell_2(keys, argv)
  local root = keys[1]
  local log_max = argv[1]
  local top_size = tonumber(argv[2])
  local event_id = argv[3]
  local body = argv[4]
  local told_max = tonumber(argv[5])
  local when_ended = argv[6] == '1'
  -- [/generated]
  local state, problem = load_open(root, when_ended)
  if not state then return redis.error_reply(problem) end
  local key = root .. ':told'
  if redis.call('ZSCORE', key, event_id) then return 0 end
  local first_seq = state.seq + 1
  local event = number(root, state, log_max, body)
  redis.call('ZADD', key, int(state.seq), event_id)
  redis.call('ZREMRANGEBYRANK', key, 0, -1 - told_max)
  save_and_publish(root, state, first_seq, top_size, { event })
  return 1
end

-- [generated] function room_keep
-- Publish a feature's event and keep it as the latest value of its key. Returns 1, or 0 when it was known already.
--
-- `shown` is the value's JSON without the opening brace where it is not the event, else ''. Older versions are
-- ignored; one that still looks older when what the room has is older than `settled_ms` is right. Fails as `room_tell`
-- does, but for UNKNOWN with `when_unknown`, and with FULL when the part has `values_max` other values that are not
-- over.
local function room_keep_2(keys, argv)
  local root = keys[1]
  local log_max = argv[1]
  local top_size = tonumber(argv[2])
  local part = argv[3]
  local value_key = argv[4]
  local version = tonumber(argv[5])
  local is_over = argv[6] == '1'
  local body = argv[7]
  local shown = argv[8]
  local values_max = tonumber(argv[9])
  local settled_ms = tonumber(argv[10])
  local when_ended = argv[11] == '1'
  local when_unknown = argv[12] == '1'
  -- [/generated]
  local state, problem = load_open(root, when_ended, when_unknown)
  if not state then return redis.error_reply(problem) end
  local key, field, now = root .. ':kept', part .. ' ' .. value_key, now_ms()
  local known = redis.call('HGET', key, field)
  if known then
    local known_version, _, known_ms = parse_kept(known)
    if version == known_version or (version < known_version and now - known_ms < settled_ms) then return 0 end
  elseif not make_room(key, part, values_max, now) then
    return redis.error_reply(FULL)
  end
  local over, at_ms, version_text = is_over and '1' or '0', int(now), int(version)
  local kept_body = shown == '' and body or shown
  -- [generated] write kept to row: version_text as version, kept_body as body
  local row = version_text .. ' ' .. over .. ' ' .. at_ms .. ' ' .. kept_body
  -- [/generated]
  redis.call('HSET', key, field, row)
  local first_seq = state.seq + 1
  save_and_publish(root, state, first_seq, top_size, { number(root, state, log_max, body) })
  return 1
end

-- [generated] registrations
redis.register_function { function_name = 'room_tell_2', callback = room_tell_2, flags = {} }
redis.register_function { function_name = 'room_keep_2', callback = room_keep_2, flags = {} }
-- [/generated]
