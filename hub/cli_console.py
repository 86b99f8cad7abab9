"""`seci-hub console`: the hub's page for operators, until told to stop."""

import asyncio
import os
import signal
from typing import Annotated

import typer

from crypto.journal import configure_logging
from hub import database
from hub.admission import Office
from hub.console.door import is_loopback, opened
from hub.errors import HandedOver
from hub.joindesk import until
from hub.locked import keys_alone
from hub.metrics import count_event
from hub.settings import Settings
from hub.setup import CONSOLE, desk_certificate, ledger_of
from hub.shell import AsJson, Home, answer, begin_anew


def console(
    home: Home,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8444,
    listen: Annotated[str, typer.Option(help="The IP address to listen on; other than loopback: TLS.")] = "127.0.0.1",
    name: Annotated[
        list[str] | None, typer.Option(help="DNS name or IP address by which browsers call it; else the broker's name.")
    ] = None,
    tls: Annotated[bool, typer.Option("--tls", help="Over TLS on loopback too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Serve the console until told to stop: SIGTERM or Ctrl-C. Logs are JSON lines on stderr.

    Operators log in as with `seci-hub login`, with password and code, in any role. It shows what status and queues
    show, and changes nothing.
    """
    try:
        here = is_loopback(listen)
    except ValueError as error:
        raise typer.BadParameter(f"--listen {listen!r} is no IP address, for example 127.0.0.1 or 0.0.0.0") from error
    configure_logging(count_event)
    settings, secure = Settings.load(home), tls or not here
    names = tuple(name or (listen if here else settings.broker_host,))
    if secure:
        with keys_alone(home, wait=True):
            settings = Settings.load(home)
            desk_certificate(home, settings.secret(), names, CONSOLE)
    log = ledger_of(settings)

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        engine = database.engine_of(settings.database_url, "seci-hub console")
        try:
            office = Office(settings, engine, log)
            async with opened(office, listen, port, names, tls=secure) as url:
                answer({"url": url, "pid": os.getpid()}, as_json, f"console on {url}, pid {os.getpid()}")
                await until(stop, office)
        finally:
            await engine.dispose()

    try:
        asyncio.run(main())
    except HandedOver:
        begin_anew(settings)
