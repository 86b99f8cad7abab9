"""The loop that renews: looks what ends, has new keys made, asks the hub, and goes over to them (`renewal`)."""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from crypto import expiry
from crypto.authorities import sign_held
from crypto.errors import CryptoError
from crypto.keyfile import NodeKeys
from crypto.keys import VerifyKey
from crypto.log import log
from crypto.trust import Trust
from nodes import authorities, renewal, rosters
from nodes.errors import NodeError
from nodes.link import Link
from nodes.publishing import Publication
from nodes.renewal import Held, Pending
from nodes.settings import Settings
from nodes.signing import beside, signed_by
from nodes.store import Store
from schemas.control import MessageType

LOOK_S: Final = 3600.0
# While something is asked for: between two looks whether it has come, and between two questions.
TICK_S: Final = 1.0
ASK_S: Final = 60.0
AGAIN_MS: Final = 86_400_000
# What wakes it.
OF_RENEWAL: Final = (MessageType.RENEWED, MessageType.AUTHORITIES)


@dataclass
class Renewing:
    """One agent's. `trust` and `keys` are those in use; `adopt` is given what to go over to.

    What is in the folder is read only when something may have changed: with a passphrase each look takes a second.

    `wanted` is what a person wants to be renewed now. `authorities` says that there are others in the folder than the
    link knows.
    """

    settings: Settings
    box: Store
    link: Link
    trust: Callable[[], Trust]
    keys: Callable[[], NodeKeys]
    adopt: Callable[[Held], None]
    wanted: set[str] = field(default_factory=set)
    authorities: bool = False
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    _warned: dict[str, int] = field(default_factory=dict)
    _held: Held | None = None
    _version: int = 0
    _stale: bool = True
    _begun: dict[str, int] = field(default_factory=dict)

    def want(self, what: Iterable[str]) -> None:
        """Renews these soon, whenever they end."""
        self.wanted |= set(what)
        self.woken.set()

    def ends(self) -> dict[str, int]:
        """When what this node has ends, ms, by its name for a sentence."""
        return renewal.ends(self.settings, self.trust())

    def pending(self) -> list[str]:
        """What is being asked for."""
        return [] if self._held is None else self._held.pending.what(self.keys())

    def hear(self, body: bytes, hub: VerifyKey) -> None:
        """Takes in what the hub, which has that key, says of its authorities; by any thread.

        Raises as `authorities.take_in`.
        """
        self.authorities |= authorities.take_in(self.settings, body, hub)

    async def run(self) -> None:
        """Renews for ever."""
        asked = -ASK_S
        while True:
            self.woken.clear()
            waits = True
            try:
                state = (await self._look()).pending
                asks, told = not state.nothing, await self._tell()
                waits = asks or not told
                if asks and time.monotonic() - asked >= ASK_S and await self._ask(state):
                    asked = time.monotonic()
            except (CryptoError, NodeError, OSError) as error:
                log.error("renewal_failed", error=type(error).__name__, detail=str(error)[:200])
                await asyncio.sleep(ASK_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S if waits else LOOK_S):
                    await self.woken.wait()
            if self.wanted:
                asked = -ASK_S

    async def _look(self) -> Held:
        now, trust, wanted = _now(), self.trust(), frozenset(self.wanted)
        self._warn(now)
        what = wanted | self._due(trust, now)
        came = renewal.Files(self.settings.home).certificate.exists()
        held = self._held
        if held is None or self._stale or came or self.authorities or trust.roster.version != self._version or what:
            # What fails on the way is looked at anew.
            self._stale, self.authorities = True, False
            self._held = held = await beside(renewal.look, self.settings.home, trust, what)
            self.adopt(held)
            if held.settled:
                kid, open_ = held.keys.signing.public.key_id.hex(), held.pending.what(held.keys)
                log.info("keys_renewed", signing=kid, open=open_)
            self._begun |= dict.fromkeys(what, now)
            self._version, self._stale = trust.roster.version, False
            self.wanted -= wanted
        return held

    def _due(self, trust: Trust, now: int) -> frozenset[str]:
        # What ends soon although it is new, as all that a CA issues in its last weeks, is not renewed again and again.
        due = renewal.due(self.settings, trust, now)
        due = frozenset(what for what in due if not 0 <= now - self._begun.get(what, -AGAIN_MS) < AGAIN_MS)
        asked = self._held is not None and self._held.pending.csr_pem is not None
        return due | {renewal.TLS} if not asked and renewal.is_behind(self.settings.home) else due

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

    async def _ask(self, state: Pending) -> bool:
        # Before the hub can list them: a key in the roster that this node does not know is an alarm.
        await self.box.run(rosters.remember_keys, state.own_kids())
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
