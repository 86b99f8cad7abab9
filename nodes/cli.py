"""`seci-node`: what a focal point's administrator and liaison officers type. Data to stdout, the rest to stderr."""

import asyncio
import fcntl
import gc
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import uvicorn
import uvloop

from crypto.errors import CryptoError
from crypto.journal import configure_logging
from crypto.keyfile import write_private
from nodes import setup
from nodes.agent import open_agent
from nodes.api import make_app
from nodes.client import ApiRefused, call
from nodes.doctor import examine
from nodes.errors import AlreadyRunning, BodyNotJson, FileUnwritable, MessageUnknown, NodeError, NotSetUp, PortTaken
from nodes.metrics import count_event
from nodes.settings import HOME_VARIABLE, Settings
from schemas.codes import Agency, Handling, Priority
from schemas.participants import NODE_ID

app: Final = typer.Typer(
    no_args_is_help=True,
    help="The node agent of the SECI Exchange.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

Home = Annotated[Path, typer.Option(envvar=HOME_VARIABLE, help="The node's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
WAIT_S: Final = 60
SETTLED: Final = ("accepted", "refused", "expired")


@app.command()
def init(
    home: Home,
    node: Annotated[str, typer.Option(help="The node's id, for example ro.")] = "",
    welcome: Annotated[Path | None, typer.Option(help="The hub's welcome file: the second step.")] = None,
    passphrase_file: Annotated[Path | None, typer.Option(help="Instead of a key file: the passphrase.")] = None,
    as_json: AsJson = False,
) -> None:
    """Set the node up: first its keys and enrolment.json, then, with --welcome, the hub's answer. Safe to repeat."""
    if welcome is not None:
        settings = asyncio.run(setup.welcome(home, welcome))
        _print({"node": settings.node, "enrolled": True}, as_json, f"{settings.node} is enrolled")
        _say(f"next: seci-node run --home {home}")
        return
    if not NODE_ID.fullmatch(node):
        raise NotSetUp(f"{node!r} is no node id: 2 to 8 letters a to z", "name the node with --node, for example ro")
    settings = setup.create(home, node, passphrase_file)
    request = setup.read_request(home)
    file = home / "enrolment.json"
    result = {
        "node": node,
        "enrolled": settings.enrolled,
        "request": str(file),
        "fingerprint": request.fingerprint(),
    }
    _print(result, as_json, f"keys are in {home}; request in {file}\nfingerprint: {request.fingerprint()}")
    if settings.enrolled:
        _say(f"{node} is enrolled already; next: seci-node run --home {home}")
    else:
        _say("next: send the request to the hub's operators, who compare the fingerprint with you by telephone;")
        _say(f"      with their answer: seci-node init --home {home} --welcome FILE")


@app.command()
def run(
    home: Home,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the API, on loopback; 0 takes a free one.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Run the agent until it is told to stop: SIGTERM or Ctrl-C. Logs are JSON lines on stderr."""
    configure_logging(count_event)
    settings = Settings.load(home)
    with _alone(home), _listening(port) as listener:
        # What is there by now stays: the collector of garbage need not look at it again and again.
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        try:
            uvloop.run(_serve(settings, listener, as_json))
        finally:
            (home / "api.json").unlink(missing_ok=True)


async def _serve(settings: Settings, listener: socket.socket, as_json: bool) -> None:
    agent = await open_agent(settings)
    token = settings.token()
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    # Several times as fast as the parser in Python that is the other choice; and no proxy stands before us.
    config = uvicorn.Config(
        make_app(agent, token),
        http="httptools",
        ws="none",
        proxy_headers=False,
        lifespan="off",
        access_log=False,
        log_level="warning",
    )
    server = uvicorn.Server(config)
    work = asyncio.create_task(agent.run())
    serve = asyncio.create_task(server.serve(sockets=[listener]))
    (settings.home / "api.json").write_text(json.dumps({"url": address, "pid": os.getpid()}))
    _print({"node": settings.node, "url": address}, as_json, f"node {settings.node}: API on {address}")
    try:
        await asyncio.wait((work, serve), return_when=asyncio.FIRST_COMPLETED)
    finally:
        server.should_exit = True
        work.cancel()
        results = await asyncio.gather(work, serve, return_exceptions=True)
        agent.box.close()
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result


@app.command()
def send(
    home: Home,
    kind: Annotated[str, typer.Option(help="For example alert, request, reply, drugs.seizure.")],
    body: Annotated[str, typer.Option(help="A JSON file with the body, or - for standard input.")] = "-",
    task_force: Annotated[str | None, typer.Option(help="A reply takes it from what it answers.")] = None,
    to: Annotated[list[str] | None, typer.Option(help="Recipients; default: all members.")] = None,
    agency: Annotated[Agency | None, typer.Option()] = None,
    priority: Annotated[Priority, typer.Option()] = Priority.NORMAL,
    handling: Annotated[Handling, typer.Option()] = Handling.H1,
    operation: Annotated[str | None, typer.Option(help="The operation this belongs to.")] = None,
    in_reply_to: Annotated[str | None, typer.Option(help="The id of the message answered.")] = None,
    reply_by: Annotated[str | None, typer.Option(help="Deadline, ISO 8601 with zone.")] = None,
    expires: Annotated[str | None, typer.Option(help="ISO 8601 with zone; default: in 7 days.")] = None,
    id: Annotated[str | None, typer.Option(help="Your own UUIDv7, to repeat safely.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the hub's receipt, a minute at most.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send a message through the running agent."""
    fields = {
        "kind": kind,
        "task_force": task_force,
        "to": to or None,
        "agency": agency,
        "priority": priority,
        "handling": handling,
        "operation": operation,
        "in_reply_to": in_reply_to,
        "reply_by": reply_by,
        "expires": expires,
        "id": id,
        "body": _read_body(body),
    }
    posted = {name: value for name, value in fields.items() if value is not None}
    answer = call(home, "POST", "/v1/messages", json=posted)
    if wait:
        answer = _wait(home, answer["id"])
    _print(answer, as_json, f"{answer['id']} {_stage(answer)}; to {', '.join(answer['recipients'])}")
    if answer["state"] in ("refused", "expired"):
        raise typer.Exit(4)
    if wait and answer["state"] != "accepted":
        _say(
            f"no receipt within {WAIT_S} s; the agent goes on by itself: seci-node status --home {home} {answer['id']}"
        )
        raise typer.Exit(3)


@app.command()
def status(
    home: Home,
    id: Annotated[str | None, typer.Argument(help="A message; default: the node.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the state of a message, or of the node and its newest messages. Exit code 3 if something needs attention."""
    if id is not None:
        found = call(home, "GET", f"/v1/messages/{id}")
        _print(found, as_json, _message_lines(found))
        return
    state = call(home, "GET", "/v1/status")
    newest = call(home, "GET", "/v1/messages", params={"limit": 10})["messages"]
    link = state["link"]
    lines = [
        f"node    {state['node']}, roster version {state['roster']['version']}",
        f"link    {'connected' if link['connected'] else 'down'} since {link['since']} {link['reason']}",
        f"counts  {', '.join(f'{name} {number}' for name, number in state['counts'].items())}",
        *(f"WARNING {warning}" for warning in state["warnings"]),
        *(f"{m['id']}  {m['kind']:14} {_stage(m)}; to {', '.join(m['recipients'])}" for m in newest),
    ]
    _print({**state, "newest": newest}, as_json, "\n".join(lines))
    if state["warnings"]:
        raise typer.Exit(3)


@app.command("inbox")
def inbox_command(
    home: Home,
    after: Annotated[int, typer.Option(help="Go on behind this number.")] = 0,
    limit: int = 50,
    kind: str | None = None,
    thread: str | None = None,
    as_json: AsJson = False,
) -> None:
    """List received messages in the order of arrival."""
    given = {"after": after, "limit": limit, "kind": kind, "thread": thread}
    params = {name: value for name, value in given.items() if value is not None}
    found = call(home, "GET", "/v1/inbox", params=params)
    lines = [
        f"{m['seq']:>6}  {m['id']}  {m['received'][:19]}  {m['sender']:5} {m['kind']:14} {m['task_force']:12} "
        f"{m['priority']:6} {m['handling']}  {m['body'].get('title', m['body'].get('purpose', ''))}"
        for m in found["messages"]
    ]
    _print(found, as_json, "\n".join(lines) or f"nothing behind number {after}")
    if len(found["messages"]) == limit:
        _say(f"there may be more: seci-node inbox --after {found['after']}")


@app.command()
def notices(
    home: Home,
    after: Annotated[int, typer.Option(help="Go on behind this number.")] = 0,
    limit: int = 50,
    as_json: AsJson = False,
) -> None:
    """List who has not answered (reminded, escalated) or taken a message (expired) in time."""
    found = call(home, "GET", "/v1/notices", params={"after": after, "limit": limit})
    lines = [
        f"{n['seq']:>6}  {n['at'][:19]}  {n['event']:10} {n['recipient']:5} message {n['message']} of {n['sender']}"
        for n in found["notices"]
    ]
    _print(found, as_json, "\n".join(lines) or f"nothing behind number {after}")


@app.command()
def show(home: Home, id: str, as_json: AsJson = False) -> None:
    """Show a message, received or sent, with its content."""
    try:
        found = call(home, "GET", f"/v1/inbox/{id}")
    except ApiRefused as error:
        if error.code != "message_unknown":
            raise
        try:
            found = call(home, "GET", f"/v1/messages/{id}")
        except ApiRefused:
            raise MessageUnknown(f"no message {id} in inbox or outbox", "list them: seci-node inbox, status") from None
    _print(found, as_json, _message_lines(found))


@app.command()
def receipt(
    home: Home,
    id: str,
    with_content: Annotated[bool, typer.Option("--with-content", help="Who gets it can read the message.")] = False,
    out: Annotated[Path | None, typer.Option(help="The file to write; default: standard output.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write what proves a sent message to others: they verify it with seci-verify, offline."""
    bundle = call(home, "GET", f"/v1/messages/{id}/evidence", params={"content": with_content})
    answers = len(bundle["proofs"]) - 1
    if out is None:
        typer.echo(json.dumps(bundle, indent=1))
        return
    try:
        write_private(out, (json.dumps(bundle, indent=1) + "\n").encode())
    except OSError as error:
        raise FileUnwritable(f"{out} cannot be written: {error.strerror}", "name another with --out") from error
    result = {"id": id, "file": str(out), "answers": answers, "content": with_content}
    _print(result, as_json, f"{out}: the hub's decision on {id} and the answers of {answers} recipients")
    _say(f"next: seci-verify {out} --policy POLICY")


@app.command()
def doctor(home: Home, as_json: AsJson = False) -> None:
    """Check keys, certificate, roster and the way to the broker, stage by stage. Exit code 3 if one fails."""
    stages = asyncio.run(examine(home))
    lines = []
    for stage in stages:
        lines.append(f"{'ok  ' if stage.ok else 'FAIL'} {stage.name:13} {stage.found} ({stage.ms} ms)")
        if stage.next:
            lines.append(f"     next: {stage.next}")
    _print({"stages": [asdict(stage) for stage in stages]}, as_json, "\n".join(lines))
    if not all(stage.ok for stage in stages):
        raise typer.Exit(3)


def _read_body(source: str) -> Any:
    try:
        return json.loads(sys.stdin.read() if source == "-" else Path(source).read_text())
    except (OSError, ValueError) as error:
        raise BodyNotJson(
            f"the body in {source} is not JSON: {error}", "give a JSON object with --body FILE"
        ) from error


def _wait(home: Path, id: str) -> Any:
    deadline = time.monotonic() + WAIT_S
    told = ""
    while True:
        found = call(home, "GET", f"/v1/messages/{id}")
        if found["state"] in SETTLED or time.monotonic() > deadline:
            return found
        if found["state"] != told:
            told = found["state"]
            _say(f"{id} {told}; waiting for the hub's receipt")
        time.sleep(0.2)


def _stage(message: dict[str, Any]) -> str:
    """The state in words: `accepted by the hub, delivered 3/12`."""
    if message["state"] != "accepted":
        return str(message["state"])
    states = [delivery["state"] for delivery in message["deliveries"]]
    declined = f", declined {states.count('declined')}" if "declined" in states else ""
    return f"accepted by the hub, delivered {states.count('delivered')}/{len(states)}{declined}"


def _message_lines(found: dict[str, Any]) -> str:
    lines = []
    for name, value in found.items():
        if name == "deliveries":
            lines += [
                f"  {d['recipient']:14} {d['state']} {d.get('at', '')} {d.get('code', '')}".rstrip() for d in value
            ]
        elif name == "body":
            lines.append(json.dumps(value, ensure_ascii=False, indent=2))
        elif isinstance(value, dict):
            lines += [f"  {key:14} {item}" for key, item in value.items() if item is not None]
        elif isinstance(value, list):
            lines.append(f"{name:16} {', '.join(map(str, value))}")
        elif value is not None:
            lines.append(f"{name:16} {str(value).lower() if isinstance(value, bool) else value}")
    return "\n".join(lines)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    # The kernel drops the lock with the process, so a kill leaves nothing to clean up.
    with (home / "agent.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise AlreadyRunning(f"an agent already runs on {home}", "stop it first, or use it") from error
        yield


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortTaken(f"port {port} is in use", "choose another with --port, or 0 for a free one") from error
        yield listener


def _print(result: Any, as_json: bool, text: str) -> None:
    typer.echo(json.dumps(result) if as_json else text)


def _say(text: str) -> None:
    typer.echo(text, err=True)


def main() -> None:
    """The entry point: errors become one clear line and an exit code."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        app()
    except NodeError as error:
        fields = error.problem.get("errors", []) if isinstance(error, ApiRefused) else []
        _fail(error.code, str(error), error.next_step, fields)
        raise SystemExit(error.exit_code) from error
    except CryptoError as error:
        _fail(error.code, str(error), "run `seci-node doctor`")
        raise SystemExit(1) from error


def _fail(code: str, detail: str, next_step: str, fields: Sequence[dict[str, str]] = ()) -> None:
    if "--json" in sys.argv:
        failure = {"ok": False, "code": code, "detail": detail, "next": next_step, "errors": list(fields)}
        typer.echo(json.dumps(failure))
        return
    _say(f"seci-node: {detail} [{code}]")
    for item in fields:
        _say(f"  {item['field']}: {item['wanted']} (found {item['found']})")
    _say(f"next: {next_step}")


if __name__ == "__main__":
    main()
