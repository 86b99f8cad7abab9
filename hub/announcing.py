"""The nodes are told of the hub's certification authorities, and what they say of theirs is kept; beside the main loop.

Each worker tells all nodes at its start, and again whenever there are others. A node that is away finds it in its
inbox. A node answers what it trusts: when all have a certificate of the newest authority, the old one can go.
"""

import asyncio
import hashlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from crypto.authorities import sign_authorities
from crypto.errors import CryptoError
from crypto.keys import SigningKey
from crypto.log import log
from crypto.trust import open_roster
from hub import authorities, registrar, tables
from hub.broker import BrokerAddress
from hub.dispatch import Dispatcher
from hub.errors import HubError
from hub.foreword import Foreword
from hub.held import hold
from hub.ledger import Ledger
from hub.publication import Publication
from hub.settings import Settings
from hub.topology import HUB_USERS
from schemas.authorities import Authorities, AuthoritiesHeld
from schemas.control import MessageType

LOOK_S: Final = 1.0


def news(home: Path, hub: SigningKey) -> bytes:
    """What all nodes are told, signed. Raises CertificateRefused, OSError, HsmUnavailable."""
    return sign_authorities(authorities.known(home).news(), hub)


def publication(node: str, body: bytes) -> Publication:
    """What one is told."""
    return Publication(node, MessageType.AUTHORITIES, False, f"authorities-{hashlib.sha256(body).hexdigest()}", body)


async def announce(settings: Settings, broker: BrokerAddress, engine: AsyncEngine, ledger: Ledger) -> None:
    """Tells the nodes for ever, and has this worker itself go with the times. Raises on trouble; then begin again."""
    dispatcher, hub = Dispatcher(broker, foreword=Foreword(ledger)), ledger.signer.key
    version, nodes = 0, set[str]()
    said: Authorities | None = None
    told, body, shown = set[str](), b"", b""
    try:
        while True:
            if (files := _files(settings.home)) != shown and _goes_with(broker, settings):
                shown = files
            async with engine.connect() as connection:
                signed = await registrar.newest(connection, version)
            if signed is not None:
                roster = open_roster(signed, ledger.keys)
                version, nodes = roster.version, {node.node for node in roster.nodes if node.active}
            if (now := authorities.known(settings.home).news()) != said:
                said, told, body = now, set(), sign_authorities(now, hub)
            if new := sorted(nodes - told):
                untaken = await dispatcher.publish([publication(node, body) for node in new])
                if untaken:
                    async with engine.begin() as connection:
                        await hold(connection, untaken, time.time_ns() // 1_000_000)
                told |= set(new)
                log.info("authorities_announced", nodes=len(new))
            await asyncio.sleep(LOOK_S)
    finally:
        await dispatcher.close()


def _goes_with(broker: BrokerAddress, settings: Settings) -> bool:
    try:
        # With the secret of today.
        broker.reload(Settings.stored(settings.home))
    except (CryptoError, HubError, OSError) as error:
        # They are put in place one after another, just now; what is in use goes on to be.
        log.warning("certificates_unread", error=type(error).__name__)
        return False
    return True


def _files(home: Path) -> bytes:
    files = [home / "ca.pem", *(home / f"{user}.pem" for user in HUB_USERS)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).digest()


async def keep(connection: AsyncConnection, held: AuthoritiesHeld) -> None:
    """Keeps what a node says, unless it has said something since."""
    table = tables.authorities_held
    row = {"at": held.at, "authorities": list(held.authorities), "issuer": held.issuer}
    said = insert(table).values(node=held.node, **row)
    later = table.c.at < said.excluded.at
    await connection.execute(said.on_conflict_do_update(index_elements=[table.c.node], set_=row, where=later))


async def kept(connection: AsyncConnection, nodes: Iterable[str]) -> dict[str, AuthoritiesHeld | None]:
    """What each of these nodes said last."""
    rows = (await connection.execute(select(tables.authorities_held))).all()
    said = {
        row.node: AuthoritiesHeld(node=row.node, at=row.at, authorities=tuple(row.authorities), issuer=row.issuer)
        for row in rows
    }
    return {node: said.get(node) for node in sorted(nodes)}
