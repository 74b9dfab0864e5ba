-- Sponsor matches as rooms show them. Hash ':matches': id -> '<used> <rank> <at ms> <json>'. A match that is over is
-- kept for a while, so that a late message does not bring it back.

local MATCH_KEPT_MS = 3600000

-- [generated] function room_match
-- Show a sponsor match in the state that the ledger has. Returns 1, or 0 when that is not new.
--
-- `status_rank` is 0 while it is active; `event` is JSON without the opening brace. A state that looks older is taken
-- for late and ignored, unless the one that the room has is older than `settled_ms`: then that one was wrong.
local function room_match_1(keys, argv)
  local root = keys[1]
  local log_max = argv[1]
  local top_size = tonumber(argv[2])
  local match_id = argv[3]
  local used_coins = tonumber(argv[4])
  local status_rank = tonumber(argv[5])
  local event = argv[6]
  local shown_json = argv[7]
  local settled_ms = tonumber(argv[8])
  -- [/generated]
  if not gate then return redis.error_reply(CLOSED) end
  local now, state = now_ms(), load_state(root)
  if state.is_gone then return redis.error_reply(GONE) end
  local key = root .. ':matches'
  local known = redis.call('HGET', key, match_id)
  if known then
    local known_coins, known_rank, at_ms = parse_match(known)
    if used_coins == known_coins and status_rank == known_rank then return 0 end
    local is_older = used_coins < known_coins or (used_coins == known_coins and status_rank < known_rank)
    if is_older and now - at_ms < settled_ms then return 0 end
  end
  redis.call('HSET', key, match_id, int(used_coins) .. ' ' .. int(status_rank) .. ' ' .. int(now) .. ' ' .. shown_json)
  if status_rank > 0 then
    local rows = redis.call('HGETALL', key)
    for i = 1, #rows, 2 do
      local _, rank, at_ms = parse_match(rows[i + 1])
      if rank > 0 and now - at_ms > MATCH_KEPT_MS then redis.call('HDEL', key, rows[i]) end
    end
  end
  local first_seq = state.seq + 1
  save_and_publish(root, state, first_seq, top_size, { number(root, state, log_max, event) })
  return 1
end

-- [generated] registrations
redis.register_function { function_name = 'room_match_1', callback = room_match_1, flags = { 'allow-oom' } }
-- [/generated]
