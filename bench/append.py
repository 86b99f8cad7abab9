"""The ledger by itself: how fast it takes entries, beside a bare COPY of the same rows, and what a proof costs.

Ours is the hub's own append, as a busy worker calls it: its turn, salts, leaves, tree, signed checkpoint, lock store
and commit. Receipts are not part of it: a worker makes them when its turn is over (`receipt_us`, of each). Beside it
the rows that this left in `ledger_leaf` and `ledger_content` are copied into empty tables of the same form, over the
same kind of connection, in transactions of as many, each committed before the next begins, with nothing computed and
nothing kept elsewhere. So both have as many commits, which are as durable. The two take turns, in one process with a
worker's event loop, connections and collector of garbage. Proofs are of random entries, one by one, as when a message
comes again, once the ledger has its entries. At the end it is exported, and verified as an auditor does it
(`recompute`).
"""

import gc
import os
import random
import time
from collections.abc import Sequence
from itertools import cycle, islice, permutations, starmap
from pathlib import Path
from statistics import median
from typing import Any, Final

import uvloop
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from bench import recompute
from bench.busy import look, others_between
from bench.figure import Figure, Target, most
from bench.history import accepted
from bench.place import Place, Route
from deploy.local.instance import say
from hub import archive, ledger
from hub.database import WORKER, driver_of, engine_of
from hub.ledger import Appended, Ledger
from hub.pen import Pen
from hub.settings import Settings
from hub.setup import ledger_of
from schemas.control import Entry
from schemas.header import new_id

# Entries in one transaction: what a worker writes when a queue is full.
BATCH: Final = 400
ROUND: Final = 40 * BATCH
ROUNDS: Final = 5
PROOFS: Final = 300
APPEND: Final = Target(0.5)
PROOF_MS: Final = 5.0
_TABLES: Final = {
    "ledger_leaf": ("leaf_index", "hash"),
    "ledger_content": ("leaf_index", "event", "at", "salt", "entry"),
}


def measure(place: Place, entries: int) -> list[Figure]:
    """So many entries must be in the ledger before proofs are made; they are appended if they are not yet."""
    postgres = place.exchange.services.postgres
    for name in _TABLES:
        postgres.run_sql(f"CREATE TABLE bare_{name} (LIKE {name} INCLUDING ALL); GRANT ALL ON bare_{name} TO seci_hub")
    # As in a worker (hub/cli.py): what was there before is not looked through again and again.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    try:
        return uvloop.run(_measure(place, entries))
    finally:
        for name in _TABLES:
            postgres.run_sql(f"DROP TABLE bare_{name}")


async def _measure(place: Place, entries: int) -> list[Figure]:
    settings = Settings.load(place.exchange.hub_home)
    log, engine = ledger_of(settings), engine_of(settings.database_url, f"{WORKER} {os.getpid()}")
    try:
        rates, others = [], []
        for number in range(ROUNDS):
            before = look(place.exchange.folder)
            rates.append(await _round(engine, log, place.exchange.nodes))
            others.append(others_between(before, look(place.exchange.folder)))
            say(f"  round {number + 1}/{ROUNDS}: append {rates[-1][0]:.0f}/s, copy {rates[-1][1]:.0f}/s")
        size = await _fill(engine, log, place.exchange.nodes, entries)
        proof_ms, details = await _proofs(engine, log, size)
        verified = await recompute.figure(engine, log, place.exchange.folder)
    finally:
        await engine.dispose()
    ours, beside, receipt = (median(found[which] for found in rates) for which in (0, 1, 2))
    ratio = median(mine / bare for mine, bare, _ in rates)
    note = f"{BATCH} entries a transaction, beside a bare COPY of their rows"
    return [
        Figure(
            *("ledger_append_per_s", "entries/s", ours, beside, ratio, APPEND, note, most(others)),
            details={"receipt_us": round(receipt, 2)},
        ),
        Figure(
            *("proof_cpu", "ms", proof_ms, PROOF_MS, proof_ms / PROOF_MS, Target(1.0, at_most=True)),
            note=f"of processor time for a proof among {size} entries, beside the most it may take",
            details=details,
        ),
        verified,
    ]


async def _round(engine: AsyncEngine, log: Ledger, nodes: Sequence[str]) -> tuple[float, float, float]:
    """Entries per second: appended, and their rows copied; and what a receipt takes, in us."""
    batches, pen = [_entries(nodes, BATCH) for _ in range(ROUND // BATCH)], Pen(engine, log)
    # No worker has sixteen thousand entries at hand that are looked through for garbage while it appends.
    gc.freeze()
    firsts, ours, receipts = [], 0.0, 0.0
    for batch in batches:
        begin = time.perf_counter()
        appended = await _append(pen, log, batch)
        committed = time.perf_counter()
        firsts.append(appended.receipts[0].index)
        ours, receipts = ours + committed - begin, receipts + time.perf_counter() - committed
    await pen.close()
    rows = {name: await _rows(engine, name, min(firsts)) for name in _TABLES}
    begin = time.perf_counter()
    for start in range(0, ROUND, BATCH):
        async with engine.begin() as connection:
            driver = await driver_of(connection)
            # The driver begins no transaction by itself: without a statement each COPY would be one.
            await connection.execute(text("SELECT"))
            for name, columns in _TABLES.items():
                part = rows[name][start : start + BATCH]
                await driver.copy_records_to_table(f"bare_{name}", columns=columns, records=part)
    return ROUND / ours, ROUND / (time.perf_counter() - begin), receipts * 1e6 / ROUND


async def _append(pen: Pen, log: Ledger, entries: list[Entry]) -> Appended:
    async with pen.writing() as connection:
        turn, _ = await archive.take_turn_seeing(connection, [])
        return await ledger.append(connection, log, turn, entries)


async def _rows(engine: AsyncEngine, name: str, first: int) -> list[tuple[Any, ...]]:
    query = f"SELECT {', '.join(_TABLES[name])} FROM {name} WHERE leaf_index >= :first ORDER BY leaf_index"  # noqa: S608 ours
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(query), {"first": first})]


async def _fill(engine: AsyncEngine, log: Ledger, nodes: Sequence[str], entries: int) -> int:
    """Appends what is missing; how many entries there are."""
    async with engine.connect() as connection:
        size = (await ledger.head(connection)).range.size
    say(f"  a proof among {max(size, entries)} entries ...")
    pen = Pen(engine, log)
    while size < entries:
        size = (await _append(pen, log, _entries(nodes, 1000))).receipts[-1].index + 1
    await pen.close()
    return size


async def _proofs(engine: AsyncEngine, log: Ledger, size: int) -> tuple[float, dict[str, float]]:
    """Milliseconds of processor time for one proof, the database's part included; and the parts."""
    chance = random.Random(size)
    async with engine.connect() as connection:
        await ledger.take_turn(connection)
        backend = int(await connection.scalar(text("SELECT pg_backend_pid()")) or 0)
        await ledger.prove(connection, log, [0])
        theirs, ours, begin = _cpu_s(backend), time.process_time(), time.perf_counter()
        for _ in range(PROOFS):
            await ledger.prove(connection, log, [chance.randrange(size)])
        hub, database, wall = time.process_time() - ours, _cpu_s(backend) - theirs, time.perf_counter() - begin
    parts = {"hub_ms": hub, "database_ms": database, "wall_ms": wall}
    details = {name: round(seconds * 1000 / PROOFS, 2) for name, seconds in parts.items()}
    return (hub + database) * 1000 / PROOFS, details


def _cpu_s(pid: int) -> float:
    """Of a process so far; 0 where the kernel does not tell (anything but Linux)."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    user, system = stat.read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _entries(nodes: Sequence[str], count: int) -> list[Entry]:
    """From each node to each other in turn: what two entries have in common is not the same in all."""
    now = time.time_ns() // 1_000_000
    routes = islice(cycle(starmap(Route, permutations(nodes, 2))), count)
    return [accepted(route, new_id(now), random.randbytes(32), now) for route in routes]
