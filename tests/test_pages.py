"""The pages in a real browser: what a viewer and a creator see and do."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import orjson
import pytest
from playwright.async_api import Browser, Page, Route, async_playwright, expect

from livegift.features.catalogue.gift_files import parse_catalogue
from livegift.features.corrections.service import decide
from livegift.ledger.catalogue import put_gifts
from livegift.ledger.engine import Database
from livegift.store.client import Store
from livegift.store.wallets import Wallets
from tests.system import System
from tests.viewer import Viewer
from tests.waiting import wait_until

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on PATH: apt-get install chromium"),
]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        await launched.close()


async def open_page(browser: Browser, system: System, name: str, user: str, problems: list[str]) -> Page:
    page = await browser.new_page()
    page.on("pageerror", lambda error: problems.append(f"{name}: {error}"))
    page.on("console", lambda line: problems.append(f"{name}: {line.text}") if line.type == "error" else None)
    await page.goto(f"http://{system.address()}/demo/{name}?room=r1&user={user}")
    await expect(page.get_by_test_id("connection")).to_have_text("live", timeout=20_000)
    return page


async def value(page: Page, test_id: str) -> int:
    return int(await page.get_by_test_id(test_id).get_attribute("data-value") or 0)


async def test_a_viewer_sends_a_gift_and_the_creator_sees_it(system: System, browser: Browser, tmp_path: Path) -> None:
    system.with_demo = True
    system.settings = msgspec.structs.replace(system.settings, combo_timeout_ms=4000)  # two clicks are one streak
    system.start()
    system.open_room("r1", "bob")
    await system.grant({"alice": 1000})
    problems: list[str] = []
    creator = await open_page(browser, system, "creator", "bob", problems)
    viewer = await open_page(browser, system, "viewer", "alice", problems)
    bystander = await open_page(browser, system, "viewer", "carol", problems)
    await expect(viewer.get_by_test_id("balance")).to_have_attribute("data-value", "1000")

    await viewer.get_by_test_id("gift-heart").click()
    await viewer.get_by_test_id("send").click()
    await viewer.get_by_test_id("send").click()

    await expect(viewer.get_by_test_id("balance")).to_have_attribute("data-value", "990")
    for page in (creator, viewer, bystander):
        row = page.get_by_test_id("feed-row").filter(has_text="Heart")
        await expect(row).to_have_count(1)  # two sends, one streak, one row
        await expect(row).to_have_attribute("data-repeat-count", "2")
        await expect(row).to_have_attribute("data-repeat-end", "true", timeout=10_000)
        await expect(page.get_by_test_id("totals-coins")).to_have_attribute("data-value", "10")
    await expect(creator.get_by_test_id("creator-diamonds")).to_have_attribute("data-value", "10", timeout=15_000)

    await bystander.get_by_test_id("gift-rose").click()
    await bystander.get_by_test_id("send").click()
    await expect(bystander.get_by_test_id("toast").first).to_be_visible()  # no coins
    await bystander.get_by_test_id("get-coins").click()
    await expect(bystander.get_by_test_id("balance")).to_have_attribute("data-value", "1000", timeout=10_000)
    assert await value(creator, "totals-coins") == 10

    shots = Path(os.environ.get("SCREENSHOTS", tmp_path))
    for name, page in (("viewer", viewer), ("creator", creator)):
        await page.set_viewport_size({"width": 1280, "height": 800})
        await page.screenshot(path=shots / f"{name}.png")
    assert problems == []


async def test_a_page_finds_back_after_its_process_was_killed(system: System, browser: Browser) -> None:
    system.with_demo = True
    system.start()
    system.open_room("r1", "bob")
    await system.grant({"alice": 1000})
    problems: list[str] = []
    viewer = await open_page(browser, system, "viewer", "alice", problems)
    system.kill("web 1")
    await expect(viewer.get_by_test_id("connection")).not_to_have_text("live")
    system.start_one("web 1")
    await expect(viewer.get_by_test_id("connection")).to_have_text("live", timeout=30_000)
    await viewer.get_by_test_id("gift-rose").click()
    await viewer.get_by_test_id("send").click()
    await expect(viewer.get_by_test_id("balance")).to_have_attribute("data-value", "999")
    await expect(viewer.get_by_test_id("feed-row")).to_have_count(1)


async def test_a_sponsor_match_is_shown_as_such(system: System, browser: Browser) -> None:
    system.with_demo = True
    system.start()
    system.open_room("r1", "bob")
    await system.grant({"alice": 1000, "brand": 1000})
    problems: list[str] = []
    early = await open_page(browser, system, "viewer", "carol", problems)
    body = {"sponsor": "brand", "sponsor_name": "ACME", "title": "Doubles every rose", "budget_coins": 2}
    path, admin = "/v1/admin/rooms/r1/matches", system.token("root", "admin")
    assert system.http("POST", path, {**body, "gift_id": "rose"}, token=admin)[0] == 201
    await expect(early.get_by_test_id("match")).to_have_text("ACMEDoubles every rose0 / 2", timeout=15_000)
    viewer = await open_page(browser, system, "viewer", "alice", problems)
    await viewer.get_by_test_id("gift-rose").click()
    for used in (1, 2):
        await expect(viewer.get_by_test_id("match")).to_contain_text(f"{used - 1} / 2", timeout=15_000)
        await viewer.get_by_test_id("send").click()
    for page in (early, viewer):
        await expect(page.get_by_test_id("match")).to_have_count(0, timeout=15_000)  # used up
    assert problems == []


TWO_OF_A_REF = """async () => {
  const { SendQueue } = await import("/demo/livegift-sends.js");
  const sent = [];
  const queue = new SendQueue({ transmit: (command) => sent.push(command), onLate() {}, onChange() {} });
  queue.resume();
  const gift = { type: "gift.send", ref: "same", room: "r1", count: 1 };
  const both = ["rose", "heart"].map((gift_id) => queue.send({ ...gift, gift_id }));
  queue.onResult({ id: sent[1].id, ref: "same", status: "rejected", code: "ref_conflict" });
  queue.onResult({ id: "nobody", ref: "same", status: "accepted", coins: 7 });
  queue.onResult({ id: sent[0].id, ref: "same", status: "accepted", coins: 1 });
  const invalid = queue.send({ ...gift, ref: "{}", gift_id: "rose" });
  const known = queue.onError({ id: sent[2].id, code: "invalid", retryable: false });
  const before = queue.send({ ...gift, ref: "old", gift_id: "rose" });
  queue.onResult({ ref: "old", status: "accepted", coins: 3 });
  const results = await Promise.all([...both, invalid, before]);
  return [known, ...results.map(({ command, status, coins, code }) => [command.gift_id, status, coins ?? code])];
}"""


async def test_the_library_tells_two_gifts_of_one_ref_apart(system: System, browser: Browser) -> None:
    system.with_demo = True
    system.start()
    page = await browser.new_page()
    await page.goto(f"http://{system.address()}/demo/")
    assert await page.evaluate(TWO_OF_A_REF) == [
        True,
        ["rose", "accepted", 1],
        ["heart", "rejected", "ref_conflict"],
        ["rose", "rejected", "invalid"],
        ["rose", "accepted", 3],
    ]


RICH = 100_000_000
PICTURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><circle cx="4.5" cy="4.5" r="4" fill="#f6c"/></svg>'
)


async def test_a_large_catalogue_is_searched_on_a_phone(system: System, browser: Browser, tmp_path: Path) -> None:
    system.with_demo = True
    system.start()
    system.open_room("r1", "bob")
    await system.grant({"alice": RICH})
    rows = [{"id": f"g{i}", "coins": 1 + i, "icon": f"https://cdn.example.com/{i}.svg"} for i in range(900)]
    named = {"id": "adam", "name": "Adam\u2019s Dream", "coins": 2, "icon": "https://cdn.example.com/adam.svg"}
    catalogue = os.environ.get("CATALOGUE")  # to look at a real one
    gifts = parse_catalogue(
        await asyncio.to_thread(Path(catalogue).read_bytes) if catalogue else orjson.dumps([*rows, named])
    )
    database = Database(system.settings.database_url)
    await put_gifts(database, gifts, active=True, actor="root")
    await database.aclose()

    async def picture(route: Route) -> None:
        if route.request.url.endswith("1.svg"):
            await route.fulfill(status=404)
        else:
            await route.fulfill(body=PICTURE, content_type="image/svg+xml")

    phone = await browser.new_page(viewport={"width": 390, "height": 844}, device_scale_factor=2)
    problems: list[str] = []
    phone.on("pageerror", lambda error: problems.append(str(error)))
    await phone.route("https://cdn.example.com/**", picture)
    await wait_until(lambda: len(system.http("GET", "/v1/gifts")[1]["gifts"]) > len(gifts), "the catalogue is known")
    await phone.goto(f"http://{system.address()}/demo/viewer?room=r1&user=alice")
    await expect(phone.get_by_test_id("connection")).to_have_text("live", timeout=20_000)
    shots = Path(os.environ.get("SCREENSHOTS", tmp_path))
    await phone.screenshot(path=shots / "panel-all.png")
    await phone.get_by_test_id("gift-search").fill("adam's d")
    shown = phone.locator(".gift:visible")
    await expect(shown).to_have_count(1)
    await expect(shown).to_contain_text("Adam\u2019s Dream")
    await expect(shown.locator("img")).to_have_js_property("complete", value=True)
    await shown.click()
    await phone.get_by_test_id("gift-count").select_option("1314")
    await phone.get_by_test_id("send").click()
    row = phone.get_by_test_id("feed-row").filter(has_text="Adam")
    await expect(row).to_have_attribute("data-repeat-count", "1314")
    coins = next(gift.coins for gift in gifts if gift.name.startswith("Adam"))
    await expect(phone.get_by_test_id("balance")).to_have_attribute("data-value", str(RICH - 1314 * coins))
    await phone.screenshot(path=shots / "panel-search.png")
    await phone.get_by_test_id("gift-search").fill("nothing is called so")
    await expect(phone.locator("#gift-none")).to_be_visible()
    # The keys choose among what is shown, and no page scrolls sideways.
    await phone.get_by_test_id("gift-search").fill("")
    assert await phone.evaluate("document.documentElement.scrollWidth") <= 390
    assert problems == []


class Revoking:
    """Two operators who revoke gifts."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.asked = 0

    async def ask(self, event_id: str) -> str:
        """The correction's id, once the gift is booked."""
        self.asked += 1
        name = f"page-{self.asked}"
        body = {"id": name, "gift_event_id": event_id, "why": "a mistake"}
        token = self.system.token("root", "admin")

        def is_asked() -> bool:
            return self.system.http("POST", "/v1/admin/corrections", body, token=token)[0] in (200, 201)

        await wait_until(is_asked, "the gift is booked")
        return name

    async def revoke(self, event_id: str) -> None:
        name = await self.ask(event_id)
        path = f"/v1/admin/corrections/{name}/approve"
        assert self.system.http("POST", path, token=self.system.token("second", "admin"))[0] == 200

    async def approve_without_web(self, name: str) -> None:
        settings = self.system.settings
        store, database = await Store.connect(settings.redis_url), Database(settings.database_url)
        try:
            wallets = Wallets(store, settings.partitions, settings.ref_ttl_s)
            await decide(database, wallets, name, "second", approve=True)
        finally:
            await database.aclose()
            await store.aclose()


async def shows(pages: list[Page], gift: str, count: int, coins: int, *, revoked: bool = False) -> None:
    for page in pages:
        row = page.get_by_test_id("feed-row").filter(has_text=gift)
        await expect(row).to_have_attribute("data-repeat-count", str(count), timeout=20_000)
        await expect(row).to_have_class("feed-row revoked" if revoked else "feed-row")
        await expect(page.get_by_test_id("totals-coins")).to_have_attribute("data-value", str(coins), timeout=20_000)


async def test_revoked_gifts_leave_their_streak_or_are_struck_out(system: System, browser: Browser) -> None:
    """The first and a later send of a streak, and all of it; live, on a page that comes later, on one that rejoins."""
    system.with_demo = True
    # It goes on until the room ends.
    system.settings = msgspec.structs.replace(system.settings, combo_timeout_ms=60_000)
    system.start()
    system.open_room("r1", "bob")
    await system.grant({"alice": 2000})
    problems: list[str] = []
    creator = await open_page(browser, system, "creator", "bob", problems)
    viewer = await open_page(browser, system, "viewer", "carol", problems)
    revoking = Revoking(system)
    async with Viewer(system.address(), system.token("alice")) as alice:
        sends = [str((await alice.gift("r1", "heart", count=n))["gift_event_id"]) for n in (1, 2, 4)]
        balloon = str((await alice.gift("r1", "balloon"))["gift_event_id"])
        await shows([creator, viewer], "Heart", 7, 535)
        await revoking.revoke(sends[0])
        await shows([creator, viewer], "Heart", 6, 530)
        await revoking.revoke(sends[1])
        await shows([creator, viewer], "Heart", 4, 520)
        await revoking.revoke(balloon)
        await shows([creator, viewer], "Hot-air balloon", 1, 20, revoked=True)
        late = await open_page(browser, system, "viewer", "dave", problems)
        await shows([late], "Heart", 4, 20)
        sends.append(str((await alice.gift("r1", "heart", count=3))["gift_event_id"]))
        await shows([creator, viewer, late], "Heart", 7, 35)
        await expect(creator.get_by_test_id("open-streak")).to_contain_text("7")
        asked = await revoking.ask(sends[2])
    system.kill("web 1")
    await expect(viewer.get_by_test_id("connection")).not_to_have_text("live")
    await revoking.approve_without_web(asked)
    system.start_one("web 1")
    pages = [creator, viewer, late]
    for page in pages:
        await expect(page.get_by_test_id("connection")).to_have_text("live", timeout=30_000)
    await shows(pages, "Heart", 3, 15)
    await expect(creator.get_by_test_id("open-streak")).to_contain_text("3")
    token = system.token("bob", "creator")
    assert system.http("PATCH", "/v1/rooms/r1", {"status": "ended"}, token=token)[0] == 200
    for page in pages:
        await expect(page.get_by_test_id("feed-row").filter(has_text="Heart")).to_have_attribute(
            "data-repeat-end", "true", timeout=20_000
        )
    await revoking.revoke(sends[3])
    await shows(pages, "Heart", 3, 0, revoked=True)
    await expect(creator.get_by_test_id("creator-diamonds")).to_have_attribute("data-value", "0", timeout=20_000)
    report = await system.audit()
    assert report.passed, report.to_text()
    assert [problem for problem in problems if "ERR_CONNECTION_REFUSED" not in problem] == []
