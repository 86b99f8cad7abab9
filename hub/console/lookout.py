"""Looks at database and broker for the console: once in a while, however many watch."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncEngine

from crypto.errors import CryptoError
from hub import reading, topology
from hub.console.view import Seen
from hub.errors import HubError
from hub.ledger import Ledger
from hub.settings import Settings
from hub.situation import broker_state, situation

# Counting all that the hub holds, and asking the broker by its own program, cost something.
FRESH_S: Final = 10.0
DATABASE_S: Final = 10.0
# Whoever looks waits for it, and so does the console's end. rabbitmqctl takes a few seconds itself.
QUEUES_S: Final = 15.0


@dataclass(slots=True)
class Lookout:
    """What was seen last, until it is too old."""

    settings: Settings
    engine: AsyncEngine
    log: Ledger
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _seen: Seen | None = None
    _at: float = 0.0

    async def look(self) -> Seen:
        """What there is to see now. Raises as a database in trouble does, CertificateRefused, SettingsInvalid."""
        async with self._lock:
            if self._seen is None or time.monotonic() - self._at >= FRESH_S:
                self._seen, self._at = await self._ask(), time.monotonic()
            return self._seen

    async def _ask(self) -> Seen:
        async with asyncio.timeout(DATABASE_S), self.engine.connect() as connection:
            found = await situation(connection, self.settings, self.log)
            undelivered = await reading.undelivered(connection)
        broker, (queues, trouble) = await asyncio.gather(self._broker(), self._queues())
        return Seen(found, broker, queues, trouble, undelivered)

    async def _broker(self) -> str:
        try:
            return await broker_state(self.settings)
        except (CryptoError, OSError) as error:
            return f"not known: the hub's keys do not open ({type(error).__name__})"

    async def _queues(self) -> tuple[list[dict[str, Any]] | None, str | None]:
        try:
            ctl, vhost = self.settings.broker_ctl, self.settings.vhost
            return await asyncio.to_thread(topology.queues, ctl, vhost, QUEUES_S), None
        except HubError as error:
            return None, str(error)
        except ValueError:
            return None, "what `broker_ctl` in hub.json names does not list them"
