"""The system's own limits: neither chosen by operators nor met by clients. Units are in the names."""

# A connection.
HELLO_ANSWER_S = 4.0
# Per connection. A hello costs a signature check and a wallet read, a join a snapshot and the events missed.
HELLOS_PER_S_MAX = 0.2
HELLOS_BURST_MAX = 5
HELLOS_AT_ONCE_MAX = 500  # in one process, whose wallets are read in one exchange
# Valid tokens that a process need not check again: as many as a process has viewers. 10 MB when all are in use.
TOKENS_REMEMBERED_MAX = 20_000
JOINS_PER_S_MAX = 4
JOINS_BURST_MAX = 24
# Above the limit, frames are skipped for a viewer; below the lower one, the viewer catches up.
WRITE_BUFFER_BYTES_MAX = 128 * 1024
WRITE_BUFFER_BYTES_LOW = 32 * 1024
CONNECTION_BUFFER_BYTES_MAX = 1024 * 1024
CONNECTION_BUFFER_FRAMES_MAX = 2_000
COMMANDS_WAITING_PER_CONNECTION_MAX = 32
REFUSED_IN_A_ROW_MAX = 200
# A command is a read and a frame; the budget has some more, because large and refused ones have to fit too.
FRAME_UNITS_PER_COMMAND = 8
FRAME_UNIT_BYTES = 1024
FRAMES_PER_TURN_MAX = 64
# Control frames, fragments, and reads of a few bytes that complete no frame.
ODD_FRAMES_PER_S_MAX = 100
ODD_FRAMES_BURST_MAX = 500
ODD_READ_BYTES_MAX = 64
FRAGMENTS_PER_MESSAGE_MAX = 128
USER_RATE_FACTOR = 2
CONNECT_RETRY_S = 5.0
SLOW_VIEWER_S = 60.0
HANDSHAKE_TIMEOUT_S = 5.0
# Of a handshake that is read without an HTTP parser; longer ones take the general way.
HANDSHAKE_BYTES_MAX = 8_000
HANDSHAKE_HEADERS_MAX = 100
PING_PERIOD_S = 20.0
TIMER_WHEEL_TICK_S = 0.25
COMPRESS_BYTES_MIN = 1024
COMPRESS_LEVEL = 1
CLOSE_TIMEOUT_S = 2.0
CLOSE_LINGER_S = 10.0
CLOSE_DISCARD_BYTES_MAX = 64 * 1024
READY_TIMEOUT_S = 2.0
PREFLIGHT_AGE_MAX_S = 600
METRICS_REQUESTS_MAX = 8
METRICS_REQUEST_S = 5.0
PORT_MAX = 65_535
METRICS_PORTS_MAX = 64  # ports to try, from the configured one on
# A process is late when an entry waits longer than this for it to be published or booked.
RELAY_LATE_S = 5.0
UNBOOKED_LATE_S = 15.0
DOCTOR_TIMEOUT_S = 5.0
LATE_PARTITIONS_MAX = 4  # partitions whose oldest entry is read

# Sockets of a web process: the descriptors that stores, logs and the rest leave.
FILES_WANTED = 65_536
FILES_RESERVED = 192
SOCKETS_FOR_HTTP_SHARE = 0.1
HTTP_HEADERS_TIMEOUT_S = 10.0
HTTP_BODY_TIMEOUT_S = 30.0
HTTP_ANSWER_TIMEOUT_S = 90.0
HTTP_KEEP_ALIVE_S = 5.0
HTTP_READ_BYTES_MAX = 1024
HTTP_WASTED_BYTES_MAX = 64 * 1024
REFUSAL_LOG_PERIOD_S = 10.0

# HTTP requests, per address and per user (settings have the rates per second). Each route names its cost.
REQUEST_BURST_S = 5  # seconds' worth of requests that may come at once
QUERY_REQUEST_UNITS = 2
COSTLY_REQUEST_UNITS = 10
WEBHOOKS_PER_S_MAX = 500
PROBES_PER_S_MAX = 50
# Addresses, and users, whose budgets a process keeps: the most recent ones. 10 MB when all are in use.
RATE_BUCKETS_MAX = 20_000
IPV6_PREFIX_BITS = 64  # the network of one customer (RFC 6177)

# Gifts on their way to Redis.
GIFT_QUEUE_MAX = 20_000
GIFT_BATCH_MAX = 512
GIFTS_PER_CALL_MAX = 32
GIFT_DEADLINE_S = 2.0
CLOCK_DIFFERENCE_MAX_MS = 60_000
# A node that takes longer gets no more gifts: the waiting ones are answered at once.
GIFT_SLOW_S = 1.0
GIFT_WAIT_MAX_S = 2.0

# Rooms.
ROOM_LOG_EVENTS_MAX = 2_000
# What features tell a room: an event's size, how many ids a room remembers, and after which time a lower version of a
# kept value is believed (as after the ledger was set back).
ROOM_EVENT_BYTES_MAX = 4_096
ROOM_TOLD_MAX = 1_000
ROOM_KEPT_SETTLED_MS = 30_000
JOIN_TIMEOUT_S = 5.0
RECOVER_RETRY_S = 1.0
ROOM_LINGER_S = 10.0
ROOM_HEADS_POLL_S = 1.0
ROOM_PULSE_S = 2.0
# How often a busy room's frames carry the top gifters, which are three quarters of a frame with one gift.
ROOM_TOP_S = 1.0
ROOM_PENDING_EVENTS_MAX = 10_000
ROOM_EARLY_MESSAGES_MAX = 1_000
DIRECTORY_TTL_S = 2.0
CATALOGUE_REFRESH_S = 5.0
SUBSCRIBE_TIMEOUT_S = 4.0
SUBSCRIBER_RETRY_S = 0.2
SUBSCRIBER_SILENCE_S = 10.0
DIRECTORY_ROOMS_MAX = 20_000
ROOM_IDLE_TTL_S = 30 * 86_400
# How long a gift or a join waits for the ledger, how long a query may take, and the pause after a failed one.
DIRECTORY_WAIT_S = 1.0
DIRECTORY_ANSWER_S = 5.0
DIRECTORY_RETRY_S = 1.0
DIRECTORY_QUESTIONS_MAX = 1_000
DIRECTORY_DETAILS_MAX = 10_000
# How old a copy may become while the ledger is away.
DIRECTORY_STALE_MAX_S = 3_600.0

# The positions in the journals that ids of events have room for.
PARTITIONS_MAX = 1_024
EPOCH_MAX = 2**32 - 1
N_MAX = 2**48 - 1
# The journal's readers. They count entries: under load one has several gifts, up to GIFTS_PER_CALL_MAX.
OUTBOX_READ_MAX = 1_000
OUTBOX_READ_PER_PARTITION_MIN = 16
OUTBOX_BLOCK_MS = 500
OUTBOX_BACKLOG_MAX = 1_000_000
RELAY_PACE_S = 0.004
RELAY_EVENTS_PER_PUBLISH_MAX = 200
RELAY_PUBLISH_DEADLINE_S = 2.0
RELAY_RETRY_S = 0.2
RELAY_CURSOR_S = 0.25
RELAY_ROOMS_PER_EXCHANGE_MAX = 200
RELAY_UNPUBLISHED_MAX = 50_000
RELAY_BALANCES_PER_EXCHANGE_MAX = 1_000
EVENT_IDS_CACHED_MAX = 4_096
COMBO_SWEEP_S = 0.1
COMBO_SWEEP_MAX = 200
BOOK_BATCH_MAX = 20_000
BOOK_READ_MAX = 5_000
BOOK_READ_PER_PARTITION_MIN = 25
BOOK_ROWS_WAITING_MAX = 200_000  # what was read and waits for its barrier
BOOK_PACE_S = 0.1
BOOK_RETRY_S = 0.5
ARM_PERIOD_S = 0.5
ARM_AT_ONCE = 4
ARM_GROUP_MAX = 16
BARRIERS_MAX = 12
SWEEP_GRANTS_S = 5.0
SWEEP_GRANTS_MAX = 100
BARRIER_TIMEOUT_MS = 5_000
TRIM_PERIOD_S = 5.0
QUARANTINE_BYTES_MAX = 64 * 1024
QUARANTINE_OPEN_MAX = 1_000
MEMORY_PERIOD_S = 0.5
MEMORY_SHARE_MAX = 0.8
MEMORY_SHARE_ENOUGH = 0.75

# Recovery.
REPAIR_CHUNK = 200
REPAIR_ENTRIES_MAX = 200_000
FENCE_ROOMS_AT_ONCE = 500
FENCE_ENDED_ROOMS_S = 86_400
# Rooms of an earlier version: how many are converted at once before a gate opens, and how many ended ones each time
# that the aggregator looks for partitions to arm.
LEGACY_ROOMS_AT_ONCE = 8
LEGACY_ENDED_ROOMS_PER_LOOK = 100
CORRECT_ATTEMPTS_MAX = 5
GATE_ATTEMPTS_MAX = 5
GATE_RETRY_S = 0.3
GIFTERS_PAGE = 1_000
STREAK_LOOKBACK_ENTRIES = 10_000
STREAK_REOPEN_S = 900.0
RELAY_REWIND_ENTRIES = 1_000
ROOM_EPOCH_STRIDE = 1_000
STOPPED_RECHECK_S = 2.0
RELAY_STATES_S = 0.5

# Orders and payments.
HELD_BACK_GIFTS_MAX = 10_000  # the newest gifts, which one refund looks at
ORDER_TTL_S = 86_400.0
# A provider repeats an event for days; early events of unknown payments are kept longer than that.
EARLY_EVENTS_KEEP_S = 30 * 86_400.0
# How long a webhook that returns coins waits until the coins taken are booked; then it is answered 503.
REINSTATE_WAIT_S = 5.0
REINSTATE_POLL_S = 0.2
SWEEP_ORDERS_S = 5.0
SWEEP_ORDERS_MAX = 100
# How long a buyer waits until the coins taken are booked and the money is returned; then the sweep does it.
WITHDRAWAL_WAIT_S = 5.0
WITHDRAWAL_POLL_S = 0.05
SWEEP_WITHDRAWALS_S = 5.0
SWEEP_WITHDRAWALS_MAX = 50
WEBHOOK_AGE_MAX_S = 300
# Limits of what a provider may send: ledgers keep it in a bigint and in texts without NUL.
PAYMENT_NAME_PATTERN = r"[A-Za-z0-9._:-]{1,255}"
PAYMENT_AMOUNT_MAX = 10**15
AUTH_TIME_AHEAD_MAX_S = 60.0
SWEEP_CORRECTIONS_S = 5.0
LIMITS_ATTEMPTS_MAX = 5
STATEMENT_SETTLES_S = 120.0
PAYOUT_BATCH_MAX = 10_000
SWEEP_CORRECTIONS_MAX = 100
ROOM_AUDIT_WAIT_S = 10.0
ROOM_AUDIT_POLL_S = 0.1
ROOM_AUDIT_TRIES_MAX = 5
PROVIDER_TIMEOUT_S = 20.0
PROVIDER_PAGE = 100
RECONCILE_MARGIN_S = 3_600.0
RECONCILE_DAYS_MAX = 36_500

# Sponsor matches. One that ends by its time or with its room still gets the gifts being booked.
SPONSOR_END_GRACE_S = 5.0
SWEEP_MATCHES_S = 2.0
SWEEP_MATCHES_MAX = 100
# The least time between two events of a match from one process.
MATCH_NEWS_PACE_S = 0.25
# How often rooms are told of their matches again, how many matches at once, and how long after their end.
MATCHES_REFRESH_S = 10.0
MATCHES_REFRESH_PAGE = 500
MATCHES_SHOWN_AFTER_S = 120.0

# Leases. A holder has at least three tries to renew before it loses one.
LEASE_TTL_MS = 9_000
LEASE_RENEW_S = 2.0
WORKER_TTL_MS = 9_000

# Stores.
FILE_REWRITE_TIMEOUT_S = 600.0
FILE_REWRITE_POLL_S = 0.2
REDIS_TIMEOUT_S = 5.0
REDIS_CONNECT_TIMEOUT_S = 2.0
REDIS_POOL_MAX = 64
DATABASE_POOL_MAX = 10
DATABASE_TIMEOUT_S = 10.0
STATEMENT_TIMEOUT_MS = 60_000
TRANSACTION_TIMEOUT_S = 75.0
SNAPSHOT_TIMEOUT_S = 900.0
PROBE_TIMEOUT_S = 1.0
PROBE_PAUSE_MIN_S = 0.05
PROBE_PAUSE_MAX_S = 1.0
CLUSTER_ASK_TIMEOUT_S = 0.5

# Stopping.
DRAIN_TIMEOUT_S = 8.0
DRAIN_WINDOW_MAX_S = 5.0
AUDIT_WAIT_S = 30.0
DEV_READY_TIMEOUT_S = 60.0
GRANT_ATTEMPTS_MAX = 20
GRANT_COINS_MAX = 10**12
GRANT_RETRY_S = 0.25
RESTART_DELAY_S = 0.5
RESTART_PAUSE_S = 3.0

assert LEASE_TTL_MS > 3 * LEASE_RENEW_S * 1000  # noqa: S101 - constants relate by assertion
assert OUTBOX_BLOCK_MS / 1000 < REDIS_TIMEOUT_S  # noqa: S101
assert BARRIER_TIMEOUT_MS / 1000 <= REDIS_TIMEOUT_S  # noqa: S101
assert PROBE_TIMEOUT_S <= GIFT_SLOW_S < GIFT_DEADLINE_S  # noqa: S101
assert DRAIN_WINDOW_MAX_S + GIFT_DEADLINE_S < DRAIN_TIMEOUT_S  # noqa: S101
assert DIRECTORY_WAIT_S < DIRECTORY_ANSWER_S  # noqa: S101
assert MATCHES_SHOWN_AFTER_S > 2 * MATCHES_REFRESH_S + ROOM_KEPT_SETTLED_MS / 1000  # noqa: S101
