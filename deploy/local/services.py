"""Private RabbitMQ and PostgreSQL for the demo, the tests, the benchmark and `make up`.

    with running(folder, tls) as services:      # end with this process, however it dies
        services.broker, services.postgres

    services = start(folder, tls)               # outlive this process
    services = load(folder)                     # from any process
    stop(folder)

A folder keeps its ports, passwords and data from one start to the next; `erase` forgets them. All of it is
in `services.json`, which only its owner can read. Several folders can run at once.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from deploy.local import broker as brokers
from deploy.local import instance, programs
from deploy.local import postgres as databases
from deploy.local.broker import Broker, TlsFiles
from deploy.local.errors import NotRunning
from deploy.local.instance import SERVICES_FILE, owned, owned_while_running, say
from deploy.local.ports import choose, is_free
from deploy.local.postgres import Postgres
from deploy.local.programs import Programs


@dataclass(frozen=True, slots=True)
class Services:
    """A broker and a database that belong together."""

    broker: Broker
    postgres: Postgres


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports asked for by number; None takes the former one if it is free, else any."""

    broker: int | None = None
    postgres: int | None = None


ANY_PORTS = Ports()
T = TypeVar("T")
_SERVICES = TypeAdapter(Services)


@contextlib.contextmanager
def running(folder: Path, tls: TlsFiles, *, wanted: Ports = ANY_PORTS, erase_after: bool = False) -> Iterator[Services]:
    """Run both services in `folder` while the block runs. They end with this process, even if it is killed.

    Other processes recorded in the folder (`processes.spawn`) end with them. `erase_after` deletes the data.
    Raises ProgramsMissing, PortTaken, AlreadyRunning, StartFailed.
    """
    found = programs.find_or_install()
    with owned_while_running(folder, erase_after=erase_after):
        yield _start(folder, found, tls, wanted, survives=False)


def start(folder: Path, tls: TlsFiles, *, wanted: Ports = ANY_PORTS) -> Services:
    """Start both services in `folder` so that they outlive this process; `stop` ends them.

    Raises ProgramsMissing, PortTaken, AlreadyRunning, StartFailed.
    """
    found = programs.find_or_install()
    with owned(folder):
        instance.clear_stale(folder)
        try:
            return _start(folder, found, tls, wanted, survives=True)
        except BaseException:
            instance.end_all(folder)
            raise


def stop(folder: Path) -> None:
    """End all that is recorded in `folder`, in order. Nothing running is no error. Raises AlreadyRunning."""
    if folder.exists():
        with owned(folder, patience=5.0):
            instance.end_all(folder)


def load(folder: Path) -> Services:
    """Return the services of `folder`, running or not. Raises NotRunning if none were ever started."""
    try:
        return _SERVICES.validate_json((folder / SERVICES_FILE).read_bytes())
    except FileNotFoundError:
        raise NotRunning(f"no services in {folder}; start them with `make up`") from None
    except ValidationError as error:
        raise NotRunning(f"{folder / SERVICES_FILE} is not readable ({error.error_count()} faults)") from None


def _start(folder: Path, found: Programs, tls: TlsFiles, wanted: Ports, *, survives: bool) -> Services:
    former = load(folder) if (folder / SERVICES_FILE).exists() else None
    if former is None:
        # Written last, so without it what is here is of a start that did not come to its end.
        instance.erase(folder)

    def start_broker() -> Broker:
        if former is None:
            broker = brokers.create(folder, found, tls, port=wanted.broker, survives=survives)
        else:
            broker = _broker_again(former.broker, found, tls, wanted.broker, survives)
        broker.start()
        return broker

    def start_postgres() -> Postgres:
        if former is None:
            postgres = databases.create(folder, found, port=wanted.postgres, survives=survives)
        else:
            postgres = _postgres_again(former.postgres, wanted.postgres, survives)
        postgres.start()
        if former is None:
            databases.create_roles(postgres)
        return postgres

    say("starting RabbitMQ and PostgreSQL ...")
    with ThreadPoolExecutor(2) as pool:
        broker = pool.submit(_timed, "RabbitMQ", start_broker)
        postgres = pool.submit(_timed, "PostgreSQL", start_postgres)
    services = Services(broker.result(), postgres.result())
    _save(folder, services)
    return services


def _broker_again(former: Broker, found: Programs, tls: TlsFiles, port: int | None, survives: bool) -> Broker:
    broker = replace(
        former,
        binaries=found.rabbitmq,
        port=_port_again(port, former.port, "RabbitMQ"),
        dist_port=_port_again(None, former.dist_port, "RabbitMQ"),
        epmd_port=_port_again(None, former.epmd_port, "epmd"),
        tls=tls.resolved(),
        survives=survives,
    )
    brokers.configure(broker)
    return broker


def _postgres_again(former: Postgres, port: int | None, survives: bool) -> Postgres:
    # The data is of the version that made it: those binaries stay.
    postgres = replace(former, port=_port_again(port, former.port, "PostgreSQL"), survives=survives)
    databases.configure(postgres)
    return postgres


def _port_again(wanted: int | None, former: int, purpose: str) -> int:
    return former if wanted is None and is_free(former) else choose(wanted, purpose)


def _timed(name: str, start_it: Callable[[], T]) -> T:
    began = time.monotonic()
    result = start_it()
    say(f"  {name} is ready after {time.monotonic() - began:.1f} s")
    return result


def _save(folder: Path, services: Services) -> None:
    draft = folder / f".{SERVICES_FILE}.draft"
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(_SERVICES.dump_json(services, indent=2))
    draft.replace(folder / SERVICES_FILE)
