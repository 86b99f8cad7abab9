"""Receipts as evidence: what this node has to show of a message, to who trusts neither it nor the hub.

Receipts are kept as they come, each with its checkpoint; once there is a witnessed one they are shown under that.
Acknowledgements, other nodes' and our own, are kept once, by their digest.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Final

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection

from crypto.bundle import Evidence
from crypto.errors import CryptoError, KeyNotValid, KeyUnknown, SenderUnknown
from crypto.evidence import Established, verify_evidence
from crypto.hubkeys import HubKeys
from crypto.log import log
from crypto.policy import Policy
from crypto.proof import LogProof
from crypto.receipt import Proven
from crypto.trust import Trust, open_acknowledgement
from nodes import handovers, inbox, store
from nodes.errors import ContentNotKept, EvidenceIncomplete, MessageUnknown, ReceiptMissing
from nodes.prepared import Prepared
from nodes.proofs import best_proof
from nodes.store import Store
from schemas.control import Acknowledgement, ControlRefused, Entry, Receipts
from schemas.roster import RosterKey

_INSERT_WORD: Final = Prepared(insert(store.acknowledgement).on_conflict_do_nothing(), "digest", "signed")


@dataclass(frozen=True, slots=True)
class Word:
    """A recipient's acknowledgement: what it says, and the signed bytes."""

    said: Acknowledgement
    signed: bytes


def words(signed: Sequence[bytes], trust: Trust, proven: Sequence[Proven]) -> dict[bytes, Word]:
    """The acknowledgements that hold, by their digests. Raises SenderUnknown, KeyUnknown, KeyNotValid.

    `proven` are the entries that rest on them: what they say was on record then, though the key be revoked by now.
    """
    logged = {item.entry.evidence: item.entry.at for item in reversed(proven)}
    found = {}
    for item in signed:
        digest = sha256(item).digest()
        try:
            found[digest] = Word(open_acknowledgement(item, trust, partial(_before, logged.get(digest))), item)
        except (SenderUnknown, KeyUnknown, KeyNotValid):
            # A newer roster may know the key: the bundle is put aside until it comes.
            raise
        except (CryptoError, ControlRefused) as error:
            # One that does not hold makes its own receipts fit nothing, and no others.
            log.warning("acknowledgement_invalid", code=error.code)
    return found


def _before(logged: int | None, key: RosterKey) -> bool:
    return logged is not None and key.revoked is not None and logged <= key.revoked


def keep_words(connection: Connection, found: Mapping[bytes, Word], node: str) -> None:
    """Stores what was said to this node or by it: one acknowledgement may be for a thousand messages."""
    rows = [
        {"digest": digest, "signed": word.signed}
        for digest, word in found.items()
        if node in (word.said.sender, word.said.recipient)
    ]
    if rows:
        _INSERT_WORD.change_each(connection, rows)


async def evidence_of(box: Store, id: str, ledger: HubKeys, *, with_content: bool) -> Evidence:
    """The bundle about one sent message; it has been verified as its reader will.

    Raises MessageUnknown, ReceiptMissing, ContentNotKept, EvidenceIncomplete.
    """
    return await _convincing(box, id, await box.run(_kept, box, id, with_content), ledger)


async def evidence_of_received(box: Store, id: str, node: str, ledger: HubKeys, *, with_content: bool) -> Evidence:
    """The bundle about one message that this node received, and its own acknowledgement; verified as the other is.

    Raises MessageUnknown, ReceiptMissing, ContentNotKept, EvidenceIncomplete.
    """
    return await _convincing(box, id, await box.run(_kept_received, box, id, node, with_content), ledger)


async def _convincing(box: Store, id: str, kept: Evidence, ledger: HubKeys) -> Evidence:
    signed = await box.run(_rosters)
    kept = replace(kept, handovers=await box.run(handovers.documents))
    try:
        return await asyncio.to_thread(_with_rosters, kept, signed, Policy.of([ledger.newest], [], 0))
    except (CryptoError, ControlRefused) as error:
        raise EvidenceIncomplete(
            f"what is kept of {id} would not be believed: {error} [{error.code}]",
            f"see what became of it: seci-node show {id}",
        ) from error


def _kept(connection: Connection, box: Store, id: str, with_content: bool) -> Evidence:
    table = store.outbox.c
    row = connection.execute(
        select(table.envelope, table.receipt, table.nonce, table.body).where(table.id == id)
    ).first()
    if row is None:
        raise MessageUnknown(f"no message {id} in the outbox", "list them with `seci-node status`")
    if row.receipt is None:
        raise ReceiptMissing(f"there is no receipt of {id} yet", f"wait for it: seci-node status {id}")
    if with_content and row.nonce is None:
        raise ContentNotKept(
            f"{id} was sent by an older program, which did not keep what proves the content",
            "leave the content out; each recipient has what proves it",
        )
    answers = _answers(connection, id)
    content = box.open_body(id, row.nonce) + box.open_body(id, row.body) if with_content else None
    return Evidence(
        proofs=(best_proof(connection, row.receipt), *(proof for proof, _ in answers)),
        envelope=row.envelope,
        acknowledgements=tuple(dict.fromkeys(signed for _, signed in answers)),
        content=content,
    )


def _kept_received(connection: Connection, box: Store, id: str, node: str, with_content: bool) -> Evidence:
    row = inbox.find(connection, id)
    if row.receipt is None and row.acknowledge_at is None:
        # Or the hub gave it without this node's own word, on which alone it may rest.
        detail = f"the hub's receipt that {id} was acknowledged came to an older program, which did not keep it"
        raise ReceiptMissing(detail, "let its sender show what became of it")
    if row.receipt is None:
        detail = f"there is no receipt yet that {id} was acknowledged"
        raise ReceiptMissing(detail, f"wait for it: seci-node show {id}")
    content = inbox.content_of(box, row) if with_content and row.envelope is not None else None
    if with_content and content is None:
        detail = f"{id} was declined, or received by an older program: nothing is kept that proves its content"
        raise ContentNotKept(detail, "leave the content out; its sender has what proves it")
    proof, word = best_proof(connection, row.receipt), store.acknowledgement.c
    entry = Entry.from_bytes(Receipts.from_bytes(row.receipt).receipts[0].entry)
    signed = connection.execute(select(word.signed).where(word.digest == entry.evidence)).scalars()
    return Evidence(
        proofs=(proof,),
        envelope=row.envelope,
        stated=row.digest if row.envelope is None else None,
        acknowledgements=tuple(signed),
        content=content,
        recipient=node,
    )


def _answers(connection: Connection, id: str) -> list[tuple[LogProof, bytes]]:
    table, word = store.delivery.c, store.acknowledgement.c
    query = select(table.receipt, word.signed).join_from(
        store.delivery, store.acknowledgement, table.evidence == word.digest
    )
    rows = connection.execute(query.where(table.id == id, table.receipt.is_not(None)).order_by(table.recipient))
    return [(best_proof(connection, row.receipt), row.signed) for row in rows]


def _rosters(connection: Connection) -> dict[int, bytes]:
    table = store.roster.c
    query = select(table.version, table.signed).where(table.size.is_(None)).order_by(table.version.desc())
    return {row.version: row.signed for row in connection.execute(query)}


def _with_rosters(kept: Evidence, signed: dict[int, bytes], policy: Policy) -> Evidence:
    # The newest one will do, unless somebody's key has been renewed since.
    try:
        newest = replace(kept, rosters=tuple(signed.values())[:1])
        verify_evidence(newest, policy)
    except (SenderUnknown, KeyUnknown, KeyNotValid):
        every = replace(kept, rosters=tuple(signed.values()))
        used = _versions(verify_evidence(every, policy))
        return replace(kept, rosters=tuple(item for version, item in signed.items() if version in used))
    return newest


def _versions(found: Established) -> set[int]:
    """Of the rosters that say whose the signatures are."""
    sender = set() if found.signed is None else {found.signed.roster.version}
    return sender | {answer.roster.version for answer in found.answers}
