"""The ledger written to a folder for auditors, file by file and in constant memory. Format: docs/protocol.md, 10.10.

There is no state but the files: one that is there is kept, unless an entry in it has been erased. What comes
out is the same, however often it was interrupted, and the same that an export to an empty folder makes.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto.export import Kind, Manifest, entry_record, record, roster_file
from hub import leaves, rounds, tables
from hub.errors import LedgerEmpty
from hub.exportfolder import ExportFolder
from hub.ledger import head

_SNAPSHOT: Final = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


@dataclass(slots=True)
class Exported:
    """What stands in the folder now: entries, checkpoints and rosters, and of these what was written by this run."""

    size: int
    root: bytes
    files: int
    kept: int = 0
    rosters: int = 0
    erased: int = 0


async def export(
    connection: AsyncConnection, folder: ExportFolder, first: int, progress: Callable[[int, int], None]
) -> Exported:
    """Writes all entries up to the newest checkpoint, in a transaction that has done nothing yet.

    Files with none but entries before `first` are left out. Workers may be at work meanwhile. `progress` is told how
    many entries of how many are done. Raises LedgerEmpty; FileUnwritable; LedgerBroken for rows that do not fit.
    """
    await connection.execute(_SNAPSHOT)
    newest = await head(connection)
    manifest, size = folder.manifest, newest.range.size
    if not size:
        raise LedgerEmpty("the ledger has no entry yet", "provision the hub first: seci-hub provision")
    done = Exported(size, newest.range.root(), manifest.files(size))
    erased = await _erased(connection, manifest, size)
    for number in range(first // manifest.chunk, manifest.files(size)):
        name, start = manifest.file(number, size), number * manifest.chunk
        width = manifest.width(number, size)
        if number not in erased and folder.has(name):
            done.kept += 1
        else:
            folder.put(name, await _file(connection, start, start + width, done))
        progress(start + width, size)
    async for version, signed in _rosters(connection, size):
        done.rosters += 1
        if not folder.has(roster_file(version)):
            folder.put(roster_file(version), signed)
    folder.finish(size, newest.note, await _witnessed(connection, size))
    return done


async def _witnessed(connection: AsyncConnection, size: int) -> str | None:
    """Of the checkpoints up to that size the one that most witnesses have cosigned, the newest of several."""
    table, checkpoint = tables.cosignature.c, tables.ledger_checkpoint.c
    query = select(table.size).where(table.size <= size).group_by(table.size)
    most = await connection.scalar(query.order_by(func.count().desc(), table.size.desc()).limit(1))
    if most is None:
        return None
    note = await connection.scalar(select(checkpoint.note).where(checkpoint.size == most)) or ""
    return await rounds.cosigned(connection, most, note)


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
