"""The commands of `seci-hub` with which an operator looks: queues, messages, trace, quarantine."""

import json
from typing import Annotated, Any, Final
from uuid import UUID

import typer

from hub import topology, watch
from hub.errors import MessageUnknown
from hub.settings import Settings
from hub.shell import AsJson, Home, answer, say, with_database

quarantine_app: Final = typer.Typer(no_args_is_help=True, help="What could not be read.")


def queues(home: Home, as_json: AsJson = False) -> None:
    """Show every queue: ready, unacknowledged, consumers. Exit code 3 if one should have a consumer and has none."""
    settings = Settings.load(home)
    found = topology.queues(settings.broker_ctl, settings.vhost)
    lines = [f"{'queue':24} {'ready':>7} {'unacked':>8} {'consumers':>9}  state"]
    lines += [f"{q['name']:24} {q['ready']:7} {q['unacked']:8} {q['consumers']:9}  {q['state']}" for q in found]
    answer({"queues": found}, as_json, "\n".join(lines))
    if any(not q["consumers"] for q in found if q["name"].startswith(("q.in.", topology.QUARANTINE_QUEUE))):
        say("nobody consumes an ingress queue: is a worker running? seci-hub status")
        raise typer.Exit(3)


def messages(
    home: Home,
    node: Annotated[str | None, typer.Option(help="Sent by or to this node.")] = None,
    task_force: str | None = None,
    kind: str | None = None,
    undelivered: Annotated[bool, typer.Option(help="Only those that somebody has not acknowledged.")] = False,
    before: Annotated[int | None, typer.Option(help="Go on below this ledger index.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    as_json: AsJson = False,
) -> None:
    """List accepted messages, newest first."""
    wanted = watch.Wanted(node, task_force, kind, undelivered, before, limit)
    found = with_database(Settings.load(home), lambda connection: watch.messages(connection, wanted))
    lines = [
        f"{m['index']:>8}  {m['at']}  {m['id']}  {m['sender']:5} {m['kind']:14} {m['task_force']:12} {m['priority']:6} "
        f"{m['acknowledged']}/{len(m['recipients'])} {','.join(m['recipients'])}"
        for m in found
    ]
    answer({"messages": found}, as_json, "\n".join(lines) or "none")
    if len(found) == limit:
        say(f"there may be more: --before {found[-1]['index']}")


def trace(home: Home, id: UUID, as_json: AsJson = False) -> None:
    """Show a message's whole way with times. Exit code 4 if the ledger does not know it."""
    steps = with_database(Settings.load(home), lambda connection: watch.trace(connection, id))
    if not steps:
        raise MessageUnknown(f"the ledger has no message {id}", "list them with `seci-hub messages`")
    answer({"id": str(id), "steps": steps}, as_json, "\n".join(_step_line(step) for step in steps))


def _step_line(step: dict[str, Any]) -> str:
    rest = {name: value for name, value in step.items() if name not in ("event", "at", "node", "created")}
    words = ", ".join(f"{name} {','.join(value) if isinstance(value, list) else value}" for name, value in rest.items())
    return f"{step.get('at', ''):24}  {step['event']:11} {step['node']:5} {words}".rstrip()


@quarantine_app.command("list")
def quarantine_list(
    home: Home, limit: Annotated[int, typer.Option(min=1, max=1000)] = 50, as_json: AsJson = False
) -> None:
    """List what is in quarantine, newest first."""
    found = with_database(Settings.load(home), lambda connection: watch.quarantined(connection, limit))
    lines = [
        f"{q['index']:>8}  {q['at']}  {q['node']:5} {q['type']:16} {q['reason']:20} {q['size']:>8} bytes "
        f"{q['digest'][:16]}"
        for q in found
    ]
    answer({"quarantined": found}, as_json, "\n".join(lines) or "the quarantine is empty")


@quarantine_app.command("show")
def quarantine_show(home: Home, index: int, as_json: AsJson = False) -> None:
    """Show one thing in quarantine by its ledger index; never its content."""
    found = with_database(Settings.load(home), lambda connection: watch.quarantined(connection, 1_000_000))
    one = next((item for item in found if item["index"] == index), None)
    if one is None:
        raise MessageUnknown(f"nothing in quarantine has index {index}", "list it with `seci-hub quarantine list`")
    answer(one, as_json, json.dumps(one, indent=2))
