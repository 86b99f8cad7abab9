"""Who types a command waits for what it needs, and not for what the other commands, or the services, do."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup
from typer.main import get_command

from crypto.commands import Places
from hub import cli as hub
from nodes import cli as node

ROOT = Path(__file__).parents[2]
PROGRAMS = [(hub.app, hub.COMMANDS), (node.app, node.COMMANDS)]
# A hundredth of a second and more each.
SERVICES = {"alembic", "fastapi", "httpx2", "prometheus_client", "starlette", "uvicorn", "uvloop"}
LOGGING = {"rich", "structlog"}
DATABASE = {"asyncpg", "sqlalchemy"}
BROKER = {"aio_pika", "aiormq"}
KINDS = {"schemas.registry"}
KEYS = {"asyncio", "cryptography"}


@pytest.mark.parametrize(
    ("module", "unneeded"),
    [
        ("hub.cli", SERVICES | LOGGING | DATABASE | BROKER | KINDS | KEYS),
        ("hub.cli_status", SERVICES | LOGGING),
        ("hub.cli_init", SERVICES - {"alembic"} | LOGGING | BROKER),
        ("hub.cli_login", SERVICES | LOGGING | BROKER),
        ("hub.cli_operator", SERVICES | LOGGING | BROKER),
        ("hub.cli_enrol", SERVICES - {"prometheus_client"} | LOGGING | BROKER),
        ("hub.cli_join", SERVICES - {"prometheus_client"} | LOGGING | BROKER),
        ("hub.cli_standing", SERVICES - {"prometheus_client"} | LOGGING | BROKER),
        ("hub.cli_watch", SERVICES | LOGGING | BROKER),
        ("nodes.cli", SERVICES | LOGGING | DATABASE | BROKER | KINDS | KEYS),
        ("nodes.cli_read", SERVICES - {"httpx2"} | LOGGING | DATABASE | BROKER | KINDS),
        ("nodes.cli_send", SERVICES - {"httpx2"} | LOGGING | DATABASE | BROKER | KINDS),
    ],
)
def test_a_command_imports_only_what_it_needs(module: str, unneeded: set[str]) -> None:
    asked = [sys.executable, "-c", f"import sys, {module}; print(*sorted(sys.modules))"]
    loaded = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert module in loaded
    assert set(loaded) & unneeded == set()


@pytest.mark.parametrize(("app", "places"), PROGRAMS)
def test_the_list_says_of_each_command_what_its_own_help_begins_with(app: typer.Typer, places: Places) -> None:
    listed = get_command(app)
    assert isinstance(listed, TyperGroup)
    context = typer.Context(listed)
    assert list(listed.commands) == list(places)
    for name, (_, line) in places.items():
        _, command, _ = listed.resolve_command(context, [name])
        assert (command.name, command.get_short_help_str(500)) == (name, line)
