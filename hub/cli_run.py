"""`seci-hub run`: a worker of the hub."""

import asyncio
import gc
import os
import signal
from functools import partial
from typing import Annotated, Final

import typer
import uvloop

from crypto.journal import configure_logging
from crypto.log import log
from hub import database
from hub.broker import BrokerAddress
from hub.errors import HandedOver
from hub.ingest import Ingest
from hub.metrics import count_event
from hub.monitor import make_app, monitored
from hub.settings import Settings
from hub.setup import ends, ledger_of
from hub.shell import AsJson, Home, answer, begin_anew

STOP_S: Final = 4.0


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
    broker = BrokerAddress.of(settings)
    ledger = ledger_of(settings)
    engine = database.engine_of(settings.database_url, f"{database.WORKER} {os.getpid()}")
    # However many ask the monitor, they take no connection from the work.
    watching = database.engine_of(settings.database_url, f"seci-hub monitor {os.getpid()}")

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        ingest = Ingest(settings, broker, engine, ledger)
        port = settings.monitor_port if monitor_port is None else monitor_port
        stamping_s = None if settings.tsa is None else settings.tsa.interval_s
        async with monitored(make_app(ingest, watching, stamping_s, partial(ends, home)), home, port) as url:
            pid = os.getpid()
            text = f"hub of {home} at work, pid {pid}; monitor on {url}"
            answer({"home": str(home), "pid": pid, "monitor": url}, as_json, text)
            await _until_stopped(asyncio.create_task(ingest.run(stop)), stop)
        for one in (engine, watching):
            await one.dispose()

    # What is there by now stays: the collector of garbage need not look at it again and again.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    try:
        uvloop.run(main())
    except HandedOver:
        begin_anew(settings)


async def _until_stopped(work: asyncio.Task[None], stop: asyncio.Event) -> None:
    told = asyncio.create_task(stop.wait())
    await asyncio.wait((work, told), return_when=asyncio.FIRST_COMPLETED)
    # To the very end: connections of a pool are closed in order, which a database that is frozen never answers.
    asyncio.get_running_loop().call_later(STOP_S, _cut_short)
    told.cancel()
    await work


def _cut_short() -> None:
    # A broker or database that does not answer must not keep us: what is unfinished comes again.
    log.warning("stop_cut_short", after_s=STOP_S)
    os._exit(0)
