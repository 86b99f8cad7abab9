"""`seci-node task-force`: who is in a task force; and what its coordinator orders, through the running agent."""

import time
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

import typer

from crypto import typed
from nodes.client import call
from nodes.shell import AsJson, Home, answer, say
from schemas.codes import TASK_FORCES
from schemas.membership import Act
from schemas.registry import RULES

task_force_app: Final = typer.Typer(no_args_is_help=True, help="Who is in which task force; orders of its coordinator.")
WAIT_S: Final = 60


def _name(text: str) -> str:
    return text.strip().lower()


TaskForce = Annotated[
    str,
    typer.Argument(parser=typed.one_of(TASK_FORCES), metavar="TASK_FORCE", help=f"One of {', '.join(TASK_FORCES)}."),
]
Node = Annotated[str, typer.Argument(parser=_name, metavar="NODE", help="Its id, for example hr.")]
Because = Annotated[str, typer.Option("--reason", help="Why; it stays in the ledger for ever: name no person.")]
Kinds = Annotated[
    list[str] | None, typer.Option("--kind", parser=typed.one_of(RULES), metavar="KIND", help="Repeat it for more.")
]
Id = Annotated[UUID | None, typer.Option(help="Your own UUIDv7, to repeat safely.")]
Wait = Annotated[bool, typer.Option(help="Wait for the hub's receipt, a minute at most.")]


@task_force_app.command("list")
def list_(home: Home, as_json: AsJson = False) -> None:
    """List the task forces, each with its coordinator and how many members it has."""
    found = call(home, "GET", "/v1/task-forces")
    lines = [f"{f['code']:18} {f['coordinator'] or '-':8} {len(f['members']):>3} members  {f['name']}" for f in found]
    answer({"task_forces": found}, as_json, "\n".join(lines))


@task_force_app.command()
def members(task_force: TaskForce, home: Home, as_json: AsJson = False) -> None:
    """Show who is in a task force, who is suspended from it, and what is opened to whom."""
    [found] = [item for item in call(home, "GET", "/v1/task-forces") if item["code"] == task_force]
    lines = [
        f"{found['code']}: {found['name']}" + (f", under {found['parent']}" if found["parent"] else ""),
        f"coordinator  {found['coordinator'] or 'none'}",
        f"members      {', '.join(found['members']) or 'none'}",
        *([f"suspended    {', '.join(found['suspended'])}"] if found["suspended"] else ()),
        *(f"opened to {node}: {', '.join(kinds)}" for node, kinds in found["opened"].items()),
    ]
    answer(found, as_json, "\n".join(lines))


@task_force_app.command()
def admit(
    task_force: TaskForce,
    node: Node,
    home: Home,
    reason: Because,
    id: Id = None,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """As its coordinator: admit a node to a task force, or lift its suspension."""
    _give(home, task_force, Act.ADMIT, node, reason, None, id, wait, as_json)


@task_force_app.command()
def suspend(
    task_force: TaskForce,
    node: Node,
    home: Home,
    reason: Because,
    id: Id = None,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """As its coordinator: suspend a node from a task force. It is in force at all nodes some seconds later."""
    _give(home, task_force, Act.SUSPEND, node, reason, None, id, wait, as_json)


@task_force_app.command("open")
def open_(
    task_force: TaskForce,
    node: Node,
    home: Home,
    reason: Because,
    kind: Kinds = None,
    id: Id = None,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """As its coordinator: open kinds to an observer, institution or partner, both ways. None with data of persons."""
    if not kind:
        raise typer.BadParameter("--kind is missing: name what is opened")
    _give(home, task_force, Act.OPEN, node, reason, kind, id, wait, as_json)


@task_force_app.command()
def close(
    task_force: TaskForce,
    node: Node,
    home: Home,
    reason: Because,
    kind: Kinds = None,
    id: Id = None,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """As its coordinator: close kinds that were opened, or all of them."""
    _give(home, task_force, Act.CLOSE, node, reason, kind, id, wait, as_json)


@task_force_app.command()
def orders(home: Home, limit: Annotated[int, typer.Option(min=1, max=500)] = 50, as_json: AsJson = False) -> None:
    """List what was ordered from this node, newest first, and what became of it."""
    found = call(home, "GET", "/v1/orders", params={"limit": limit})
    lines = [_line(item) for item in found["orders"]]
    answer(found, as_json, "\n".join(lines) or "nothing was ordered from this node")


def _give(
    home: Path,
    task_force: str,
    act: Act,
    node: str,
    reason: str,
    kinds: list[str] | None,
    id: UUID | None,
    wait: bool,
    as_json: bool,
) -> None:
    fields = {"act": str(act), "node": node, "reason": reason, "kinds": kinds, "id": id and str(id)}
    posted = {name: value for name, value in fields.items() if value is not None}
    found = call(home, "POST", f"/v1/task-forces/{task_force}/orders", json=posted)
    if wait:
        found = _wait(home, found)
    answer(found, as_json, _line(found))
    if found["state"] == "refused":
        raise typer.Exit(4)
    if wait and found["state"] == "queued":
        say(f"no receipt within {WAIT_S} s; the agent goes on by itself: seci-node task-force orders --home {home}")
        raise typer.Exit(3)


def _wait(home: Path, given: dict[str, Any]) -> dict[str, Any]:
    begin, told = time.monotonic(), False
    found = given
    while found["state"] == "queued" and time.monotonic() - begin < WAIT_S:
        if not told:
            told = True
            say(f"{given['id']} is sent; waiting for the hub's receipt, at most {WAIT_S} s")
        time.sleep(0.2)
        newest = call(home, "GET", "/v1/orders", params={"limit": 500})["orders"]
        found = next((item for item in newest if item["id"] == given["id"]), found)
    return found


def _line(item: dict[str, Any]) -> str:
    refusal = item.get("refusal")
    why = f" ({refusal['code']}: {refusal['detail']}; next: {refusal['next']})" if refusal else ""
    return f"{item['id']}  {item['state']:8} {item['task_force']}: {item['order']}{why}"
