"""The aggregator's work for sponsor matches beside booking."""

import time
from collections.abc import Iterable
from typing import cast

from livegift.features.slots import Background
from livegift.features.sponsors import booking
from livegift.features.sponsors.queries import StoredMatch
from livegift.features.sponsors.service import MatchNews, finish_matches, refresh_matches
from livegift.ledger.journal import Booked
from livegift.resources.resources import Stores
from livegift.runtime.bounds import MATCH_NEWS_PACE_S, MATCHES_REFRESH_S, SWEEP_MATCHES_S
from livegift.runtime.sweeps import Sweep


class MatchSweeps:
    """The sweeps for matches: finish what crashes and time have left, and tell rooms what has changed."""

    def __init__(self, stores: Stores) -> None:
        """Use the stores of one process."""
        self._stores = stores
        self._news = MatchNews(stores.room_events)
        self._refreshed_s = 0.0

    def background(self) -> Background:
        """Return the sweeps."""
        sweeps = (
            Sweep("matches", SWEEP_MATCHES_S, self._finish),
            Sweep("match_news", MATCH_NEWS_PACE_S, self._news.announce),
        )
        return Background(sweeps, self._on_booked)

    def _on_booked(self, booked: Booked) -> None:
        self._news.add(cast("Iterable[StoredMatch]", booked.news.get(booking.NAME, ())))

    async def _finish(self) -> None:
        self._news.add(await finish_matches(self._stores.database, self._stores.wallets))
        if time.monotonic() - self._refreshed_s >= MATCHES_REFRESH_S:
            self._refreshed_s = time.monotonic()
            await refresh_matches(self._stores.database, self._stores.room_events)
