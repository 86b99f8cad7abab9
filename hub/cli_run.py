"""`seci-hub run`: a worker of the hub."""

import asyncio
import gc
import os
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from crypto.journal import configure_logging
from crypto.stopping import Stop, stoppable
from hub import database
from hub.broker import BrokerAddress
from hub.errors import HandedOver
from hub.ingest import Ingest
from hub.metrics import count_event
from hub.monitor import make_app, monitored
from hub.settings import Settings
from hub.setup import ends, ledger_of
from hub.shell import AsJson, Home, answer, begin_anew


def run(
    home: Home,
    monitor_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Of /healthz, /readyz, /metrics; 0 takes a free one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a hub worker until it is told to stop: SIGTERM or Ctrl-C. Logs are JSON lines on stderr."""
    configure_logging(count_event)
    settings = Settings.load(home)
    try:
        with stoppable() as told:
            _work(home, settings, settings.monitor_port if monitor_port is None else monitor_port, as_json, told)
    except HandedOver:
        # Told to stop as well, it does that.
        if not told.signal:
            begin_anew(settings)


def _work(home: Path, settings: Settings, port: int, as_json: bool, told: Stop) -> None:
    broker = BrokerAddress.of(settings)
    ledger = ledger_of(settings)
    engine = database.engine_of(settings.database_url, f"{database.WORKER} {os.getpid()}")
    # However many ask the monitor, they take no connection from the work.
    watching = database.engine_of(settings.database_url, f"seci-hub monitor {os.getpid()}")

    async def main() -> None:
        ingest = Ingest(settings, broker, engine, ledger)
        stamping_s = None if settings.tsa is None else settings.tsa.interval_s
        async with monitored(make_app(ingest, watching, stamping_s, partial(ends, home)), home, port) as url:
            pid = os.getpid()
            text = f"hub of {home} at work, pid {pid}; monitor on {url}"
            answer({"home": str(home), "pid": pid, "monitor": url}, as_json, text)
            await _until_stopped(ingest, told)
        for one in (engine, watching):
            await one.dispose()

    # What is there by now stays: the collector of garbage need not look at it again and again.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    uvloop.run(main())


async def _until_stopped(ingest: Ingest, told: Stop) -> None:
    stop = told.event()
    work, stopped = asyncio.create_task(ingest.run(stop)), asyncio.create_task(stop.wait())
    await asyncio.wait((work, stopped), return_when=asyncio.FIRST_COMPLETED)
    if not stop.is_set():
        # A database that is frozen does not answer to a connection's being closed, either.
        told.hurry()
    stopped.cancel()
    await work
