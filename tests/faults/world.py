"""The real system with servers of its own: everything that a fault can affect."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack, closing
from pathlib import Path
from random import Random
from typing import Self

import msgspec
from redis.exceptions import RedisError

from livegift.composition import make_settings
from livegift.contract.errors import LivegiftError
from livegift.dev.embedded import RedisServer, start_postgres, start_redis
from livegift.dev.embedded.process import dies_with_parent, write_private
from livegift.ledger.engine import Database
from livegift.ledger.schema import read_event_id_key
from livegift.operations.migrate import migrate
from livegift.recovery.restore import restore
from livegift.runtime.event_ids import EventIds
from livegift.runtime.settings import Settings
from livegift.store.functions import VERSION
from livegift.store.keys import partition_roots
from tests.conftest import COMMON
from tests.faults.files import CurrentFolder, Sizes, last_part
from tests.faults.ledger_server import POSTGRES_SETTINGS, LedgerServer
from tests.faults.model import Loss, Model
from tests.faults.patience import NotInTimeError, wait_patiently
from tests.faults.preload import Clocks
from tests.faults.provider import SECRETS
from tests.faults.store_proxy import StoreProxy
from tests.faults.turns import Turns
from tests.partitions import counters
from tests.system import System, command, environ

ROLES = {"web": 2, "relay": 2, "aggregator": 2}
PROCESSES = tuple(f"{role} {i + 1}" for role, count in ROLES.items() for i in range(count))
HARNESS = "harness"
STORE_FAULT = "a fault of the store"
# Only the part that is looked at is appended to, and it is not rewritten meanwhile.
REDIS_SETTINGS = {"auto-aof-rewrite-percentage": "0"}
OF_FAULTS: dict[str, object] = {"sandbox_secrets": ",".join(SECRETS), "payout_diamonds_min": 100, "undo_coins_min": 1}
Positions = Mapping[int, tuple[int, int]]


class FaultySystem(System):
    """A system in which each process has its own way to each store."""

    def __init__(self, settings: Settings, logs: Path, of_process: Mapping[str, Settings]) -> None:
        super().__init__(settings, logs)
        self._of_process = of_process
        self.clocks: Clocks | None = None

    def start_one(self, name: str) -> None:
        role = name.partition(" ")[0]
        argv = [*dies_with_parent(signal.SIGKILL), *command(role)]
        fds: tuple[int, ...] = ()
        if role == "web":
            if name not in self._sockets:
                self._sockets[name] = self.listen()
            fds = (self._sockets[name].fileno(),)
            argv += ["--fd", str(fds[0])]
        extra = self.clocks.environ(name) if self.clocks else {}
        with (self._logs / name.replace(" ", "-")).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                argv,
                env={**environ(self._of_process[name]), **extra},
                cwd=self._logs,
                pass_fds=fds,
                stdout=log,
                stderr=log,
            )

    @staticmethod
    def listen() -> object:
        from livegift.runtime.net import listen  # noqa: PLC0415 - beside its only use

        return listen("127.0.0.1", 0)


class World(LedgerServer):
    """The world of a run. Use it as `async with World(folder, template) as world`."""

    def __init__(self, folder: Path, postgres_template: Path) -> None:
        """Copy `postgres_template`, the data folder of a stopped PostgreSQL with the schema."""
        self._folder = folder
        self._template = postgres_template
        self._stack = AsyncExitStack()
        self._replicas = 0
        self._floors: dict[Path, int] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.model = Model()
        self.sizes = Sizes()
        # Data that only the ledger has (rooms, orders, payouts) is not written while the ledger is about to be set
        # back.
        self.ledger_stays = Turns()
        # its partitions stop A ledger that is set back can't be brought up to date with what Redis has trimmed early
        # for want of memory: its partitions stop loudly, as they should, and nothing more would be learned.
        # its partitions stop loudly, as they should, and nothing more would be learned.
        self.outboxes_stay = asyncio.Lock()
        self.redis_proxies: dict[str, StoreProxy] = {}
        self.postgres_proxies: dict[str, StoreProxy] = {}
        self.paused: set[str] = set()
        self.held: set[str] = set()
        self.notes: list[str] = []
        self.poisoned = 0
        self.clocks: Clocks | None = None
        self.is_empty = False
        self.restarts = 0
        self.servers: list[RedisServer] = []

    # --- Start and end ------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    async def _start(self) -> None:
        self.redis = await asyncio.to_thread(start_redis, self._folder / "redis-0", extra=REDIS_SETTINGS)
        self.servers.append(self.redis)
        self._stack.callback(self._stop_servers)
        await asyncio.to_thread(shutil.copytree, self._template, self._folder / "postgres")
        self.postgres = await asyncio.to_thread(
            start_postgres, self._folder / "postgres", extra_settings=POSTGRES_SETTINGS
        )
        self.settings = make_settings(redis_url=self.redis.url, database_url=self.postgres.url, **(COMMON | OF_FAULTS))
        await migrate(self.settings)
        database = Database(self.settings.database_url)
        self.model.ids = EventIds(await read_event_id_key(database))
        await database.aclose()
        of_process = {}
        for name in (*PROCESSES, HARNESS):
            self.redis_proxies[name] = await self._stack.enter_async_context(StoreProxy(self.redis.port))
            self.postgres_proxies[name] = await self._stack.enter_async_context(StoreProxy(self.postgres.port))
            of_process[name] = msgspec.structs.replace(
                self.settings,
                redis_url=self.redis_proxies[name].url(self.redis.url),
                database_url=self.postgres_proxies[name].url(self.postgres.url),
            )
        self.harness_settings = of_process[HARNESS]
        self.system = FaultySystem(self.settings, self._folder / "logs", of_process)
        self.clocks = self.system.clocks = await asyncio.to_thread(Clocks.make, self._folder / "clocks")
        self._stack.push(self.system.__exit__)
        self._stack.callback(self._end_processes)
        for name in PROCESSES:
            self.system.start_one(name)
        await asyncio.gather(*(self.web_ready(name) for name in self.names("web")))
        self._floors[last_part(self.redis.data_dir)] = last_part(self.redis.data_dir).stat().st_size
        self._folder_now = CurrentFolder(self.redis.data_dir)
        self._tasks = [
            asyncio.create_task(self.sizes.follow(self._folder_now), name="sizes"),
            asyncio.create_task(self._keep_running(), name="keeper"),
        ]

    def _end_processes(self) -> None:
        """End all processes: none has anything to finish any more, and some may be stopped."""
        for process in self.system.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()

    def _stop_servers(self) -> None:
        for server in self.servers:
            server.kill()
        if hasattr(self, "postgres"):
            self.postgres.kill()

    async def web_ready(self, name: str, timeout_s: float = 60) -> None:
        """Wait until gifts can be sent through this web process."""

        async def ready() -> bool:
            status, _ = await asyncio.to_thread(self.system.http, "GET", "/readyz", web=name)
            return status == 200

        await wait_patiently(ready, f"{name} is ready", timeout_s)

    # --- Processes ----------------------------------------------------------------------------------------------------

    @staticmethod
    def names(role: str) -> list[str]:
        return [f"{role} {i + 1}" for i in range(ROLES[role])]

    def one_of(self, rng: Random, role: str) -> str:
        """Return a process of a role, if possible one that no other fault affects."""
        names = self.names(role)
        return rng.choice([name for name in names if name not in self.paused | self.held] or names)

    @staticmethod
    def any_process(rng: Random) -> str:
        return rng.choice(PROCESSES)

    def kill(self, name: str) -> None:
        """Kill a process by SIGKILL; it is not restarted before `start`."""
        self.held.add(name)
        self.system.kill(name)

    def start(self, name: str) -> None:
        if self.system.processes[name].poll() is not None:
            self.system.start_one(name)
        self.held.discard(name)

    async def _keep_running(self) -> None:
        """Restart processes that have ended, as any supervisor would."""
        while True:
            await asyncio.sleep(0.3)
            for name, process in list(self.system.processes.items()):
                if name not in self.held and process.poll() is not None:
                    self.restarts += 1
                    self.system.start_one(name)

    # --- Redis --------------------------------------------------------------------------------------------------------

    def keep_out(self, but: Collection[str] = ()) -> None:
        """Keep all processes from Redis until `let_in`."""
        for name, way in self.redis_proxies.items():
            if name not in but:
                way.close_for(STORE_FAULT)

    def keep_out_one(self, name: str) -> None:
        self.redis_proxies[name].close_for(STORE_FAULT)

    async def let_in(self) -> None:
        for way in self.redis_proxies.values():
            await way.open_for(STORE_FAULT)

    async def kill_redis(self) -> None:
        """Kill Redis by SIGKILL, and keep all processes from it."""
        await asyncio.to_thread(self.redis.kill)
        self.keep_out()

    async def start_redis_again(self) -> None:
        """Start Redis on its data, at its port; `let_in` comes later."""
        data_dir, port = self.redis.data_dir, self.redis.port
        self.redis = await asyncio.to_thread(start_redis, data_dir, port=port, extra=REDIS_SETTINGS)
        self.servers = [server for server in self.servers if server.port != port] + [self.redis]

    async def paused_server(self, server: RedisServer, seconds: float) -> None:
        os.kill(server.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            os.kill(server.pid, signal.SIGCONT)

    def floor_of(self, path: Path) -> int:
        """Return the size below which the file has nothing but the system's beginning."""
        return self._floors.get(path, 0)

    async def start_replica(self, primary_port: int) -> RedisServer:
        """Start a replica of the server at `primary_port`, with its password; returns when it has all data."""
        self._replicas += 1
        folder = self._folder / f"redis-{self._replicas}"
        folder.mkdir(mode=0o700)
        password = (self.redis.data_dir / "redis.password").read_text().strip()
        write_private(folder / "redis.password", password)
        following = {"replicaof": f"127.0.0.1 {primary_port}", "masterauth": password}
        replica = await asyncio.to_thread(start_redis, folder, extra=REDIS_SETTINGS | following)
        self.servers.append(replica)

        def follows() -> bool:
            with closing(replica.client()) as client:
                return bool(client.info("replication").get("master_link_status") == "up")

        await wait_patiently(follows, "the replica follows", 30)
        return replica

    def move_to(self, server: RedisServer, but: Collection[str] = ()) -> None:
        """Use this Redis from now on."""
        self.redis = server
        self._folder_now.path = server.data_dir
        self.settings = msgspec.structs.replace(self.settings, redis_url=server.url)
        for name, way in self.redis_proxies.items():
            if name not in but:
                way.lead_to(server.port)

    async def said(self, server: RedisServer) -> dict[int, tuple[int, int]]:
        """Return epoch and n of each partition in a Redis."""
        roots = partition_roots(self.settings.partitions)
        with closing(server.client()) as client:
            rows = [counters(client, root) for root in roots]
        return {p: (row.get("epoch", 0), row.get("n", 0)) for p, row in enumerate(rows)}

    async def go_on_after_loss(self) -> None:
        """Migrate and restore, as an operator would: the functions, or everything, may be lost."""
        await self.let_in()
        await self.migrate()
        if self.is_empty:
            await self.restore()

    async def note_loss(self, kind: str, server: RedisServer) -> None:
        """Record what Redis has lost, by looking at what is left while no process is let in."""
        self.note_loss_of(kind, await self.said(server), await self.checkpoints())

    def note_loss_of(self, kind: str, said: Positions, checkpoints: Positions) -> None:
        self.is_empty = any(said[p][0] == 0 and n for p, (_, n) in checkpoints.items())
        bounds = {}
        for p, (epoch, n) in checkpoints.items():
            said_epoch, said_n = said[p]
            # What Redis has beyond an older epoch's end is on a branch that does not count.
            left = n if said_epoch < epoch else max(said_n, n)
            bounds[p] = (max(epoch, said_epoch), left)
        self.model.losses.append(Loss(kind, bounds))

    async def migrate(self) -> None:
        await self._patiently(lambda: migrate(self.settings), "livegift migrate")

    async def unarmed(self) -> list[str]:
        """Return the partitions that are not armed under the epoch that the ledger has."""
        checkpoints, lines = await self.checkpoints(), []
        with closing(self.redis.client()) as client:
            try:
                for p, root in enumerate(partition_roots(self.settings.partitions)):
                    armed_epoch, *rest = client.fcall(f"partition_state_{VERSION}", 1, root)  # type: ignore[misc]
                    if int(armed_epoch) != checkpoints[p][0] or not int(armed_epoch):
                        lines.append(
                            f"partition {p}: armed {armed_epoch}, Redis {rest}, the ledger at {checkpoints[p]}"
                        )
                if not client.fcall(f"rooms_gate_{VERSION}", 0):
                    lines.append("the gate of the rooms is closed")
            except RedisError as error:
                lines.append(f"Redis: {error}")
        return lines

    async def restore(self) -> None:
        """Restore as an operator would, repeating it until it is done."""

        async def once() -> None:
            lines = await restore(self.settings)
            left = await self.stopped()
            if left or await self.unarmed():
                raise LivegiftError(f"{lines}; stopped: {left}")

        await self._patiently(once, "livegift restore")

    async def _patiently(self, call: object, what: str) -> None:
        errors: list[str] = []

        async def tried() -> bool:
            try:
                await call()  # type: ignore[operator]
            except LivegiftError as error:
                errors.append(str(error))
                return False
            return True

        try:
            await wait_patiently(tried, what, 30)
        except NotInTimeError:
            self.notes.append(f"{what} did not succeed: {errors[-1]}")

    # --- After the faults ---------------------------------------------------------------------------------------------

    async def heal(self) -> None:
        """Bring everything up and connect everything."""
        for way in (*self.redis_proxies.values(), *self.postgres_proxies.values()):
            way.resume()
            way.delay(0)
            way.cut_after = None
            for reason in list(way._closed_by):
                await way.open_for(reason)
        for name, process in self.system.processes.items():
            process.send_signal(signal.SIGCONT)
            self.start(name)
        self.paused.clear()
