"""The commands of `seci-hub` with which an operator looks: queues, messages, trace, deadlines."""

import time
from typing import Annotated, Any, Final
from uuid import UUID

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import typed
from hub import deadlines as due
from hub import registrar, topology, watch
from hub.errors import MessageUnknown, NodeUnknown
from hub.glance import idle
from hub.roles import Action
from hub.settings import Settings
from hub.setup import hub_keys
from hub.shell import AsJson, Home, acting, answer, looking, say, with_database
from schemas.codes import TASK_FORCES
from schemas.registry import KINDS

_KINDS: Final = tuple(sorted({kind for kind, _ in KINDS}))


def queues(home: Home, as_json: AsJson = False) -> None:
    """Show every queue: ready, unacknowledged, consumers. Exit code 3 if one should have a consumer and has none."""
    settings = Settings.load(home)
    looking(settings)
    found = [{**queue, "idle": idle(queue)} for queue in topology.queues(settings.broker_ctl, settings.vhost)]
    lines = [f"{'queue':24} {'ready':>7} {'unacked':>8} {'consumers':>9}  state"]
    lines += [
        f"{q['name']:24} {q['ready']:7} {q['unacked']:8} {q['consumers']:9}  {q['state']:8} {q['idle'] or ''}".rstrip()
        for q in found
    ]
    answer({"queues": found}, as_json, "\n".join(lines))
    if any(not q["consumers"] for q in found if q["name"].startswith(("q.in.", topology.QUARANTINE_QUEUE))):
        say("nobody consumes an ingress queue: is a worker running? seci-hub status")
        raise typer.Exit(3)


def messages(
    home: Home,
    node: Annotated[str | None, typer.Option(help="Sent by or to this node.")] = None,
    task_force: Annotated[str | None, typer.Option(parser=typed.one_of(TASK_FORCES), metavar="CODE")] = None,
    kind: Annotated[str | None, typer.Option(parser=typed.one_of(_KINDS), metavar="KIND")] = None,
    undelivered: Annotated[bool, typer.Option(help="Only those that somebody has not acknowledged.")] = False,
    before: Annotated[int | None, typer.Option(min=0, max=typed.MOST, help="Go on below this ledger index.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    as_json: AsJson = False,
) -> None:
    """List accepted messages, newest first."""
    wanted, settings = watch.Wanted(node, task_force, kind, undelivered, before, limit), Settings.load(home)
    acting(settings, Action.CONSULT, {"messages": {"node": node, "task_force": task_force, "kind": kind}})

    async def look(connection: AsyncConnection) -> list[dict[str, Any]]:
        if node is not None:
            known = [entry.node for entry in (await registrar.current(connection, hub_keys(settings))).nodes]
            if node not in known:
                raise NodeUnknown(f"--node: there is no node {node!r}", f"name one of {', '.join(sorted(known))}")
        return await watch.messages(connection, wanted)

    found = with_database(settings, look)
    head = (
        f"{'index':>8}  {'at':24}  {'id':36}  {'from':5} {'kind':27} {'task force':16} {'lane':6} acknowledged by, of"
    )
    lines = [
        f"{m['index']:>8}  {m['at']}  {m['id']}  {m['sender']:5} {m['kind']:27} {m['task_force']:16} {m['priority']:6} "
        f"{m['acknowledged']}/{len(m['recipients'])} {','.join(m['recipients'])}"
        for m in found
    ]
    answer({"messages": found}, as_json, "\n".join([head, *lines] if lines else ["none"]))
    if len(found) == limit:
        say(f"there may be more: --before {found[-1]['index']}")


def trace(home: Home, id: UUID, as_json: AsJson = False) -> None:
    """Show a message's whole way with times. Exit code 4 if the ledger does not know it."""
    settings = Settings.load(home)
    acting(settings, Action.CONSULT, {"trace": str(id)})
    steps = with_database(settings, lambda connection: watch.trace(connection, id))
    if not steps:
        raise MessageUnknown(f"the ledger has no message {id}", "list them with `seci-hub messages`")
    answer({"id": str(id), "steps": steps}, as_json, "\n".join([_STEPS, *map(_step_line, steps)]))


_STEPS: Final = f"{'at':24}  {'event':11} {'node':5} more"


def _step_line(step: dict[str, Any]) -> str:
    rest = {name: value for name, value in step.items() if name not in ("event", "at", "node", "created")}
    words = ", ".join(
        name if value is True else f"{name} {','.join(value) if isinstance(value, list) else value}"
        for name, value in rest.items()
    )
    return f"{step.get('at', ''):24}  {step['event']:11} {step['node']:5} {words}".rstrip()


def deadlines(home: Home, limit: Annotated[int, typer.Option(min=1, max=1000)] = 50, as_json: AsJson = False) -> None:
    """List questions that somebody has not answered, by deadline. Exit code 3 if one is past: telephone them."""
    now, settings = time.time_ns() // 1_000_000, Settings.load(home)
    acting(settings, Action.CONSULT, {"deadlines": limit})
    rows = with_database(settings, lambda connection: due.waiting(connection, now, limit))
    found = [
        {
            "message": str(row["id"]),
            "sender": row["sender"],
            "waits_for": row["node"],
            "kind": row["kind"],
            "task_force": row["task_force"],
            "reply_by": watch.iso(row["reply_by"]),
            "overdue": row["reply_by"] <= now,
            "events": row["events"] or [],
        }
        for row in rows
    ]
    head = f"{'reply by':24}  {'':7}  {'who':5} owes {'whom':5} {'message':36}  {'task force':12} told"
    lines = [
        f"{item['reply_by']}  {'OVERDUE' if item['overdue'] else 'waits':7}  {item['waits_for']:5} owes "
        f"{item['sender']:5} {item['message']}  {item['task_force']:12} {','.join(item['events'])}".rstrip()
        for item in found
    ]
    answer({"deadlines": found}, as_json, "\n".join([head, *lines] if lines else ["nobody owes an answer"]))
    if any(item["overdue"] for item in found):
        raise typer.Exit(3)
