"""`seci-hub top`: the hub at work, looked at again and again until Ctrl-C."""

import asyncio
import itertools
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from hub import database, reading, topology
from hub.database import DATABASE_TROUBLE
from hub.errors import BrokerUnreachable, HubError, ProvisioningFailed
from hub.glance import Glance, Rates, lines, rates
from hub.reading import Reading, Waiting
from hub.settings import Settings
from hub.shell import AsJson, Home, looking

T = TypeVar("T")
DATABASE_S: Final = 10.0
SLOW_S: Final = 5.0
# rabbitmqctl is a whole Erlang node of the operator's machine; the other burdens the hub's own database.
QUEUES_SHARE: Final = 0.25
UNDELIVERED_SHARE: Final = 0.05
CLEAR: Final = "\x1b[H\x1b[2J"


def top(
    home: Home,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 2.0,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many looks; default: at Ctrl-C.")] = None,
    as_json: AsJson = False,
) -> None:
    """Watch the hub at work: rates, what is held and undelivered, queues. With --json, one line for each look.

    What is not known (yet) shows as `...` (null): rates need two looks, queues and undelivered messages some seconds.
    Ends with 0 at Ctrl-C, and with 5 if database or broker did not answer at the last of --count looks.
    """
    settings = Settings.load(home)
    looking(settings)
    trouble = asyncio.run(_watch(settings, interval, count, _print_json if as_json else _print_screen))
    if trouble is not None:
        raise trouble


def _print_json(glance: Glance) -> None:
    typer.echo(json.dumps(asdict(glance)))


def _print_screen(glance: Glance) -> None:
    text = "\n".join(lines(glance))
    typer.echo(f"{CLEAR}{text}" if sys.stdout.isatty() else f"{text}\n")


class _Slowly(Generic[T]):
    """The newest answer to a question that takes long; asked in the background, for that share of the time at most."""

    def __init__(self, question: Callable[[], Awaitable[T]], share: float) -> None:
        self._question = question
        self._share = share
        self.answer: T | None = None
        self.trouble: HubError | None = None
        self.asked = asyncio.Event()

    async def keep_asking(self) -> None:
        """Asks again and again until cancelled. Without an answer nothing is known."""
        while True:
            began = time.monotonic()
            try:
                self.answer, self.trouble = await self._question(), None
            except (BrokerUnreachable, ProvisioningFailed) as error:
                self.answer, self.trouble = None, error
            except DATABASE_TROUBLE:
                self.answer = None
            self.asked.set()
            await asyncio.sleep(max(SLOW_S, (time.monotonic() - began) / self._share))


@dataclass(frozen=True, slots=True)
class _Look:
    """What the database said, and when (monotonic, s)."""

    at: float
    reading: Reading
    rates: Rates | None


async def _watch(
    settings: Settings, interval: float, count: int | None, show: Callable[[Glance], None]
) -> HubError | None:
    """Shows look after look; returns the last one's trouble with database or broker, if it had any."""

    async def list_queues() -> list[dict[str, Any]]:
        return await asyncio.to_thread(topology.queues, settings.broker_ctl, settings.vhost)

    async def list_undelivered() -> list[Waiting]:
        async with engine.connect() as connection:
            return await reading.undelivered(connection)

    # Not by cancelling: in the middle of a question, the database's driver may make another error of it.
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    engine = database.engine_of(settings.database_url)
    queues, undelivered = _Slowly(list_queues, QUEUES_SHARE), _Slowly(list_undelivered, UNDELIVERED_SHARE)
    asides = [asyncio.create_task(slow.keep_asking()) for slow in (queues, undelivered)]
    look: _Look | None = None
    trouble: HubError | None = None
    try:
        for number in itertools.count() if count is None else range(count):
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), interval if number else 0)
            if stop.is_set():
                return None
            if number + 1 == count:
                # The last look tells what it can.
                with suppress(TimeoutError):
                    await asyncio.wait_for(queues.asked.wait(), SLOW_S)
            try:
                look, trouble = await _look(engine, look), None
            except DATABASE_TROUBLE as error:
                look, trouble = None, database.explained(error)
            now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            found, speed = (look.reading, look.rates) if look is not None else (None, None)
            told = None if trouble is None else str(trouble)
            show(Glance(now, told, found, speed, undelivered.answer, queues.answer, _of_broker(queues.trouble)))
    finally:
        for task in asides:
            task.cancel()
        await asyncio.gather(*asides, return_exceptions=True)
        await engine.dispose()
    return trouble or queues.trouble


def _of_broker(trouble: HubError | None) -> str | None:
    if trouble is None:
        return None
    return f"{'NO BROKER, nothing moves' if isinstance(trouble, BrokerUnreachable) else 'queues unknown'}: {trouble}"


async def _look(engine: AsyncEngine, before: _Look | None) -> _Look:
    async with asyncio.timeout(DATABASE_S), engine.connect() as connection:
        found, now = await reading.read(connection), time.monotonic()
        if before is None:
            return _Look(now, found, None)
        events = await reading.events_between(connection, before.reading.ledger, found.ledger)
        return _Look(now, found, rates(events, now - before.at))
