"""Private RabbitMQ and PostgreSQL for the demo, the tests, the benchmark and `make up`.

    with running(folder, tls) as services:      # end with this process, however it dies
        services.broker, services.postgres

    services = start(folder, tls)               # outlive this process
    services = load(folder)                     # from any process
    stop(folder)

A folder keeps its ports, passwords and data from one start to the next; `erase` forgets them. All of it is
in `services.json`, which only its owner can read. Several folders can run at once.
"""

import argparse
import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from deploy.local import broker as brokers
from deploy.local import instance, ports, postgres as databases, processes, programs
from deploy.local.broker import Broker, TlsFiles
from deploy.local.errors import LocalError, NotRunning, PortTaken
from deploy.local.instance import SERVICES_FILE, owned, owned_while_running, say
from deploy.local.postgres import Postgres


@dataclass(frozen=True)
class Services:
    """A broker and a database that belong together."""

    broker: Broker
    postgres: Postgres


@dataclass(frozen=True)
class Ports:
    """Ports asked for by number; None takes the former one if it is free, else any."""

    broker: int | None = None
    postgres: int | None = None


ANY_PORTS = Ports()
_SERVICES = TypeAdapter(Services)


@contextlib.contextmanager
def running(
    folder: Path, tls: TlsFiles, *, wanted: Ports = ANY_PORTS, erase_after: bool = False
) -> Iterator[Services]:
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
