-- Limits (domain/allowances.py): a viewer's own, a record 'limits' beside the wallet; how much of them is used, a
-- record 'usage' in the wallet; and the operator's, a record 'policy' that the hub sends, '' when nothing is limited or
-- counted. Gifts of a minute are counted only while the policy limits them.

local MINUTE_MS = 60000
local KINDS = { 'per_gift', 'day', 'month' }
local NONE = {}

local function parse_optional(text)
  if text ~= '' then return tonumber(text) end
end

local function parse_limits(text)
  -- [generated] read limits from text
  local version, per_gift, day, month, pending_ms, pending_per_gift, pending_day, pending_month =
    text:match('^(%d+)|(%d*)|(%d*)|(%d*)|(%d+)|(%d*)|(%d*)|(%d*)$')
  -- [/generated]
  if not version then return { version = 0, own = {}, pending_ms = 0, pending = {} } end
  return {
    version = tonumber(version),
    own = { per_gift = parse_optional(per_gift), day = parse_optional(day), month = parse_optional(month) },
    pending_ms = tonumber(pending_ms),
    pending = {
      per_gift = parse_optional(pending_per_gift), day = parse_optional(pending_day),
      month = parse_optional(pending_month),
    },
  }
end

local function in_force(limits, at_ms)
  if limits.pending_ms > 0 and at_ms >= limits.pending_ms then return limits.pending end
  return limits.own
end

-- All viewers of a region have the same policy for a day, so few are parsed. Memory of this process, bounded.
local policies, policies_count = {}, 0
local POLICIES_MAX = 1000

-- Returns nil for no policy, false for a malformed one.
local function parse_policy(text)
  if text == '' then return nil end
  if policies[text] then return policies[text] end
  -- [generated] read policy from text
  local day, per_gift, per_day, per_month, gifts_per_minute = text:match('^(%d+)|(%d*)|(%d*)|(%d*)|(%d*)$')
  -- [/generated]
  if not day then return false end
  local caps = {
    per_gift = parse_optional(per_gift), day = parse_optional(per_day), month = parse_optional(per_month),
  }
  if policies_count >= POLICIES_MAX then policies, policies_count = {}, 0 end
  policies[text], policies_count = {
    day = tonumber(day), per_minute = parse_optional(gifts_per_minute), caps = caps, has_caps = next(caps) ~= nil,
  }, policies_count + 1
  return policies[text]
end

-- Returns the usage as of now.
local function usage_at(partition, wallet, policy)
  local used = { day = 0, day_coins = 0, month_coins = 0, minute = 0, minute_gifts = 0 }
  if wallet.usage ~= '' then
    -- [generated] read usage from wallet.usage: day, day_coins, month_coins, rest
    local day, day_coins, month_coins, rest = wallet.usage:match('^(%d+)|(%d+)|(%d+)(.*)$')
    -- [/generated]
    used.day, used.day_coins, used.month_coins = tonumber(day), tonumber(day_coins), tonumber(month_coins)
    if policy.per_minute then
      local minute, minute_gifts = rest:match('^|(%d+)|(%d+)$')
      used.minute, used.minute_gifts = tonumber(minute), tonumber(minute_gifts)
    end
  end
  if policy.day > used.day then
    if math.floor(policy.day / 100) ~= math.floor(used.day / 100) then used.month_coins = 0 end
    used.day, used.day_coins = policy.day, 0
  end
  if policy.per_minute then
    local this_minute = math.floor(partition.now_ms / MINUTE_MS)
    if used.minute ~= this_minute then used.minute, used.minute_gifts = this_minute, 0 end
  end
  return used
end

-- Returns the lower of two caps, and whose it is.
local function cap(own, operators)
  if not own or (operators and operators < own) then return operators, 'operator' end
  return own, 'own'
end

-- Returns the reply to a gift that is over a limit, or nil. Stores the usage so far in `wallet.used`.
local function over_limit(partition, wallet, policy, coins)
  local usage = usage_at(partition, wallet, policy)
  wallet.used = usage
  wallet.own = wallet.flags == '' and NONE or limits_text_of(partition.root, wallet) == '' and NONE
    or in_force(parse_limits(wallet.own_limits), partition.now_ms)
  if policy.per_minute and usage.minute_gifts >= policy.per_minute then
    return refuse(wallet, 'rate_limited') .. '|' .. int(MINUTE_MS - partition.now_ms % MINUTE_MS)
  end
  if wallet.own == NONE and not policy.has_caps then return nil end
  for i, before in ipairs({ 0, usage.day_coins, usage.month_coins }) do
    local kind = KINDS[i]
    local allowed_coins, whose = cap(wallet.own[kind], policy.caps[kind])
    if allowed_coins and before + coins > allowed_coins then
      local refused = refuse(wallet, 'limit_exceeded')
      -- [generated] format exceeded to reply: allowed_coins as allowed, before as used
      local reply = format('%s|%s|%s|%d|%d', refused, kind, whose, allowed_coins, before)
      -- [/generated]
      return reply
    end
  end
end

local REMIND_AT = { 100, 80, 50 }

-- Counts a gift, and tells all devices of the highest threshold that it has reached.
local function use(partition, wallet, policy, coins)
  local used = wallet.used
  used.day_coins, used.month_coins = used.day_coins + coins, used.month_coins + coins
  if policy.per_minute then used.minute_gifts = used.minute_gifts + 1 end
  -- [generated] format usage to usage: used.*
  local usage = format('%d|%d|%d|%d|%d', used.day, used.day_coins, used.month_coins, used.minute,
    used.minute_gifts)
  -- [/generated]
  wallet.usage = usage
  if wallet.own == NONE and not policy.has_caps then return end
  for kind, after in pairs({ day = used.day_coins, month = used.month_coins }) do
    local allowed = cap(wallet.own[kind], policy.caps[kind])
    if allowed then
      for _, percent in ipairs(REMIND_AT) do
        if (after - coins) * 100 < percent * allowed and percent * allowed <= after * 100 then
          redis.call('SPUBLISH', partition.root .. ':user:' .. wallet.user, '{"type":"limit.reminder","kind":"' .. kind
            .. '","percent":' .. int(percent) .. ',"allowed":' .. int(allowed) .. ',"used":' .. int(after) .. '}')
          break
        end
      end
    end
  end
end

local function lower(a, b)
  if a and b then return math.min(a, b) end
  return a or b
end

-- Changes the limits to what the viewer has asked for: lower ones count now, the rest after `delay_ms`.
local function change_limits(limits, wanted, at_ms, delay_ms)
  local before, is_lower = in_force(limits, at_ms), true
  limits.own = {}
  for _, kind in ipairs(KINDS) do
    limits.own[kind] = lower(before[kind], wanted[kind])
    if limits.own[kind] ~= wanted[kind] then is_lower = false end
  end
  limits.pending_ms, limits.pending = is_lower and 0 or at_ms + delay_ms, is_lower and {} or wanted
end

-- A limit as stored in the wallet, and in the journal.
local function or_empty(number) return number and int(number) or '' end
local function or_null(number) return number and int(number) or 'null' end

local function limits_text(limits)
  local own, pending = limits.own, limits.pending
  local version, pending_ms = int(limits.version), int(limits.pending_ms)
  local per_gift, day, month = or_empty(own.per_gift), or_empty(own.day), or_empty(own.month)
  local pending_per_gift, pending_day = or_empty(pending.per_gift), or_empty(pending.day)
  local pending_month = or_empty(pending.month)
  -- [generated] write limits to text
  local text = version .. '|' .. per_gift .. '|' .. day .. '|' .. month .. '|' .. pending_ms .. '|'
    .. pending_per_gift .. '|' .. pending_day .. '|' .. pending_month
  -- [/generated]
  return text
end

local function journal_limits(partition, asked, limits, frozen)
  local own, pending = limits.own, limits.pending
  local version, pending_ms = int(limits.version), int(limits.pending_ms)
  local per_gift, day, month = or_null(own.per_gift), or_null(own.day), or_null(own.month)
  local pending_per_gift, pending_day, pending_month =
    or_null(pending.per_gift), or_null(pending.day), or_null(pending.month)
  local ts_ms = int(partition.now_ms)
  -- [generated] write LimitsChanged to entry: asked.user, asked.why_json, asked.by
  local entry = '["limits","' .. asked.user .. '",' .. version .. ',' .. per_gift .. ',' .. day .. ',' .. month
    .. ',' .. pending_ms .. ',' .. pending_per_gift .. ',' .. pending_day .. ',' .. pending_month .. ','
    .. (frozen and 'true' or 'false') .. ',' .. asked.why_json .. ',"' .. asked.by .. '",' .. ts_ms .. ']'
  -- [/generated]
  append(partition, entry)
end

local function set_limits(partition, user, _, asked)
  local wallet = load_wallet(partition, user)
  local limits = parse_limits(limits_text_of(partition.root, wallet))
  if limits.version ~= asked.version then return refuse(wallet, 'conflict') end
  if is_busy(partition) then return BUSY end
  if asked.frozen == '0' and wallet.balance < 0 then return refuse(wallet, 'wallet_frozen') end
  if asked.wanted then change_limits(limits, asked.wanted, partition.now_ms, asked.delay_ms) end
  limits.version = limits.version + 1
  local frozen = wallet.frozen
  if asked.frozen ~= '' then frozen = asked.frozen == '1' end
  journal_limits(partition, asked, limits, frozen)
  wallet.own_limits = limits_text(limits)
  set_flags(wallet, frozen, true)
  save_wallet(partition.root, partition.changed, wallet)
  partition.changed[limits_key(partition.root, user)] = wallet.own_limits
  return 'set|' .. int(limits.version)
end

-- [generated] function wallet_limits
-- Change limits, freeze or thaw a wallet. Returns 'set|' and the new version, or an outcome other than `accepted`.
--
-- `version` is the one that the caller knows; the call is refused when it is not the current one. Raised limits count
-- after `delay_ms`. `per_gift`, `day` and `month` are '' for no limit; a `per_gift` of '-' leaves all three unchanged.
-- `frozen` is '1' to freeze, '0' to thaw, '' for neither. Fails when `version` or `delay_ms` is not a decimal number.
local function wallet_limits_2(keys, argv)
  local root = keys[1]
  local user = argv[1]
  local version = parse(argv[2])
  local delay_ms = parse(argv[3])
  local per_gift = argv[4]
  local day = argv[5]
  local month = argv[6]
  local frozen = argv[7]
  local why_json = argv[8]
  local by = argv[9]
  -- [/generated]
  local partition = open(root)
  if not partition then return UNARMED end
  if not (version and delay_ms) then return redis.error_reply('ERR expected version and delay as decimal numbers') end
  local wanted
  if per_gift ~= '-' then
    wanted = { per_gift = parse_optional(per_gift), day = parse_optional(day), month = parse_optional(month) }
  end
  local reply = run_item(partition, set_limits, user, '', {
    user = user, version = version, delay_ms = delay_ms, wanted = wanted, frozen = frozen,
    why_json = why_json, by = by,
  })
  close(partition)
  return reply
end

-- [generated] registrations
redis.register_function { function_name = 'wallet_limits_2', callback = wallet_limits_2, flags = {} }
-- [/generated]
