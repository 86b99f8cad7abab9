"""Another key takes the place of the hub's signing key: files of the home and one transaction, which decides.

    hub.key            K                   -> `prepare`   hub.next.key: the new one; it signs nothing yet
    hub.key, hub.next.key                  -> `roll`      the handover is an entry: committed, it is done
    hub.key            the new one

The database says which key signs. A worker of the old one finds out when it takes its turn, and can commit nothing; it
puts the files in their places (`take_over`), whoever was killed before doing it, and begins anew.

hub.handovers   those that led to today's key, as nodes are told them; a copy of what the database has
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import keyfile
from crypto.handover import detail_of, open_handover, sign_handover
from crypto.hsm import Token, generate_ed25519
from crypto.keyfile import Secret, sync_folder, write_private
from crypto.keys import SigningKey
from crypto.note import NoteSigner
from hub import ledger, registrar, rounds, rows, tables
from hub.errors import HubKeyMissing, SettingsInvalid
from hub.ledger import Ledger
from schemas import cbor
from schemas.control import Entry, Event
from schemas.handover import Handover, HandoverNews
from schemas.participants import CENTRE

KEY: Final = "hub.key"
NEXT: Final = "hub.next.key"
FILE: Final = "hub.handovers"


def new_key(token: Token | None) -> SigningKey:
    """A fresh signing key of a hub, in that token if one is given. Raises HsmUnavailable."""
    # Checkpoints are signed with Ed25519 (C2SP signed-note), also in a token. A name of its own: what an attempt that
    # was cut off left in the token is nobody's key.
    return SigningKey.generate() if token is None else SigningKey(generate_ed25519(token, f"seci-hub-{token_hex(4)}"))


def prepare(home: Path, secret: Secret, token: Token | None) -> SigningKey:
    """The key that is to take over next, made if there is none yet; where today's is in a token, so is this one.

    Raises HsmUnavailable, KeyFileRefused, WrongPassphrase, OSError.
    """
    with _alone(home):
        if not (home / NEXT).exists():
            reference = keyfile.load_signing_key(home / KEY, secret).reference
            there = token or (None if reference is None else reference.token)
            keyfile.save_signing_key(home / NEXT, new_key(there), secret)
        return keyfile.load_signing_key(home / NEXT, secret)


def prepared(home: Path, secret: Secret) -> SigningKey | None:
    """The key that is to take over next, if one was made. Raises KeyFileRefused, WrongPassphrase."""
    return keyfile.load_signing_key(home / NEXT, secret) if (home / NEXT).exists() else None


def news_in(home: Path) -> tuple[bytes, ...]:
    """The handovers that the home knows of, the oldest first. Raises SettingsInvalid, OSError."""
    file = home / FILE
    try:
        found = cbor.decode(file.read_bytes()) if file.exists() else []
    except cbor.EncodingRefused as error:
        raise SettingsInvalid(f"{file} is damaged", "take it away, and run `seci-hub hub-key show`") from error
    return tuple(found)


async def roll(connection: AsyncConnection, log: Ledger, new: SigningKey) -> None:
    """Hands over to `new`, in the caller's transaction. The caller then calls `take_over`.

    The entry is the first that the new key signs for, and the old one the last time; behind it comes a roster by the
    new key, so that who joins from now on needs none by the old one. Raises SettingsInvalid, HsmUnavailable; as
    `ledger.append`.
    """
    turn = await ledger.take_turn(connection)
    before = await registrar.current(connection, log.keys)
    if not before.version:
        raise SettingsInvalid("there is no roster yet", "run `seci-hub provision`")
    old = log.signer.key
    handover = Handover(
        origin=log.origin,
        old=old.public.public_bytes(),
        new=new.public.public_bytes(),
        size=turn.range.size,
        root=turn.range.root(),
        roster=before.version,
        at=turn.at,
    )
    signed = sign_handover(handover, old, new)
    # What no node would take must not be on record.
    detail = detail_of(open_handover(signed))
    entry = Entry(event=Event.HANDOVER, at=turn.at, node=CENTRE, evidence=ledger.evidence(signed), detail=detail)
    heir = replace(log, signer=NoteSigner(log.origin, new), leaving=log.signer)
    appended = await ledger.append(connection, heir, turn, [entry])
    news = HandoverNews(handover=signed, receipt=appended.receipts[0], checkpoint=appended.note).to_bytes()
    row = (handover.size, turn.at, new.public.key_id, news)
    await rows.insert(connection, {tables.handover.name: [row]})
    heir = replace(heir, leaving=None, handovers=(*log.handovers, news))
    # Who is behind it is asked to cosign just this tree, before any other.
    await rounds.begin(connection, heir, await ledger.covering(connection, handover.size))
    await registrar.publish_roster(connection, heir, before.nodes, new)


async def take_over(connection: AsyncConnection, home: Path, secret: Secret) -> bool:
    """Puts the key that signs by now in its place, wherever it was left off. Whether anything was to be done.

    Raises HubKeyMissing if it is nowhere; KeyFileRefused, WrongPassphrase, OSError.
    """
    table = tables.handover.c
    found = (await connection.execute(select(table.key, table.news).order_by(table.leaf_index))).all()
    if not found:
        return False
    wanted, copy = found[-1].key, cbor.encode([row.news for row in found])
    with _alone(home):
        changed = not (home / FILE).exists() or (home / FILE).read_bytes() != copy
        is_there = _is(home / KEY, secret, wanted)
        if not is_there and not _is(home / NEXT, secret, wanted):
            raise HubKeyMissing(
                f"the ledger was handed over to key {wanted.hex()}, which is neither {KEY} nor {NEXT}",
                "restore the hub's folder from a backup that was made after `seci-hub hub-key prepare`",
            )
        if changed:
            write_private(home / FILE, copy)
        if not is_there:
            # The old key is gone by this.
            (home / NEXT).replace(home / KEY)
            sync_folder(home)
        return changed or not is_there


def _is(file: Path, secret: Secret, key: bytes) -> bool:
    return file.exists() and keyfile.load_signing_key(file, secret).public.key_id == key


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
