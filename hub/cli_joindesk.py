"""`seci-hub join-desk`: the hub's one service for nodes that are not in yet."""

import asyncio
import os
import signal
from typing import Annotated

import typer

from crypto.journal import configure_logging
from hub import joindesk
from hub.admission import Office
from hub.cli_join import with_office
from hub.errors import HandedOver
from hub.locked import keys_alone
from hub.metrics import count_event
from hub.settings import Settings
from hub.setup import desk_certificate
from hub.shell import AsJson, Home, answer, begin_anew


def join_desk(
    home: Home,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8443,
    listen: Annotated[str, typer.Option(help="The address to listen on.")] = "0.0.0.0",  # noqa: S104 it is for nodes
    name: Annotated[
        list[str] | None, typer.Option(help="DNS name or IP address by which nodes call it; else the broker's.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Serve nodes that join, over HTTPS, until told to stop: SIGTERM or Ctrl-C. Logs are JSON lines on stderr."""
    configure_logging(count_event)
    settings = Settings.load(home)
    names = tuple(name or (settings.broker_host,))
    with keys_alone(home, wait=True):
        settings = Settings.load(home)
        desk_certificate(home, settings.secret(), names)

    async def work(office: Office) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with joindesk.opened(office, listen, port, names[0]) as url:
            answer({"url": url, "pid": os.getpid()}, as_json, f"join desk on {url}, pid {os.getpid()}")
            await joindesk.until(stop, office)

    try:
        with_office(settings, work)
    except HandedOver:
        begin_anew(settings)
