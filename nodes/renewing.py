"""The loop that renews: looks what ends, has new keys made, asks the hub, and goes over to them (`renewal`)."""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import structlog

from crypto import expiry
from crypto.authorities import sign_held
from crypto.errors import CryptoError
from crypto.keyfile import NodeKeys, load_node_keys
from crypto.keys import SigningKey
from crypto.trust import Trust
from nodes import authorities, renewal, rosters
from nodes.link import Link
from nodes.publishing import Publication
from nodes.settings import Settings
from nodes.setup import witness_key
from nodes.signing import signed_by
from nodes.store import Store
from schemas.control import MessageType

log = structlog.get_logger()

LOOK_S: Final = 3600.0
# While something is asked for: between two looks whether it has come, and between two questions.
TICK_S: Final = 1.0
ASK_S: Final = 60.0


@dataclass
class Renewing:
    """One agent's. `trust` and `keys` are those in use; `adopt` is given the keys to go over to.

    `wanted` is what a person wants to be renewed now. `authorities` says that there are others in the folder than the
    link knows.
    """

    settings: Settings
    box: Store
    link: Link
    trust: Callable[[], Trust]
    keys: Callable[[], NodeKeys]
    adopt: Callable[[NodeKeys, SigningKey], None]
    wanted: set[str] = field(default_factory=set)
    authorities: bool = False
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    _warned: dict[str, int] = field(default_factory=dict)

    def want(self, what: Iterable[str]) -> None:
        """Renews these soon, whenever they end."""
        self.wanted |= set(what)
        self.woken.set()

    def ends(self) -> dict[str, int]:
        """When what this node has ends, ms, by its name for a sentence."""
        return renewal.ends(self.settings, self.trust())

    def pending(self) -> list[str]:
        """What is being asked for."""
        return renewal.pending(self.settings).what(self.keys())

    async def run(self) -> None:
        """Renews for ever."""
        asked = -ASK_S
        while True:
            self.woken.clear()
            waits = True
            try:
                self._begin()
                waits = asks = await self._go_on()
                waits |= not await self._tell()
                if asks and time.monotonic() - asked >= ASK_S and await self._ask():
                    asked = time.monotonic()
            except (CryptoError, OSError) as error:
                log.error("renewal_failed", error=type(error).__name__, detail=str(error)[:200])
                # Whatever was in the folder and has not been gone over to.
                self.authorities = True
                await asyncio.sleep(ASK_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.woken.wait(), TICK_S if waits else LOOK_S)
            if self.wanted:
                asked = -ASK_S

    def _begin(self) -> None:
        now = _now()
        what = renewal.due(self.settings, self.trust(), now) | self.wanted
        self._warn(now)
        if what:
            renewal.begin(self.settings, what)
        self.wanted -= what

    async def _go_on(self) -> bool:
        """Goes over to what has come. Whether something is asked for still."""
        settled = renewal.settle(self.settings, self.trust())
        state = renewal.pending(self.settings)
        if settled or self.authorities:
            self.authorities = False
            keys = load_node_keys(self.settings.home / "node.key", self.settings.secret())
            self.adopt(state.opening_too(keys), witness_key(self.settings))
        if settled:
            keys = self.keys()
            log.info("keys_renewed", signing=keys.signing.public.key_id.hex(), open=state.what(keys))
        return not state.nothing

    async def _tell(self) -> bool:
        """Tells the hub which authorities are trusted here, if it has asked. Whether it knows."""
        held = authorities.to_tell(self.settings)
        if held is None:
            return True
        if not self.link.up.is_set():
            return False
        key = self.keys().signing
        body = await signed_by(key, sign_held, held, key)
        [taken] = await self.link.publish(
            [Publication(f"authorities-{held.at}", MessageType.AUTHORITIES_HELD, False, body)]
        )
        if taken:
            authorities.told(self.settings, held)
        return bool(taken)

    async def _ask(self) -> bool:
        state = renewal.pending(self.settings)
        # Before the hub can list them: a key in the roster that this node does not know is an alarm.
        await self.box.run(rosters.remember_keys, state.own_kids())
        self.adopt(state.opening_too(self.keys()), witness_key(self.settings))
        keys = self.keys()
        # It is judged by the roster of its time: this one or a newer, however far behind the clock is.
        at = max(_now(), self.trust().roster.at)
        body = await signed_by(keys.signing, state.request, self.settings.node, keys, at)
        [taken] = await self.link.publish([Publication(f"renewal-{_now()}", MessageType.RENEWAL, False, body)])
        return bool(taken)

    def _warn(self, now: int) -> None:
        for what, end in self.ends().items():
            step = expiry.step_of(end, now)
            if step is not None and self._warned.get(what) != step:
                log.warning("expires_soon", what=what, days=step)
                self._warned[what] = step


def _now() -> int:
    return time.time_ns() // 1_000_000
