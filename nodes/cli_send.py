"""`seci-node send`: from what is typed to what the agent's API is given, and what is wrong with it, in plain words."""

import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

import typer

from nodes.cli_read import stage
from nodes.client import ApiRefused, call
from nodes.errors import AgentUnreachable, BodyNotJson, BodyUnreadable, SendUnclear
from nodes.settings import Settings
from nodes.shell import AsJson, Home, answer, say
from schemas.amended import AMENDING
from schemas.codes import TASK_FORCES, Agency, Handling, Priority
from schemas.names import NameRepeated, once

WAIT_S: Final = 60
# While it waits, it says so each time so many seconds have gone.
SAY_S: Final = 5
# What is told of a message that was sent, with --wait and without; null is what is not known yet, or does not apply.
ANSWER: Final = ("id", "state", "thread", "recipients", "ledger_index", "refusal", "warnings")
SETTLED: Final = ("accepted", "refused", "expired")


def _moment(text: str) -> str:
    """A time as the API takes it."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time; write it as 2026-11-24T14:00:00Z") from None
    if found.tzinfo is None:
        raise typer.BadParameter(f"{text!r} has no zone; write it as 2026-11-24T14:00:00Z")
    return found.isoformat()


def send(
    home: Home,
    kind: Annotated[str, typer.Option(help="For example alert, request; see `seci-node schema list`.")],
    body: Annotated[str, typer.Option(help="A JSON file with the body, or - for standard input.")] = "-",
    task_force: Annotated[
        str | None, typer.Option(help="A reply, correction or withdrawal takes it from what it is about.")
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(help="A recipient; repeat it for more. Default: all members, or who had what is corrected."),
    ] = None,
    agency: Annotated[Agency | None, typer.Option()] = None,
    priority: Annotated[Priority, typer.Option()] = Priority.NORMAL,
    handling: Annotated[
        Handling | None, typer.Option(help="Default: H1; of a correction or withdrawal, that of the first.")
    ] = None,
    operation: Annotated[
        str | None, typer.Option(help="The operation this belongs to, as CONTAINMENT 2003; see `operation list`.")
    ] = None,
    new_operation: Annotated[
        bool, typer.Option("--new-operation", help="Send it although no plan that is here names its operation.")
    ] = False,
    in_reply_to: Annotated[UUID | None, typer.Option(help="The id of the message answered.")] = None,
    reply_by: Annotated[
        str | None, typer.Option(parser=_moment, metavar="TIME", help="Deadline, ISO 8601 with zone.")
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(parser=_moment, metavar="TIME", help="ISO 8601 with zone; default: in 7 days; at most 365."),
    ] = None,
    id: Annotated[UUID | None, typer.Option(help="Your own UUIDv7, to repeat safely.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the hub's receipt, a minute at most.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send a message through the running agent."""
    # Before the body, which may come from the terminal.
    _check_target(home, kind, task_force, in_reply_to)
    said = read_body(body, named="with --body FILE")
    fields = {
        "kind": kind,
        "task_force": task_force,
        "to": to or None,
        "agency": agency,
        "priority": priority,
        "handling": handling,
        "operation": operation,
        "new_operation": new_operation or None,
        "in_reply_to": in_reply_to and str(in_reply_to),
        "reply_by": reply_by,
        "expires": expires,
        "id": id and str(id),
        "body": said,
    }
    posted = {name: value for name, value in fields.items() if value is not None}
    try:
        found = call(home, "POST", "/v1/messages", json=posted)
    except ApiRefused as error:
        if error.code == "not_a_member":
            error.next_step += _memberships(home)
        raise
    warnings = found["warnings"]
    if wait:
        found = _wait(home, found["id"])
    elif found["state"] != "queued":
        # It was here before, and more than that has become of it.
        found = call(home, "GET", f"/v1/messages/{found['id']}")
    found["warnings"] = warnings
    told = {name: found.get(name) for name in ANSWER}
    if not as_json:
        for warning in warnings:
            say(f"warning: {warning}")
    answer(told, as_json, f"{found['id']} {stage(found)}; to {', '.join(found['recipients'])}")
    if found["state"] in ("refused", "expired"):
        raise typer.Exit(4)
    if wait and found["state"] != "accepted":
        say(f"no receipt within {WAIT_S} s; the agent goes on by itself: seci-node status --home {home} {found['id']}")
        raise typer.Exit(3)


def _check_target(home: Path, kind: str, task_force: str | None, in_reply_to: UUID | None) -> None:
    if kind == "reply" and in_reply_to is None:
        raise SendUnclear(
            "reply_without_question",
            "a reply answers a message, and none is named",
            f"name it with --in-reply-to ID; its id is in: seci-node inbox --home {home}",
        )
    if task_force is None and (in_reply_to is not None or kind in AMENDING):
        return
    if task_force not in TASK_FORCES:
        raise SendUnclear(
            "task_force_missing" if task_force is None else "task_force_unknown",
            "no task force is named" if task_force is None else f"there is no task force {task_force!r}",
            f"name one with --task-force: {', '.join(TASK_FORCES)}{_memberships(home)}",
        )


def _memberships(home: Path) -> str:
    """Which task forces this node is a member of, if its agent can be asked."""
    node = Settings.load(home).node
    try:
        mine = [item["code"] for item in call(home, "GET", "/v1/task-forces") if node in item["members"]]
    except (AgentUnreachable, ApiRefused):
        return ""
    return f"; {node} is a member of {', '.join(mine) or 'none'}"


def read_body(source: str, named: str = "as FILE") -> Any:
    """The JSON object in a file, or with `-` on standard input. Raises BodyUnreadable, BodyNotJson."""
    try:
        if source == "-":
            if sys.stdin.isatty():
                say("type the body, a JSON object, and end it with Ctrl-D")
            data = sys.stdin.buffer.read()
        else:
            data = Path(source).read_bytes()
    except OSError as error:
        why = _WHY.get(type(error), f"does not read: {error.strerror}")
        raise BodyUnreadable(f"{source} {why}", f"name a JSON file {named}, or - for standard input") from error
    name = "standard input" if source == "-" else source
    step = "give the body as a JSON object; an example: seci-node schema example alert"
    try:
        body = json.loads(data, parse_constant=_no_number, object_pairs_hook=once)
        # A lone half of a surrogate pair reads, and cannot be written again.
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise BodyNotJson(f"{name} has an escape that is no character: {error.reason}", step) from error
    except UnicodeDecodeError as error:
        raise BodyNotJson(f"{name} is no text in UTF-8", step) from error
    except NameRepeated as error:
        raise BodyNotJson(f"{name} may be read in two ways: {error}", "name each member of an object once") from error
    except (ValueError, RecursionError) as error:
        raise BodyNotJson(f"{name} is not JSON: {_where(data, error)}", step) from error
    if not isinstance(body, dict):
        raise BodyNotJson(f"{name} holds JSON, but no object", step)
    return body


def _no_number(text: str) -> Any:
    # Python's JSON knows these, nobody else's does.
    raise ValueError(f"{text} is no number of JSON")


_WHY: Final[dict[type[OSError], str]] = {
    FileNotFoundError: "does not exist",
    IsADirectoryError: "is a directory, not a file",
    PermissionError: "may not be read by you",
}


def _where(data: bytes, error: Exception) -> str:
    if not data.strip():
        return "it is empty"
    return str(error) if isinstance(error, ValueError) else "it is nested too deeply"


def _wait(home: Path, id: str) -> Any:
    begin = time.monotonic()
    told, say_at = "", 0.0
    while True:
        found = call(home, "GET", f"/v1/messages/{id}")
        waited = time.monotonic() - begin
        if found["state"] in SETTLED or waited > WAIT_S:
            return found
        if found["state"] != told or waited >= say_at:
            told, say_at = found["state"], waited + SAY_S
            say(f"{id} {told}; waiting for the hub's receipt, {waited:.0f} of at most {WAIT_S} s")
        time.sleep(0.2)
