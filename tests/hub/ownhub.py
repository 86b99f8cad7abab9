"""A hub with a home and a real database of its own, whose ledger a test may ruin. It has no broker."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import copytree
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.local.instance import REPOSITORY
from deploy.local.postgres import APPLICATION, DATABASE, Postgres
from hub import ledger
from hub.cli import main
from hub.ledger import Ledger
from hub.pen import writing
from hub.settings import Settings
from hub.setup import BrokerNames, ledger_of, make_keys
from schemas.control import Entry, Event
from tests.typed import type_aside

NAME = "ledgers"


class OwnHub:
    """Its home is in `folder`; the database is made anew. Both are copies of the first hub's, as `init` left it."""

    def __init__(self, folder: Path, postgres: Postgres, first: Path) -> None:
        self.home, self._postgres = folder / "hub", postgres
        if not first.exists():
            self._begin(f"CREATE DATABASE {NAME}")
            make_keys(self.home, BrokerNames(("localhost",), ("127.0.0.1",)))
            assert self.type("init", *self.options)[0] == 0
            self._admin(f"DROP DATABASE IF EXISTS {NAME}_first", f"CREATE DATABASE {NAME}_first TEMPLATE {NAME}")
            copytree(self.home, first)
        else:
            self._begin(f"CREATE DATABASE {NAME} TEMPLATE {NAME}_first")
            copytree(first, self.home)

    def _begin(self, create: str) -> None:
        grant = f"GRANT CONNECT ON DATABASE {NAME} TO {APPLICATION}"
        self._admin(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)", create, grant)

    @property
    def log(self) -> Ledger:
        """The ledger as a worker opens it."""
        return ledger_of(Settings.load(self.home))

    @property
    def url(self) -> str:
        """Of its database, for its own role."""
        return self._postgres.application_url.removesuffix(DATABASE) + NAME

    @property
    def options(self) -> list[str]:
        """Of `init`."""
        owner = self._postgres.owner_url.removesuffix(DATABASE) + NAME
        return ["--admin-database", owner, "--database", self.url, "--broker-ctl", "true"]

    def type(self, *arguments: str, crash_at: Sequence[str] = ()) -> tuple[int, Any]:
        """Runs `seci-hub`, or lets it die at a moment; its exit code and its last line of JSON."""
        words = [*arguments, "--home", str(self.home), "--json"]
        # What dies, or is a service and takes all that is logged, has a process of its own.
        if crash_at or arguments[0] == "run":
            code, out = _run_process(words, crash_at)
        else:
            code, out, _ = type_aside(main, *words)
        lines = out.splitlines()
        return code, json.loads(lines[-1]) if lines else None

    def sql(self, *statements: str) -> None:
        """As the superuser, behind the hub's back."""
        self._postgres.run_sql(";\n".join(statements), database=NAME)

    def content(self, index: int) -> bytes:
        """What an entry says, as the database has it."""
        query = f"SELECT encode(entry, 'hex') FROM ledger_content WHERE leaf_index = {index}"  # noqa: S608 a number
        return bytes.fromhex(self._postgres.run_sql(query, database=NAME).strip())

    def back_up(self) -> None:
        """Keeps a copy of the whole database."""
        self._admin(f"DROP DATABASE IF EXISTS {NAME}_copy", f"CREATE DATABASE {NAME}_copy TEMPLATE {NAME}")

    def restore(self) -> None:
        """Puts the copy in the database's place."""
        self._begin(f"CREATE DATABASE {NAME} TEMPLATE {NAME}_copy")

    async def append(self, engine: AsyncEngine, count: int = 1) -> None:
        """As a worker does it, in one batch."""
        async with writing(engine, self.log) as connection:
            turn = await ledger.take_turn(connection)
            await ledger.append(connection, self.log, turn, entries(count))

    def _admin(self, *statements: str) -> None:
        # One psql for all: there are hundreds of such hubs.
        self._postgres.run_sql(";\n".join(statements), database="postgres")


def _run_process(words: Sequence[str], crash_at: Sequence[str]) -> tuple[int, str]:
    program = ["-m", "tests.faults.crash_at", *crash_at, "--"] if crash_at else ["-m"]
    argv = [sys.executable, *program, "hub.cli", *words]
    done = subprocess.run(argv, cwd=REPOSITORY, env=os.environ.copy(), capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout


def entries(count: int) -> list[Entry]:
    """Some that mean nothing."""
    return [Entry(event=Event.REFUSED, at=number, node="ro") for number in range(count)]
