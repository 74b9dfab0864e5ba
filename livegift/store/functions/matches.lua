-- Sponsor matches as rooms show them. The second half of the library of rooms.lua, whose locals it uses.

local MATCH_KEPT_MS = 3600000

-- A sponsor match as the ledger has it. ARGV: log limit, top size, the match's id, used coins, rank of its status (0 while it
-- is active), body of its event, its JSON, and after how many ms what is there and differs is no news that came first but wrong.
-- Hash ':matches': id -> '<used> <rank> <at ms> <json>'. One that is over stays for a while, so that late news do not bring it
-- back. Returns 1 when it was new to the room.
local function room_match_1(keys, argv)
  if not gate then return redis.error_reply(CLOSED) end
  local root, now = keys[1], now_ms()
  local state = load_state(root)
  if state.is_gone then return redis.error_reply(GONE) end
  local key, used, rank = root .. ':matches', tonumber(argv[4]), tonumber(argv[5])
  local known = redis.call('HGET', key, argv[3])
  if known then
    local known_used, known_rank, at = parse_match(known)
    if used == known_used and rank == known_rank then return 0 end
    local is_older = used < known_used or (used == known_used and rank < known_rank)
    if is_older and now - at < tonumber(argv[8]) then return 0 end
  end
  redis.call('HSET', key, argv[3], argv[4] .. ' ' .. argv[5] .. ' ' .. int(now) .. ' ' .. argv[7])
  if rank > 0 then
    local rows = redis.call('HGETALL', key)
    for i = 1, #rows, 2 do
      local _, row_rank, at = parse_match(rows[i + 1])
      if row_rank > 0 and now - at > MATCH_KEPT_MS then redis.call('HDEL', key, rows[i]) end
    end
  end
  local first_seq = state.seq + 1
  local event = number(root, state, argv[1], argv[6])
  save_and_publish(root, state, first_seq, tonumber(argv[2]), { event })
  return 1
end

-- What drains works when memory is full.
redis.register_function { function_name = 'room_match_1', callback = room_match_1, flags = { 'allow-oom' } }
