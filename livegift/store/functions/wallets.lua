-- The wallets: the only code that changes one. See docs/redis.md for the keys and docs/decisions/002 for the root key.
--
-- KEYS[1] of every function is a partition's root, its hash tag alone: '{w7.123}'. All other keys are the root plus a
-- suffix, so they share its slot. Redis does not roll back, so each item first validates everything, then writes.

local AMOUNT_MAX = 10000000000000  -- domain/money.py; sums of them stay far below 2^53
local HOUR_S = 3600

-- Root -> { epoch, number }. Memory of this very process and library version: gone after a restart, a promotion or a reload, which
-- is what makes a Redis that is not the one it was refuse money until the aggregator has looked at it.
local armed = {}
-- Root -> token of the last one who disarmed it, who alone may repair and arm it. Memory as well.
local claims = {}

-- An integer as decimal digits. string.format costs more than a small write does, and most numbers here are small. %d is
-- exact up to 2^53 (Lua's numbers become a long) and a third of what %.0f costs.
local small = {}
local SMALL_MAX = 10000

local function int(n)
  local text = small[n]
  if text then return text end
  text = string.format('%d', n)
  if n >= 0 and n <= SMALL_MAX then small[n] = text end
  return text
end

-- A decimal number from 0 to AMOUNT_MAX, or nil. tonumber() alone takes '0x10', 'nan' and '1.5'.
local function parse(text)
  if type(text) ~= 'string' or #text > 14 or not text:find('^%d+$') then return nil end
  local n = tonumber(text)
  if n > AMOUNT_MAX then return nil end
  return n
end

local function parse_signed(text)
  if type(text) ~= 'string' then return nil end
  if text:sub(1, 1) ~= '-' then return parse(text) end
  local n = parse(text:sub(2))
  return n and -n
end

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- The partition's state at the start of a call, or nil when it is not armed: then nothing in it is to be believed, not
-- even a remembered ref.
local function open(root)
  local meta = redis.call('HMGET', root .. ':meta', 'epoch', 'n', 'n_max', 'gifts', 'coins')
  local arms = armed[root]
  if not arms or arms.epoch ~= meta[1] then return nil end
  local n = tonumber(meta[2])
  local now = now_ms()
  return {
    root = root, epoch = arms.epoch, number = arms.number, n = n, first_n = n, n_max = tonumber(meta[3]), gifts = tonumber(meta[4]),
    coins = tonumber(meta[5]), now_ms = now, now_text = int(now), hour = int(math.floor(now / 1000 / HOUR_S)),
    outbox = root .. ':outbox', notices = {},
  }
end

local function close(p)
  if p.n > p.first_n then
    redis.call('HSET', p.root .. ':meta', 'n', int(p.n), 'gifts', int(p.gifts), 'coins', int(p.coins))
  end
end

-- Where the next entry goes, '<epoch>-<n>'.
local function next_position(p) return p.epoch .. '-' .. int(p.n + 1) end

local function append(p, position, json)
  redis.call('XADD', p.outbox, position, 'e', json)
  p.n = p.n + 1
end

-- Runs one item of a batch. An error after a first write leaves a half-done wallet: the partition is disarmed, and this
-- item and the rest of the batch answer 'error': nobody knows, the same ref will tell once somebody has looked. Whose wallet it
-- was is noted, for the one who puts it right.
local function item(p, run, what, ...)
  if p.broken then return 'error|the partition was disarmed' end
  local ok, answer = pcall(run, p, what, ...)
  if ok then return answer end
  armed[p.root] = nil
  p.broken = true
  if what.user then pcall(redis.call, 'SADD', p.root .. ':broken', what.user .. ' ' .. (what.stored_ref or what.ref)) end
  local message = type(answer) == 'table' and answer.err or answer
  redis.log(redis.LOG_WARNING, 'livegift: disarmed ' .. p.root .. ': ' .. tostring(message))
  return 'error|' .. tostring(message)
end

local function load_wallet(p, user)
  local key = p.root .. ':w:' .. user
  local row = redis.call('HMGET', key, 'b', 's', 'h', 'f', 'l', 'u')
  return {
    key = key, user = user, balance = tonumber(row[1] or '0'), seq = tonumber(row[2] or '0'),
    hours = row[3] or '', frozen = row[4] or false, limits = row[5] or '', usage = row[6] or '',
  }
end

local function ref_key(p, user, hour) return p.root .. ':ref:' .. user .. ':' .. hour end

-- The stored answer of a ref: looked up in the hours in which this wallet has any (mostly one).
local function recall(p, wallet, ref)
  for hour in wallet.hours:gmatch('%d+') do
    local stored = redis.call('HGET', ref_key(p, wallet.user, hour), ref)
    if stored then return stored end
  end
end

-- '<hash>|<position>|<coins>|<streak's position>|<repeat_count>': below 64 bytes, so that the hash stays compact.
local function answer_known(p, wallet, stored, hash)
  local seen, position, coins, combo, count = stored:match('^(%x*)|([%d-]+)|(-?%d+)|([%d-]*)|(%d+)$')
  if seen ~= hash then return 'no|ref_conflict|' .. int(wallet.balance) .. '|0' end
  local combo_id = combo == '' and '' or p.number .. '-' .. combo
  return 'dup|' .. p.number .. '-' .. position .. '|' .. coins .. '|' .. int(wallet.balance) .. '|'
    .. int(wallet.seq) .. '|' .. combo_id .. '|' .. count
end

local function remember(p, wallet, ref, ttl_s, stored)
  local key = ref_key(p, wallet.user, p.hour)
  redis.call('HSET', key, ref, stored)
  if wallet.hours == p.hour or wallet.hours:match('%d+$') == p.hour then return end
  -- The first ref of this hour: note the hour, forget those that are over.
  redis.call('EXPIRE', key, ttl_s + HOUR_S)
  local oldest = tonumber(p.hour) - math.ceil(ttl_s / HOUR_S)
  local hours = {}
  for known in wallet.hours:gmatch('%d+') do
    if tonumber(known) >= oldest and known ~= p.hour then hours[#hours + 1] = known end
  end
  hours[#hours + 1] = p.hour
  wallet.hours = table.concat(hours, ',')
end

local function save_wallet(wallet, balance_text, seq_text)
  if wallet.used then
    local used = wallet.used
    redis.call('HSET', wallet.key, 'b', balance_text, 's', seq_text, 'h', wallet.hours, 'u', int(used.day) .. '|'
      .. int(used.day_coins) .. '|' .. int(used.month_coins) .. '|' .. int(used.minute) .. '|' .. int(used.gifts))
  else
    redis.call('HSET', wallet.key, 'b', balance_text, 's', seq_text, 'h', wallet.hours)
  end
end

-- Tells the user's other devices. The process of the sender subscribes too and knows already: `known` of them.
local function tell(p, wallet, balance_text, seq_text, reason, known)
  local channel = p.root .. ':user:' .. wallet.user
  if redis.call('PUBSUB', 'SHARDNUMSUB', channel)[2] > known then
    redis.call('SPUBLISH', channel, '{"type":"wallet","balance":' .. balance_text .. ',"seq":' .. seq_text
      .. ',"reason":"' .. reason .. '"}')
  end
end

-- Streaks: hash ':streaks' key -> '<first position>|<count>|<deadline>|<user json>\n<details json>', and the zset ':due'
-- key -> when the sweep is to look at it, never after the deadline: at the first gift's, then at the one that it finds.

-- Users' ids may have a '|', which no key can: there it is a '!', which no id has.
local function in_key(user) return (user:gsub('|', '!')) end
local function from_key(text) return (text:gsub('!', '|')) end

local function end_streak(p, key, value)
  local combo, count, user_json, details = value:match('^([%d-]+)|(%d+)|%d+|(.-)\n(.*)$')
  local room, gift, to, anonymous, user = key:match('^(.-)|(.-)|(.-)|(.-)|(.-)$')
  to, user = from_key(to), from_key(user)
  append(p, next_position(p), '["streak_end","' .. user .. '","' .. room .. '","' .. to .. '","' .. gift .. '","'
    .. p.number .. '-' .. combo .. '",' .. count .. ',' .. (anonymous == '1' and 'true' or 'false') .. ','
    .. p.now_text .. ',' .. user_json .. ',' .. details .. ']')
  redis.call('HDEL', p.root .. ':streaks', key)
  redis.call('ZREM', p.root .. ':due', key)
end

-- Returns the position of the streak's first gift and the streak's count so far, as text.
local function extend_streak(p, send, timeout_ms)
  local key = send.room .. '|' .. send.gift .. '|' .. in_key(send.to) .. '|' .. send.anonymous .. '|' .. in_key(send.user)
  local streaks = p.root .. ':streaks'
  local value = redis.call('HGET', streaks, key)
  local combo, count, old_deadline_ms = nil, send.count, math.huge
  if value then
    local first, before, deadline = value:match('^([%d-]+)|(%d+)|(%d+)|')
    if p.now_ms >= tonumber(deadline) then
      end_streak(p, key, value)
    else
      combo, count, old_deadline_ms = first, count + tonumber(before), tonumber(deadline)
    end
  end
  combo = combo or next_position(p)
  local deadline_ms = p.now_ms + timeout_ms
  local count_text, deadline_text = int(count), int(deadline_ms)
  redis.call('HSET', streaks, key,
    combo .. '|' .. count_text .. '|' .. deadline_text .. '|' .. send.user_json .. '\n' .. send.details_json)
  -- Also where the timeout was made shorter, or the clock went back.
  if deadline_ms < old_deadline_ms then redis.call('ZADD', p.root .. ':due', deadline_text, key) end
  return combo, count_text
end

-- Limits (domain/allowances.py). A wallet's field 'l': '<version>|<per gift>|<day>|<month>|<pending ms>|<per gift>|<day>|<month>'
-- with '' for no limit; 'u': '<day>|<its coins>|<its month's coins>|<minute>|<its gifts>'. What the hub says of the operator's:
-- '<day>|<per gift>|<day>|<month>|<gifts per minute>', or '' when nothing is limited or counted.

local MINUTE_MS = 60000
local KINDS = { 'per_gift', 'day', 'month' }

local function optional(text)
  if text ~= '' then return tonumber(text) end
end

local function parse_limits(text)
  local version, per_gift, day, month, pending_ms, pending_per_gift, pending_day, pending_month =
    text:match('^(%d+)|(%d*)|(%d*)|(%d*)|(%d+)|(%d*)|(%d*)|(%d*)$')
  if not version then return { version = 0, own = {}, pending_ms = 0, pending = {} } end
  return {
    version = tonumber(version), own = { per_gift = optional(per_gift), day = optional(day), month = optional(month) },
    pending_ms = tonumber(pending_ms),
    pending = { per_gift = optional(pending_per_gift), day = optional(pending_day), month = optional(pending_month) },
  }
end

local NONE = {}

local function in_force(limits, now)
  if limits.pending_ms > 0 and now >= limits.pending_ms then return limits.pending end
  return limits.own
end

-- All viewers of a region have the same for a day, so few are parsed. Memory of this process, bounded.
local policies, policies_count = {}, 0
local POLICIES_MAX = 1000

-- nil for none, false for what is no policy.
local function parse_policy(text)
  if text == '' then return nil end
  if policies[text] then return policies[text] end
  local day, per_gift, day_cap, month_cap, per_minute = text:match('^(%d+)|(%d*)|(%d*)|(%d*)|(%d*)$')
  if not day then return false end
  local caps = { per_gift = optional(per_gift), day = optional(day_cap), month = optional(month_cap) }
  if policies_count >= POLICIES_MAX then policies, policies_count = {}, 0 end
  policies[text], policies_count = {
    day = tonumber(day), per_minute = optional(per_minute), caps = caps, has_caps = next(caps) ~= nil,
  }, policies_count + 1
  return policies[text]
end

-- What was used, as of now.
local function usage_at(p, wallet, policy)
  local day, day_coins, month_coins, minute, gifts = wallet.usage:match('^(%d+)|(%d+)|(%d+)|(%d+)|(%d+)$')
  local used = {
    day = tonumber(day or '0'), day_coins = tonumber(day_coins or '0'), month_coins = tonumber(month_coins or '0'),
    minute = tonumber(minute or '0'), gifts = tonumber(gifts or '0'),
  }
  if policy.day > used.day then
    if math.floor(policy.day / 100) ~= math.floor(used.day / 100) then used.month_coins = 0 end
    used.day, used.day_coins = policy.day, 0
  end
  local this_minute = math.floor(p.now_ms / MINUTE_MS)
  if used.minute ~= this_minute then used.minute, used.gifts = this_minute, 0 end
  return used
end

local function cap(own, operators)
  if not own or (operators and operators < own) then return operators, 'operator' end
  return own, 'own'
end

-- Why a gift is over a limit, or nil. Leaves what was used so far in the wallet.
local function over_limit(p, wallet, policy, coins, no)
  local used = usage_at(p, wallet, policy)
  wallet.used = used
  wallet.own = wallet.limits == '' and NONE or in_force(parse_limits(wallet.limits), p.now_ms)
  if policy.per_minute and used.gifts >= policy.per_minute then
    return no('rate_limited') .. '|' .. int(MINUTE_MS - p.now_ms % MINUTE_MS)
  end
  if wallet.own == NONE and not policy.has_caps then return nil end
  for i, before in ipairs({ 0, used.day_coins, used.month_coins }) do
    local kind = KINDS[i]
    local allowed, whose = cap(wallet.own[kind], policy.caps[kind])
    if allowed and before + coins > allowed then
      return no('limit_exceeded') .. '|' .. kind .. '|' .. whose .. '|' .. int(allowed) .. '|' .. int(before)
    end
  end
end

local REMIND_AT = { 100, 80, 50 }

-- Counts a gift, and tells all devices of the highest threshold that it has reached.
local function use(p, wallet, policy, coins)
  local used = wallet.used
  used.day_coins, used.month_coins, used.gifts = used.day_coins + coins, used.month_coins + coins, used.gifts + 1
  if wallet.own == NONE and not policy.has_caps then return end
  for kind, after in pairs({ day = used.day_coins, month = used.month_coins }) do
    local allowed = cap(wallet.own[kind], policy.caps[kind])
    if allowed then
      for _, percent in ipairs(REMIND_AT) do
        if (after - coins) * 100 < percent * allowed and percent * allowed <= after * 100 then
          redis.call('SPUBLISH', p.root .. ':user:' .. wallet.user, '{"type":"limit.reminder","kind":"' .. kind .. '","percent":'
            .. int(percent) .. ',"allowed":' .. int(allowed) .. ',"used":' .. int(after) .. '}')
          break
        end
      end
    end
  end
end

local BUSY = 'no|unavailable|0|0'

-- Whether nothing new can be accepted now. Known refs are answered all the same: a repeat of an accepted one must never
-- look like a refusal.
local function busy(p) return p.n >= p.n_max or p.clock_is_off end

-- Why this gift can't be, or nil.
local function refusal(p, wallet, send)
  local function no(code, shortfall)
    return 'no|' .. code .. '|' .. int(wallet.balance) .. '|' .. int(shortfall or 0)
  end
  if send.verdict ~= '' then return no(send.verdict) end
  if wallet.frozen or wallet.balance < 0 then return no('wallet_frozen') end
  if not (send.price and send.count and send.diamond_count) or send.count < 1
    or send.price * send.count > AMOUNT_MAX or send.diamond_count * send.count > AMOUNT_MAX then
    return no('invalid')
  end
  local coins = send.price * send.count
  if wallet.balance < coins then return no('insufficient_coins', coins - wallet.balance) end
  if send.policy == false then return no('invalid') end
  if send.policy then return over_limit(p, wallet, send.policy, coins, no) end
end

local function send_gift(p, send, options)
  local wallet = load_wallet(p, send.user)
  local stored = recall(p, wallet, send.ref)
  if stored then return answer_known(p, wallet, stored, send.hash) end
  if busy(p) then return BUSY end
  local refused = refusal(p, wallet, send)
  if refused then return refused end

  local combo, count_text
  if send.streakable == '1' then
    combo, count_text = extend_streak(p, send, options.combo_timeout_ms)  -- may append the end of the one before
  end
  local position = next_position(p)
  combo, count_text = combo or position, count_text or int(send.count)
  local coins = send.price * send.count
  wallet.balance, wallet.seq = wallet.balance - coins, wallet.seq + 1
  if send.policy then use(p, wallet, send.policy, coins) end
  local coins_text, balance_text, seq_text = int(coins), int(wallet.balance), int(wallet.seq)
  remember(p, wallet, send.ref, options.ref_ttl_s,
    send.hash .. '|' .. position .. '|' .. coins_text .. '|' .. combo .. '|' .. count_text)
  save_wallet(wallet, balance_text, seq_text)
  local combo_id = p.number .. '-' .. combo
  append(p, position, '["gift","' .. send.user .. '",' .. seq_text .. ',' .. balance_text .. ',"' .. send.ref .. '","'
    .. send.room .. '","' .. send.to .. '","' .. send.gift .. '",' .. int(send.count) .. ',' .. coins_text .. ','
    .. int(send.diamond_count * send.count) .. ',"' .. combo_id .. '",' .. count_text .. ','
    .. (send.streakable == '1' and 'false,' or 'true,') .. (send.anonymous == '1' and 'true,' or 'false,')
    .. p.now_text .. ',' .. send.user_json .. ',' .. send.details_json .. ',' .. send.message_json .. ',"'
    .. send.hash .. '",' .. (send.policy and int(wallet.used.day) or '0') .. ']')
  p.gifts, p.coins = p.gifts + 1, p.coins + coins
  p.notices[send.user] = { wallet = wallet, balance_text = balance_text, seq_text = seq_text }
  return 'ok|' .. p.number .. '-' .. position .. '|' .. coins_text .. '|' .. balance_text .. '|' .. seq_text .. '|'
    .. combo_id .. '|' .. count_text
end

local GIFT_FIELDS = 16
local UNARMED = 'error|the partition is not armed'

-- ARGV: hub's now_ms, clock difference at most, combo time-out in ms, ref TTL in s, then GIFT_FIELDS per gift.
local function gift_send_1(keys, argv)
  local options = { combo_timeout_ms = parse(argv[3]), ref_ttl_s = parse(argv[4]) }
  local hub_ms, difference_max_ms = parse(argv[1]), parse(argv[2])
  if not (options.combo_timeout_ms and options.ref_ttl_s and hub_ms and difference_max_ms) then
    return redis.error_reply('ERR gift_send_1 expects four decimal numbers first')
  end
  local p = open(keys[1])
  local answers = {}
  if p and math.abs(p.now_ms - hub_ms) > difference_max_ms then p.clock_is_off = true end
  for i = 5, #argv, GIFT_FIELDS do
    if p then
      answers[#answers + 1] = item(p, send_gift, {
        user = argv[i], ref = argv[i + 1], hash = argv[i + 2], verdict = argv[i + 3], room = argv[i + 4],
        to = argv[i + 5], gift = argv[i + 6], price = parse(argv[i + 7]), count = parse(argv[i + 8]),
        diamond_count = parse(argv[i + 9]), streakable = argv[i + 10], anonymous = argv[i + 11],
        user_json = argv[i + 12], details_json = argv[i + 13], message_json = argv[i + 14],
        policy = parse_policy(argv[i + 15]),
      }, options)
    else
      answers[#answers + 1] = UNARMED
    end
  end
  if p then
    close(p)
    -- Of several gifts of a user the last balance alone is news.
    for _, notice in pairs(p.notices) do tell(p, notice.wallet, notice.balance_text, notice.seq_text, 'gift', 1) end
  end
  return answers
end

-- Takes a revoked gift out of its streak, if that still goes on.
local function shorten_streak(p, revokes)
  local streaks = p.root .. ':streaks'
  local value = redis.call('HGET', streaks, revokes.streak)
  if not value then return end
  local first, count, rest = value:match('^([%d-]+)|(%d+)(|.*)$')
  if first and p.number .. '-' .. first == revokes.combo_id then
    redis.call('HSET', streaks, revokes.streak, first .. '|' .. int(math.max(tonumber(count) - revokes.count, 0)) .. rest)
  end
end

local function change_wallet(p, change, ttl_s)
  local wallet = load_wallet(p, change.user)
  local ref = '!' .. change.ref  -- no ref of a client begins like this
  change.stored_ref = ref
  local stored = recall(p, wallet, ref)
  if stored then return answer_known(p, wallet, stored, change.hash) end
  if busy(p) then return BUSY end
  local function no(code, shortfall)
    return 'no|' .. code .. '|' .. int(wallet.balance) .. '|' .. int(shortfall or 0)
  end
  local delta = change.delta
  if not delta or delta == 0 or math.abs(wallet.balance + delta) > AMOUNT_MAX then return no('invalid') end
  local balance = wallet.balance + delta
  if balance < 0 and delta < 0 and not change.overdraw then return no('insufficient_coins', -balance) end

  local position = next_position(p)
  wallet.balance, wallet.seq = balance, wallet.seq + 1
  local balance_text, seq_text = int(balance), int(wallet.seq)
  remember(p, wallet, ref, ttl_s, change.hash .. '|' .. position .. '|' .. int(delta) .. '||0')
  save_wallet(wallet, balance_text, seq_text)
  append(p, position, '["change","' .. change.user .. '",' .. seq_text .. ',' .. balance_text .. ',"' .. change.ref
    .. '",' .. int(delta) .. ',"' .. change.reason .. '",' .. p.now_text .. ',"' .. change.hash .. '"'
    .. (change.revokes and ',' .. change.revokes.json or '') .. ']')
  if change.revokes then shorten_streak(p, change.revokes) end
  tell(p, wallet, balance_text, seq_text, change.reason, 0)
  return 'ok|' .. p.number .. '-' .. position .. '|' .. int(delta) .. '|' .. balance_text .. '|' .. seq_text .. '||0'
end

-- ARGV: ref TTL in s, user, ref, payload hash, coins, reason.
local function wallet_credit_1(keys, argv)
  local ttl_s = parse(argv[1])
  if not ttl_s then return redis.error_reply('ERR expected the ref TTL as a decimal number') end
  local p = open(keys[1])
  if not p then return UNARMED end
  local answer = item(p, change_wallet, {
    user = argv[2], ref = argv[3], hash = argv[4], delta = parse(argv[5]), reason = argv[6],
  }, ttl_s)
  close(p)
  return answer
end

-- ARGV: as wallet_credit_1, but the coins are signed, and '1' at the end allows a balance below zero (which freezes).
local function wallet_correct_1(keys, argv)
  local ttl_s = parse(argv[1])
  if not ttl_s then return redis.error_reply('ERR expected the ref TTL as a decimal number') end
  local p = open(keys[1])
  if not p then return UNARMED end
  local answer = item(p, change_wallet, {
    user = argv[2], ref = argv[3], hash = argv[4], delta = parse_signed(argv[5]), reason = argv[6],
    overdraw = argv[7] == '1',
  }, ttl_s)
  close(p)
  return answer
end

-- ARGV: as wallet_credit_1, then the revoked gift as the journal has it (JSON), the key and the id of its streak, and how
-- many it takes out of it.
local function wallet_revoke_1(keys, argv)
  local ttl_s, count = parse(argv[1]), parse(argv[10])
  if not (ttl_s and count) then return redis.error_reply('ERR expected the ref TTL and a count as decimal numbers') end
  local p = open(keys[1])
  if not p then return UNARMED end
  local answer = item(p, change_wallet, {
    user = argv[2], ref = argv[3], hash = argv[4], delta = parse(argv[5]), reason = argv[6],
    revokes = { json = argv[7], streak = argv[8], combo_id = argv[9], count = count },
  }, ttl_s)
  close(p)
  return answer
end

local function or_null(n) return n and int(n) or 'null' end
local function or_empty(n) return n and int(n) or '' end

local function lower(a, b)
  if a and b then return math.min(a, b) end
  return a or b
end

local function set_limits(p, ask)
  local wallet = load_wallet(p, ask.user)
  local limits = parse_limits(wallet.limits)
  local function no(code) return 'no|' .. code .. '|' .. int(wallet.balance) .. '|0' end
  if limits.version ~= ask.version then return no('conflict') end
  if busy(p) then return BUSY end
  if ask.frozen == '0' and wallet.balance < 0 then return no('wallet_frozen') end
  if ask.wanted then
    local before, is_lower = in_force(limits, p.now_ms), true
    limits.own = {}
    for _, kind in ipairs(KINDS) do
      limits.own[kind] = lower(before[kind], ask.wanted[kind])
      if limits.own[kind] ~= ask.wanted[kind] then is_lower = false end
    end
    limits.pending_ms, limits.pending = is_lower and 0 or p.now_ms + ask.delay_ms, is_lower and {} or ask.wanted
  end
  limits.version = limits.version + 1
  local frozen = wallet.frozen and true or false
  if ask.frozen ~= '' then frozen = ask.frozen == '1' end
  local own, pending = limits.own, limits.pending
  redis.call('HSET', wallet.key, 'l', int(limits.version) .. '|' .. or_empty(own.per_gift) .. '|' .. or_empty(own.day) .. '|'
    .. or_empty(own.month) .. '|' .. int(limits.pending_ms) .. '|' .. or_empty(pending.per_gift) .. '|'
    .. or_empty(pending.day) .. '|' .. or_empty(pending.month))
  if frozen then redis.call('HSET', wallet.key, 'f', '1') else redis.call('HDEL', wallet.key, 'f') end
  append(p, next_position(p), '["limits","' .. ask.user .. '",' .. int(limits.version) .. ',' .. or_null(own.per_gift) .. ','
    .. or_null(own.day) .. ',' .. or_null(own.month) .. ',' .. int(limits.pending_ms) .. ',' .. or_null(pending.per_gift) .. ','
    .. or_null(pending.day) .. ',' .. or_null(pending.month) .. ',' .. (frozen and 'true' or 'false') .. ',' .. ask.why_json
    .. ',"' .. ask.by .. '",' .. p.now_text .. ']')
  return 'set|' .. int(limits.version)
end

-- ARGV: user, version that the caller knows, delay of what is raised in ms, per gift, day, month ('' for none, all three '-' to
-- leave them), '1' to freeze, '0' to thaw, '' for neither, why as JSON, by whom. Whoever knows another version is told so.
local function wallet_limits_1(keys, argv)
  local p = open(keys[1])
  if not p then return UNARMED end
  local version, delay_ms, wanted = parse(argv[2]), parse(argv[3]), nil
  if argv[4] ~= '-' then wanted = { per_gift = optional(argv[4]), day = optional(argv[5]), month = optional(argv[6]) } end
  if not (version and delay_ms) then return redis.error_reply('ERR expected version and delay as decimal numbers') end
  local answer = item(p, set_limits, {
    user = argv[1], ref = '', stored_ref = '', version = version, delay_ms = delay_ms, wanted = wanted, frozen = argv[7],
    why_json = argv[8], by = argv[9],
  })
  close(p)
  return answer
end

-- Ends the streaks that are over. ARGV: at most so many, room whose streaks all end ('' for none). Returns how many are
-- still open, or -1 when the partition is not armed.
local function streaks_sweep_1(keys, argv)
  local root, room = keys[1], argv[2]
  local first = redis.call('ZRANGE', root .. ':due', 0, 0, 'WITHSCORES')
  if not first[1] then return 0 end
  if room == '' and tonumber(first[2]) > now_ms() then return redis.call('ZCARD', root .. ':due') end
  local p = open(root)
  if not p then return -1 end
  local due = redis.call('ZRANGEBYSCORE', root .. ':due', '-inf', p.now_text, 'LIMIT', 0, argv[1])
  if room ~= '' then
    for _, key in ipairs(redis.call('ZRANGEBYSCORE', root .. ':due', '(' .. p.now_text, '+inf')) do
      if key:sub(1, #room + 1) == room .. '|' then due[#due + 1] = key end
    end
  end
  local over = {}
  for _, key in ipairs(due) do
    local value = redis.call('HGET', root .. ':streaks', key)
    local deadline = value:match('^[%d-]+|%d+|(%d+)|')
    if tonumber(deadline) <= p.now_ms or key:sub(1, #room + 1) == room .. '|' then
      over[#over + 1] = { key = key, value = value, deadline = tonumber(deadline) }
    else
      redis.call('ZADD', root .. ':due', deadline, key)
    end
  end
  table.sort(over, function(a, b)
    if a.deadline ~= b.deadline then return a.deadline < b.deadline end
    return a.key < b.key
  end)
  for _, streak in ipairs(over) do item(p, end_streak, streak.key, streak.value) end
  close(p)
  return redis.call('ZCARD', root .. ':due')
end

redis.register_function('gift_send_1', gift_send_1)
redis.register_function('wallet_credit_1', wallet_credit_1)
redis.register_function('wallet_correct_1', wallet_correct_1)
redis.register_function('wallet_revoke_1', wallet_revoke_1)
redis.register_function('wallet_limits_1', wallet_limits_1)
-- The path that drains works when memory is full.
redis.register_function { function_name = 'streaks_sweep_1', callback = streaks_sweep_1, flags = { 'allow-oom' } }
