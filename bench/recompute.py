"""An exported ledger computed again by `seci-verify`, beside nothing but the two hashes of each of its leaves.

Ours is the auditor's command, start of the program included: every entry read and judged, the tree, and the signature
of every checkpoint, on all processors. Beside it one process reads the same files and hashes salt and entry, and that
once more as a leaf. Each once, for a large ledger is warm in the page cache by then: the export has just written it.
"""

import asyncio
import hashlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from bench.busy import look, others_between
from bench.figure import Figure
from crypto.export import ENTRIES, Kind, Manifest, records
from deploy.local.instance import REPOSITORY, say
from hub.export import Exported, export
from hub.exportfolder import ExportFolder
from hub.ledger import Ledger


async def figure(engine: AsyncEngine, log: Ledger, folder: Path) -> Figure:
    """Of the whole ledger, exported below `folder` for it."""
    out = folder / "export"
    try:
        say("  exporting ...")
        begin = time.perf_counter()
        done = await _export(engine, log, out)
        export_s = time.perf_counter() - begin
        before = look(folder)
        ours, beside = await asyncio.to_thread(lambda: (_verified(out), _hashed(out)))
        others = others_between(before, look(folder))
    finally:
        shutil.rmtree(out, ignore_errors=True)
    rates = done.size / ours, done.size / beside
    say(f"  verify {rates[0]:.0f}/s, bare hashes {rates[1]:.0f}/s, export {done.size / export_s:.0f}/s")
    note = f"{done.size} entries of an export, beside the bare hashes of their leaves"
    details = {"export_per_s": round(done.size / export_s)}
    return Figure(
        *("ledger_verify_per_s", "entries/s", *rates, rates[0] / rates[1]), note=note, others=others, details=details
    )


async def _export(engine: AsyncEngine, log: Ledger, out: Path) -> Exported:
    with ExportFolder.open(out, Manifest(log.origin, log.signer.verifier.vkey())) as opened:
        async with engine.connect() as connection:
            return await export(connection, opened, 0, lambda *_: None, log)


def _verified(out: Path) -> float:
    """Seconds."""
    begin = time.perf_counter()
    argv = [sys.executable, "-m", "nodes.verify", str(out), "--json"]
    found = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if found.returncode:
        raise OSError(f"seci-verify: {json.loads(found.stdout or '{}').get('detail', found.stderr)}")
    return time.perf_counter() - begin


def _hashed(out: Path) -> float:
    """Seconds."""
    begin = time.perf_counter()
    for file in sorted((out / ENTRIES).iterdir()):
        for item in records(file.read_bytes(), file.name):
            if item.kind == Kind.ENTRY:
                hashlib.sha256(b"\0" + hashlib.sha256(item.payload).digest()).digest()
    return time.perf_counter() - begin
