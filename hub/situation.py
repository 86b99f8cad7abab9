"""How the hub is: asked in one way, and shown by `seci-hub status` and on the console."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto.trust import RosterKeys
from hub import registrar, rounds, tables
from hub.broker import BrokerAddress
from hub.errors import HubError, SettingsInvalid
from hub.ledger import Ledger
from hub.overview import overview
from hub.settings import Settings
from hub.setup import ends
from hub.timestamps import LATE
from hub.watch import iso
from schemas.roster import KeyUse

REACHABLE: Final = "reachable"
_KEYS: Final = {KeyUse.SIGN: "the signing key", KeyUse.SEAL: "the encryption key", KeyUse.WITNESS: "the witness key"}


@dataclass(frozen=True, slots=True)
class Situation:
    """One look, at `at` (ms): `told` is what `seci-hub status --json` has, but for the broker.

    `ends` is when certificates of the hub and the authority end, `node_ends` when keys and certificates of the nodes
    that take part do (ms).
    """

    at: int
    told: dict[str, Any]
    ends: Mapping[str, int]
    node_ends: Mapping[str, int]


async def situation(connection: AsyncConnection, settings: Settings, log: Ledger) -> Situation:
    """What database and folder say. Raises CertificateRefused, SettingsInvalid."""
    hubs = _ends(settings)
    found = await overview(connection, log.keys)
    found["timestamps"] = with_lateness(found["timestamps"], settings)
    nodes = await node_ends(connection, log.keys)
    found["ends"], found["node_ends"] = ({what: iso(end) for what, end in each.items()} for each in (hubs, nodes))
    witnessed, table = await rounds.witnessed(connection, log), tables.ledger_checkpoint.c
    found["ledger"] |= {
        "at": iso(await connection.scalar(select(table.at).order_by(table.size.desc()).limit(1))),
        "witnessed": None if witnessed is None else witnessed.range.size,
        "vkey": log.signer.verifier.vkey(),
        "vkey_mldsa": log.second_vkey,
    }
    return Situation(time.time_ns() // 1_000_000, found, hubs, nodes)


def _ends(settings: Settings) -> dict[str, int]:
    try:
        return ends(settings.home)
    except OSError as error:
        # What is wrong with a file must not be taken for the database's doing.
        raise SettingsInvalid(
            f"{error.filename} does not read: {error.strerror}",
            "put it back from the backup, or run `seci-hub init` again, which makes what is missing",
        ) from error


async def node_ends(connection: AsyncConnection, hub: RosterKeys) -> dict[str, int]:
    """When what the nodes have ends, ms, by its name for a sentence: the newest of each kind, of those that take part.

    A node renews by itself long before: what is near its end here was asked for by nobody, or not answered.
    """
    nodes = [node for node in (await registrar.current(connection, hub)).nodes if node.active]
    table, revoked = tables.certificate.c, tables.certificate_revocation.c
    good = table.serial.not_in(select(revoked.serial))
    rows = await connection.execute(select(table.node, func.max(table.not_after)).where(good).group_by(table.node))
    certificates = {str(row[0]): int(row[1]) for row in rows}
    found = {}
    for node in nodes:
        for use, name in _KEYS.items():
            listed = [key.not_after for key in node.keys if key.use is use and key.revoked is None]
            if listed:
                found[f"{name} of {node.node}"] = max(listed)
        if node.node in certificates:
            found[f"the TLS certificate of {node.node}"] = certificates[node.node]
    return found


def with_lateness(found: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """What `timestamps.standing` says, and whether it is as the settings want it."""
    tsa = settings.tsa
    late = tsa is not None and found["unstamped_s"] > LATE * tsa.interval_s
    return {"on": tsa is not None, **found, "late": late}


async def broker_state(settings: Settings) -> str:
    """Whether the broker lets the hub in, or why not. Raises CertificateRefused, WrongPassphrase."""
    # Beside the event loop: a passphrase takes its time to open a key.
    address = await asyncio.to_thread(BrokerAddress.of, settings)
    try:
        connection = await address.connect("hub-ingest")
    except HubError as error:
        return f"unreachable: {error}"
    await connection.close()
    return REACHABLE
