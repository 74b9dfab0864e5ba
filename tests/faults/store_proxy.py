"""A proxy between one process and one store: it can lead elsewhere, and be closed for several reasons."""

from tests.proxy import HOST, Proxy


class StoreProxy(Proxy):
    """A proxy that refuses connections as long as anybody wants it to."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._closed_by: set[str] = set()

    def close_for(self, reason: str) -> None:
        self._closed_by.add(reason)
        self.refuse()

    async def open_for(self, reason: str) -> None:
        self._closed_by.discard(reason)
        if not self._closed_by:
            await self.accept()

    def lead_to(self, port: int) -> None:
        """Lead to another server from now on."""
        self._server = (HOST, port)
        self.cut()
