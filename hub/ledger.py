"""The audit ledger: an RFC 6962 tree in PostgreSQL, appended to in batches.

`append` and `prove` run inside the caller's transaction, so that a decision and its leaf are
committed together or not at all. The tree's state is in the database: whoever holds the
advisory lock reads the head there, extends it, and writes the next signed checkpoint. Each
append first holds that head against the lock store, which is no part of the database; so who
appends does it in a transaction of `hub.pen`, which calls `begin` and `settle`.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import merkle
from crypto.cosignature import Cosigner
from crypto.errors import NoteInvalid
from crypto.handover import open_handover
from crypto.hubkeys import HubKeys, open_checkpoint
from crypto.log import log
from crypto.note import Checkpoint, NoteSigner, sign_note
from hub import rows, tables, tilestore
from hub.batch import Batch
from hub.database import fetch
from hub.errors import EntryErased, EntryUnknown, HandedOver, LockStoreUnusable
from hub.lockstore import Kept, LockStore, forked
from hub.rows import Rows
from schemas.control import Entry, Receipt
from schemas.handover import HandoverNews

# "SECI" in ASCII: the advisory lock that makes one writer at a time of any number of processes.
LOCK: Final = 0x53454349
# Letters of what an entry tells in words.
DETAIL_SIZE: Final = 300
TRIES: Final = 5
KEY_CHANGED: Final = "another key has taken the place of the hub's signing key"
# In a connection's `info`: what the transaction under way has put into the lock store.
_PROPOSED: Final = "seci_proposed"
# There, too: what the lock store said when it began.
_EARLY: Final = "seci_early"
_TAKE_TURN: Final = text("SELECT at, size, frontier, signer FROM take_turn(:key)")
_SIGNER: Final = "SELECT key FROM handover ORDER BY leaf_index DESC LIMIT 1"
_HEAD: Final = "SELECT size, frontier, note FROM ledger_checkpoint ORDER BY size DESC LIMIT 1"
_CONTENT: Final = "SELECT leaf_index, entry, salt FROM ledger_content WHERE leaf_index = ANY ($1::bigint[])"


@dataclass(frozen=True)
class Ledger:
    """Which log this is, who signs its checkpoints, and where the newest is kept apart from the database.

    `second` signs, beside `signer`, the checkpoints that witnesses are asked to cosign (`hub.rounds`). `handovers` led
    to `signer`, as nodes are told them (`hub.handing`); the nodes in `told` have them (`hub.foreword`). `leaving` is
    whose place it takes just now: both sign.
    """

    origin: str
    signer: NoteSigner
    store: LockStore
    second: Cosigner | None = None
    handovers: tuple[bytes, ...] = ()
    leaving: NoteSigner | None = None
    told: set[str] = field(default_factory=set, compare=False)

    @cached_property
    def keys(self) -> HubKeys:
        """The key of today, and those before it, each for what is of its time."""
        news = map(HandoverNews.from_bytes, self.handovers)
        return HubKeys.of(self.signer.verifier, [open_handover(item.handover) for item in news])

    @property
    def signers(self) -> tuple[NoteSigner, ...]:
        """Who signs the next checkpoint."""
        return (self.signer,) if self.leaving is None else (self.signer, self.leaving)

    @property
    def second_vkey(self) -> str | None:
        """The key of `second` as it is handed to verifiers."""
        return None if self.second is None else self.second.verifier.vkey()

    def checkpoint(self, tree: merkle.CompactRange) -> Checkpoint:
        """Of this log, with that tree."""
        return Checkpoint(self.origin, tree.size, tree.root())


@dataclass(frozen=True)
class Appended:
    """A batch in the ledger: its checkpoint (a signed note) and the receipt of each entry, in order.

    Receipts are made when they are first asked for: nobody else's turn waits for them if that is after the commit.
    """

    note: str
    make: Callable[[], tuple[Receipt, ...]]

    @cached_property
    def receipts(self) -> tuple[Receipt, ...]:
        """Of each entry, under the checkpoint."""
        return self.make()


@dataclass(frozen=True, slots=True)
class Turn:
    """This transaction's turn to write: since when, by the database's clock (ms UTC), and the tree as it was then.

    Good for one `append`; who appends again takes another turn first. Of two writers, on whatever machines, the
    later one has the later time. `signer` is the id of the key that was handed over to last; None while none was.
    """

    at: int
    range: merkle.CompactRange
    signer: bytes | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """The newest checkpoint: the compact range of the tree and the signed note."""

    range: merkle.CompactRange
    note: str


async def take_turn(connection: AsyncConnection) -> Turn:
    """Waits to be the only writer until the transaction ends."""
    return turn_of(*(await connection.execute(_TAKE_TURN, {"key": LOCK})).one())


def turn_of(at: int, size: int, frontier: bytes, signer: bytes | None) -> Turn:
    """What the database's function of the name `take_turn` said."""
    return Turn(at, _range(size, frontier), signer)


def see_signer(ledger: Ledger, signer: bytes | None) -> None:
    """Raises HandedOver unless the key of that id, or any if it is None, is the one that this ledger's signs with."""
    if signer not in (None, (ledger.leaving or ledger.signer).key.public.key_id):
        raise HandedOver(KEY_CHANGED, "repeat the command")


async def check_signer(connection: AsyncConnection, ledger: Ledger) -> None:
    """Raises HandedOver if by what is committed another key signs."""
    found = await fetch(connection, _SIGNER)
    see_signer(ledger, found[0]["key"] if found else None)


async def head(connection: AsyncConnection) -> Head:
    """The newest checkpoint; of the empty tree, the note is empty."""
    found = await fetch(connection, _HEAD)
    return _head(*found[0]) if found else Head(merkle.CompactRange(0, ()), "")


async def covering(connection: AsyncConnection, index: int) -> Head:
    """The first checkpoint that covers an entry, which there is."""
    columns = tables.ledger_checkpoint.c
    query = select(columns.size, columns.frontier, columns.note).where(columns.size > index)
    return _head(*(await connection.execute(query.order_by(columns.size).limit(1))).one())


def _head(size: int, frontier: bytes, note: str) -> Head:
    return Head(_range(size, frontier), note)


def _range(size: int, frontier: bytes) -> merkle.CompactRange:
    return merkle.CompactRange(size, tuple(frontier[start : start + 32] for start in range(0, len(frontier), 32)))


async def append(
    connection: AsyncConnection, ledger: Ledger, turn: Turn, entries: Sequence[Entry], beside: Rows | None = None
) -> Appended:
    """Adds entries (at least one) and signs a checkpoint over them; inserts the rows `beside` with them.

    The lock store is asked before anything is signed, and written while the database works. What is signed leaves
    this only once the database has taken all. Raises HandedOver, LedgerBehind, LedgerForked, LockStoreUnusable: then
    the transaction must not be committed.
    """
    see_signer(ledger, turn.signer)
    old = turn.range
    mine = _proposed(connection)
    # Nothing of this transaction is committed yet: it is still what was before it that the database may go back to.
    before = ledger.checkpoint(old) if mine is None else mine.before
    standing = mine or await _standing(connection, ledger, before)
    batch, found = Batch(old, entries), dict(beside or {})
    async with _proposing(connection, ledger, before, standing) as propose:

        def sign() -> str:
            batch.grow()
            checkpoint = ledger.checkpoint(batch.tree)
            propose(checkpoint)
            return sign_note(checkpoint.text(), *ledger.signers)

        # Many are copied, and the tree is signed meanwhile; few are inserted with all the rest.
        if len(entries) >= rows.MANY:
            note = await rows.copy_content(connection, batch.content, sign)
        else:
            found["ledger_content"] = batch.content()
            note = sign()
        await _insert(connection, ledger.checkpoint(batch.tree), note, batch, found)
        return Appended(note, batch.receipts)


async def begin(connection: AsyncConnection, ledger: Ledger) -> None:
    """To be run while the database begins the transaction: looks into the lock store early, if it can be read."""
    connection.info.pop(_PROPOSED, None)
    try:
        connection.info[_EARLY] = ledger.store.read()
    except (LockStoreUnusable, OSError):
        connection.info.pop(_EARLY, None)  # `append` looks again, and says what is wrong


def settle(connection: AsyncConnection, ledger: Ledger) -> None:
    """To be called after the commit and before anything of it is published. Raises LockStoreUnusable, OSError."""
    connection.info.pop(_EARLY, None)
    proposal = connection.info.pop(_PROPOSED, None)
    if proposal is not None:
        ledger.store.confirm(proposal.newest)


async def check(connection: AsyncConnection, ledger: Ledger) -> Head:
    """The newest checkpoint, held against the lock store, in a transaction that has taken its turn and not appended.

    Raises HandedOver, LedgerBehind, LedgerForked, LockStoreUnusable.
    """
    await check_signer(connection, ledger)
    found = await head(connection)
    newest = ledger.checkpoint(found.range)
    await _standing(connection, ledger, newest)
    ledger.store.confirm(newest)
    return found


async def _insert(connection: AsyncConnection, checkpoint: Checkpoint, note: str, batch: Batch, found: Rows) -> None:
    """Inserts the checkpoint of the batch's tree, the batch's leaves and subtrees, and the rows found."""
    row = (checkpoint.size, checkpoint.root, b"".join(batch.tree.hashes), note, time.time_ns() // 1_000_000)
    found = {**found, "ledger_subtree": batch.subtrees(), "ledger_checkpoint": [row]}
    await rows.insert_with_leaves(connection, found, batch.old.size, batch.leaves)


@asynccontextmanager
async def _proposing(
    connection: AsyncConnection, ledger: Ledger, before: Checkpoint, standing: Kept
) -> AsyncIterator[Callable[[Checkpoint], None]]:
    """Gives what puts a checkpoint into the lock store while the block goes on; it is there when the block has ended.

    If this is cancelled, the thread may write later than another process whose turn it is by then: it finds something
    else than `standing` and leaves it, or it leaves a proposal that never was.
    """
    proposal, swapping = Kept(before, before, committed=False), asyncio.get_running_loop().create_future()

    def propose(checkpoint: Checkpoint) -> None:
        nonlocal proposal, swapping
        proposal = Kept(before, checkpoint, committed=False)
        swapping = asyncio.get_running_loop().run_in_executor(None, ledger.store.swap, standing, proposal)

    try:
        yield propose
    except BaseException:
        # It is done before the turn is given up; should it fail, too, that must not hide why.
        if proposal.newest != before:
            await asyncio.gather(swapping, return_exceptions=True)
        raise
    swapped = await swapping
    for _ in range(TRIES):
        if swapped:
            break
        again = _proposed(connection) is not None
        found = ledger.store.read() if again else await _standing(connection, ledger, before)
        swapped = await asyncio.to_thread(ledger.store.swap, found, proposal)
    if not swapped:
        raise LockStoreUnusable(
            f"the lock store {ledger.store.path} is written by somebody else, too",
            "give each database a hub's folder, and so a lock store, of its own",
        )
    connection.info[_PROPOSED] = proposal


def _proposed(connection: AsyncConnection) -> Kept | None:
    """What the transaction under way has put into the lock store, if it has appended already."""
    proposal: Kept | None = connection.info.get(_PROPOSED)
    return proposal


async def _standing(connection: AsyncConnection, ledger: Ledger, newest: Checkpoint) -> Kept:
    """What the lock store says, the database's committed head being `newest`. Raises LedgerBehind, LedgerForked."""
    early: Kept | None = connection.info.pop(_EARLY, None)
    if early is not None and early.newest == newest:
        # If it says something else by now, `swap` finds out.
        return early
    kept = ledger.store.read()
    if not kept.is_ahead(newest):
        return kept
    # The hub's folder was restored, or a worker that froze in an append wrote late. The database is right if it has
    # what the store knows, and if what it has beyond that is signed by us: we sign nothing but what extends.
    known, row = kept.certain, tables.ledger_checkpoint.c
    root = await connection.scalar(select(row.root).where(row.size == known.size)) if known.size else known.root
    note = await connection.scalar(select(row.note).where(row.size == newest.size))
    if root != known.root or not _is_signed(note, newest, ledger):
        raise forked(known.size)
    log.warning("lock_store_was_behind", entries=newest.size - known.size)
    ledger.store.begin(newest)
    return ledger.store.read()


def _is_signed(note: str | None, checkpoint: Checkpoint, ledger: Ledger) -> bool:
    try:
        return open_checkpoint(note or "", ledger.keys) == checkpoint
    except NoteInvalid:
        return False


async def prove(connection: AsyncConnection, ledger: Ledger, indices: Sequence[int]) -> Appended:
    """Receipts of entries recorded earlier, under the newest checkpoint.

    Raises EntryErased, EntryUnknown; and as `append`.
    """
    tree = await check(connection, ledger) if _proposed(connection) is None else await head(connection)
    return await prove_under(connection, tree, indices)


async def prove_under(connection: AsyncConnection, tree: Head, indices: Sequence[int]) -> Appended:
    """Receipts of entries under a checkpoint that covers them; `check` must have seen it, or a later one.

    Raises EntryErased, EntryUnknown.
    """
    found = {index: (entry, salt) for index, entry, salt in await fetch(connection, _CONTENT, list(indices))}
    for index in indices:
        if index not in found:
            raise await missing(connection, index)
    proofs = await tilestore.inclusion(connection, set(indices), tree.range.size)
    receipts = tuple(Receipt(index, *found[index], proofs[index]) for index in indices)
    return Appended(tree.note, lambda: receipts)


async def missing(connection: AsyncConnection, index: int) -> EntryErased | EntryUnknown:
    """Why there is no content of this entry."""
    table = tables.erasure.c
    by = await connection.scalar(select(table.erased_by).where(table.leaf_index == index))
    if by is None:
        return EntryUnknown(f"the ledger has no entry {index}", "give indices as `seci-hub trace` shows them")
    return EntryErased(
        f"entry {index} was erased, as entry {by} says; its leaf is all that is left",
        "look for it in evidence that its sender has kept, or in an earlier export",
    )


def evidence(data: bytes) -> bytes:
    """SHA-256 of the bytes that a decision rests on. 32 bytes."""
    return hashlib.sha256(data).digest()
