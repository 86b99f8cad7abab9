"""The ledger written to a folder for auditors, file by file and in constant memory. Format: docs/protocol.md, 10.10.

There is no state but the files: one that is there is kept, unless an entry in it has been erased. What comes
out is the same, however often it was interrupted, and the same that an export to an empty folder makes.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto.errors import NoteInvalid, TileInvalid
from crypto.export import Kind, Manifest, entry_record, handover_file, record, roster_file, stamp_file, stamped_file
from crypto.hubkeys import open_checkpoint
from crypto.note import Note
from hub import leaves, rounds, tables, tilestore
from hub.errors import LedgerEmpty, NothingWitnessed
from hub.exportfolder import ExportFolder
from hub.ledger import Head, Ledger, covering, head
from schemas.handover import HandoverNews

_LATER: Final = "run it again in a minute or two, or without --witnessed"
_SNAPSHOT: Final = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


@dataclass(slots=True)
class Exported:
    """What the checkpoint in the folder covers, and of the files of entries: which stand there now, and why."""

    size: int
    root: bytes
    witnessed: int = 0
    """Entries under the checkpoint in `witnessed`."""
    files: int = 0
    kept: int = 0
    """Of `files`: those that were there before."""
    left_out: int = 0
    rosters: int = 0
    handovers: int = 0
    timestamps: int = 0
    erased: int = 0
    """Entries without content in the files that this run wrote."""


async def export(
    connection: AsyncConnection,
    folder: ExportFolder,
    first: int,
    progress: Callable[[int, int], None],
    log: Ledger,
    *,
    only_witnessed: bool = False,
) -> Exported:
    """Writes all entries up to the newest checkpoint, in a transaction that has done nothing yet.

    With `only_witnessed`, up to the newest one that a quorum has cosigned. Files with none but entries before
    `first` are left out, unless the folder has them. Workers may be at work meanwhile. `progress` is told how many
    entries of how many are done. Raises LedgerEmpty, NothingWitnessed; FileUnwritable; LedgerBroken for rows that do
    not fit.
    """
    await connection.execute(_SNAPSHOT)
    newest = await _under_quorum(connection, folder, log) if only_witnessed else await head(connection)
    manifest, size = folder.manifest, newest.range.size
    if not size:
        raise LedgerEmpty("the ledger has no entry yet", "provision the hub first: seci-hub provision")
    done, held = Exported(size, newest.range.root()), folder.numbers()
    erased = await _erased(connection, manifest, size)
    for number in range(manifest.files(size)):
        name, start = manifest.file(number, size), number * manifest.chunk
        width = manifest.width(number, size)
        if number < first // manifest.chunk and number not in held:
            done.left_out += 1
            continue
        done.files += 1
        if number not in erased and folder.has(name):
            done.kept += 1
        else:
            folder.put(name, await _file(connection, start, start + width, done))
        progress(start + width, size)
    async for version, signed in _rosters(connection, size):
        done.rosters += 1
        if not folder.has(roster_file(version)):
            folder.put(roster_file(version), signed)
    for index, signed in await _handovers(connection, size):
        done.handovers += 1
        if not folder.has(handover_file(index)):
            folder.put(handover_file(index), signed)
    await _put_timestamps(connection, folder, done)
    witnessed = newest if only_witnessed else await _most_cosigned(connection, size)
    note = "" if witnessed is None else await rounds.cosigned(connection, witnessed.range.size, witnessed.note)
    done.witnessed = 0 if witnessed is None else witnessed.range.size
    if not only_witnessed and (fuller := await _fuller(connection, folder, log, size, note)):
        done.witnessed, note = fuller, ""
    folder.finish(size, newest.note, note or None)
    return done


async def _under_quorum(connection: AsyncConnection, folder: ExportFolder, log: Ledger) -> Head:
    newest = await rounds.witnessed(connection, log)
    if newest is None:
        raise NothingWitnessed("no checkpoint of the ledger has the cosignatures of a quorum", _LATER)
    if newest.range.size < folder.published:
        words = f"the export in {folder.path} has {folder.published} entries already, and a quorum has cosigned only "
        raise NothingWitnessed(f"{words}the first {newest.range.size}", _LATER)
    table = tables.erasure.c
    by = await connection.scalar(select(func.max(table.erased_by)).where(table.leaf_index < newest.range.size))
    if by is not None and by >= newest.range.size:
        # Without it, the hole that it explains would be a fault.
        raise NothingWitnessed(f"the erasure that entry {by} tells of is not cosigned by a quorum yet", _LATER)
    return newest


async def _most_cosigned(connection: AsyncConnection, size: int) -> Head | None:
    """Of the checkpoints up to that size the one that most witnesses have cosigned, the newest of several."""
    table = tables.cosignature.c
    query = select(table.size).where(table.size <= size).group_by(table.size)
    most = await connection.scalar(query.order_by(func.count().desc(), table.size.desc()).limit(1))
    return None if most is None else await covering(connection, most - 1)


async def _fuller(connection: AsyncConnection, folder: ExportFolder, log: Ledger, size: int, note: str) -> int:
    """How many entries `witnessed` in the folder covers if it is to stay, or 0.

    It stays if more have cosigned it than `note`, which may be all that the database has left of the cosignatures; but
    not once a quorum has cosigned more of the ledger, or whoever is content with a quorum would wait for one that is
    away.
    """
    there = folder.witnessed
    if there is None or _cosignatures(there, log) <= _cosignatures(note, log):
        return 0
    try:
        found = open_checkpoint(there, log.keys)
        if not 0 < found.size <= size or await tilestore.root_at(connection, found.size) != found.root:
            return 0
    except (NoteInvalid, TileInvalid):
        return 0
    newer = await rounds.witnessed(connection, log)
    return found.size if newer is None or newer.range.size <= found.size else 0


def _cosignatures(note: str, log: Ledger) -> int:
    try:
        return sum(signature.name != log.origin for signature in Note.parse(note).signatures)
    except NoteInvalid:
        return 0


async def _erased(connection: AsyncConnection, manifest: Manifest, size: int) -> set[int]:
    """The numbers of the files in which an entry's content is erased."""
    leaf, content = tables.ledger_leaf, tables.ledger_content
    number = (leaf.c.leaf_index // manifest.chunk).label("number")
    joined = leaf.outerjoin(content, leaf.c.leaf_index == content.c.leaf_index)
    query = select(number).select_from(joined).where(content.c.leaf_index.is_(None), leaf.c.leaf_index < size)
    return set((await connection.execute(query.group_by(number))).scalars())


async def _file(connection: AsyncConnection, start: int, end: int, done: Exported) -> list[bytes]:
    """The records of the entries from `start` to `end`, and the checkpoints over them."""
    notes = await _notes(connection, start, end)
    found: list[bytes] = []
    for size, leaf in enumerate(await leaves.read(connection, start, end), start + 1):
        if leaf.salt is None or leaf.entry is None:
            done.erased += 1
            found.append(record(Kind.LEAF, leaf.hash))
        else:
            found.append(entry_record(leaf.salt, leaf.entry))
        if size in notes:
            found.append(record(Kind.CHECKPOINT, notes[size].encode()))
    return found


async def _notes(connection: AsyncConnection, start: int, end: int) -> dict[int, str]:
    table = tables.ledger_checkpoint.c
    rows = await connection.execute(select(table.size, table.note).where(table.size > start, table.size <= end))
    return {row.size: row.note for row in rows}


async def _rosters(connection: AsyncConnection, size: int) -> AsyncIterator[tuple[int, bytes]]:
    """Each roster of these entries, one by one: a roster of a thousand nodes has half a megabyte."""
    table = tables.roster.c
    last = await connection.scalar(select(func.max(table.version)).where(table.leaf_index < size)) or 0
    for version in range(1, last + 1):
        signed = await connection.scalar(select(table.signed).where(table.version == version))
        if signed is not None:
            yield version, signed


async def _handovers(connection: AsyncConnection, size: int) -> list[tuple[int, bytes]]:
    table = tables.handover.c
    query = select(table.leaf_index, table.news).where(table.leaf_index < size).order_by(table.leaf_index)
    return [(row.leaf_index, HandoverNews.from_bytes(row.news).handover) for row in await connection.execute(query)]


async def _put_timestamps(connection: AsyncConnection, folder: ExportFolder, done: Exported) -> None:
    """Each TSA's answer over a checkpoint of these entries, and that checkpoint beside it."""
    table, note = tables.timestamps.c, tables.ledger_checkpoint.c
    places = (await connection.execute(select(table.size, table.place).where(table.size <= done.size))).all()
    for size, place in places:
        done.timestamps += 1
        if not folder.has(stamped_file(size)):
            found = await connection.scalar(select(note.note).where(note.size == size)) or ""
            folder.put(stamped_file(size), found.encode())
        # Behind what it is of: an auditor who has the answer has that, too.
        if not folder.has(stamp_file(size, place)):
            response = await connection.scalar(select(table.response).where(table.size == size, table.place == place))
            folder.put(stamp_file(size, place), response or b"")
