-- The gate of this node's rooms. These functions take no key.

-- [generated] function rooms_gate
-- Return the token of this node's gate, '' while it is closed.
local function rooms_gate_2()
  -- [/generated]
  return gate or ''
end

-- [generated] function rooms_close
-- Publish nothing until the gate is opened again. Returns ''.
local function rooms_close_2()
  -- [/generated]
  gate, claim = nil, nil
  return ''
end

-- [generated] function rooms_claim
-- Claim a closed gate. Returns '', or the token of an open gate.
--
-- The last claim since this process has started allows opening the gate.
local function rooms_claim_2(_, argv)
  local token = argv[1]
  -- [/generated]
  if not gate then claim, seen = token, {} end
  return gate or ''
end

-- [generated] function rooms_open
-- Open the gate for relays that have begun in these incarnations of partitions or later ones.
--
-- Returns the gate's token. Fails with UNCLAIMED unless the gate was claimed with this token.
local function rooms_open_2(_, argv)
  local token = argv[1]
  -- [/generated]
  if gate then return gate end
  if claim ~= token then return redis.error_reply(UNCLAIMED) end
  gate, claim, changed = token, nil, {}
  -- [generated] each rooms_open.floors
  for at = 2, #argv, 3 do
    local partition = argv[at]
    local epoch = tonumber(argv[at + 1])
    local generation = tonumber(argv[at + 2])
    -- [/generated]
    if not is_late(partition, epoch, generation) then
      floors[partition] = { epoch = epoch, generation = generation }
    end
  end
  return gate
end

-- [generated] registrations
redis.register_function { function_name = 'rooms_gate_2', callback = rooms_gate_2, flags = { 'no-writes' } }
redis.register_function { function_name = 'rooms_close_2', callback = rooms_close_2, flags = { 'no-writes' } }
redis.register_function { function_name = 'rooms_claim_2', callback = rooms_claim_2, flags = { 'no-writes' } }
redis.register_function { function_name = 'rooms_open_2', callback = rooms_open_2, flags = { 'no-writes' } }
-- [/generated]
