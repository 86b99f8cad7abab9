"""`seci-node`: what a focal point's administrator and liaison officers type. Data to stdout, the rest to stderr."""

import asyncio
import signal
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from crypto import typed
from crypto.errors import CryptoError, HsmUnavailable, KeyFileRefused, WrongPassphrase
from crypto.journal import configure_logging
from crypto.keyoptions import (
    Credential,
    KeyFile,
    PassphraseFile,
    Pkcs11Module,
    Pkcs11Pin,
    Pkcs11Token,
    source_of,
    token_of,
)
from nodes import setup
from nodes.cli_join import join
from nodes.cli_keys import renew, reseal
from nodes.cli_map import map_
from nodes.cli_operation import operation_app
from nodes.cli_read import inbox, notices, receipt, show, status
from nodes.cli_roster import roster
from nodes.cli_schema import schema_app
from nodes.cli_send import send
from nodes.cli_stix import stix_app
from nodes.cli_taskforce import task_force_app
from nodes.cli_witness import trust, witness
from nodes.doctor import examine
from nodes.errors import AgentUnreachable, NodeError, NotSetUp
from nodes.metrics import count_event
from nodes.settings import Settings
from nodes.shell import PROGRAM, AsJson, Home, answer, say
from schemas.participants import NODE_ID

app: Final = typer.Typer(
    no_args_is_help=True,
    help="The node agent of the SECI Exchange.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    callback=typed.with_version,
)


@app.command()
def init(
    home: Home,
    node: Annotated[str, typer.Option(help="The node's id, for example ro.")] = "",
    welcome: Annotated[Path | None, typer.Option(help="The hub's welcome file: the second step.")] = None,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    credential: Credential = None,
    pkcs11_module: Pkcs11Module = None,
    pkcs11_token: Pkcs11Token = None,
    pkcs11_pin_file: Pkcs11Pin = None,
    as_json: AsJson = False,
) -> None:
    """Set the node up: first its keys and enrolment.json, then, with --welcome, the hub's answer. Safe to repeat."""
    if welcome is not None:
        _take_in(home, welcome, as_json)
        return
    if not NODE_ID.fullmatch(node):
        raise typer.BadParameter(f"--node {node!r} is no node id: 2 to 8 letters a to z, for example ro")
    source = source_of(passphrase_file, key_file, credential)
    settings = setup.create(home, node, source, token_of(pkcs11_module, pkcs11_token, pkcs11_pin_file))
    if settings.enrolled:
        asyncio.run(setup.remember_keys(settings))
    request = setup.read_request(home)
    file = home / "enrolment.json"
    result = {
        "node": node,
        "enrolled": settings.enrolled,
        "request": str(file),
        "fingerprint": request.fingerprint(),
    }
    answer(result, as_json, f"keys are in {home}; request in {file}\nfingerprint: {request.fingerprint()}")
    if settings.enrolled:
        say(f"{node} is enrolled already; next: seci-node run --home {home}")
    else:
        say("next: send the request to the hub's operators, who compare the fingerprint with you by telephone;")
        say(f"      with their answer: seci-node init --home {home} --welcome FILE")


def _take_in(home: Path, file: Path, as_json: bool) -> None:
    async def work() -> tuple[Settings, bool, list[str]]:
        before = await setup.given(home)
        enrolled, settings = Settings.load(home).enrolled, await setup.welcome(home, file)
        return settings, enrolled, [name for name, value in (await setup.given(home)).items() if value != before[name]]

    settings, enrolled, changed = asyncio.run(work())
    text = f"{settings.node} is enrolled"
    if enrolled:
        text += f" already; new are: {', '.join(changed)}" if changed else " already, and nothing in the file is new"
    answer({"node": settings.node, "enrolled": True, "changed": changed}, as_json, text)
    if enrolled and changed:
        say(f"next: restart the agent: seci-node run --home {home}")
    elif not enrolled:
        say(f"next: seci-node run --home {home}")


@app.command()
def run(
    home: Home,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the API, on loopback; 0 takes a free one.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Run the agent until it is told to stop: SIGTERM or Ctrl-C. Logs are JSON lines on stderr."""
    # What people type ends before the web framework, which only an agent needs, would have started.
    from nodes.serving import serve

    configure_logging(count_event)
    settings = Settings.load(home)
    node = settings.node
    serve(settings, port, lambda url: answer({"node": node, "url": url}, as_json, f"node {node}: API on {url}"))


for _command in (join, send, status, inbox, notices, show, receipt, witness, trust, roster, renew, reseal):
    app.command()(_command)
app.command("map")(map_)
app.add_typer(schema_app, name="schema")
app.add_typer(stix_app, name="stix")
app.add_typer(operation_app, name="operation")
app.add_typer(task_force_app, name="task-force")


@app.command()
def doctor(home: Home, as_json: AsJson = False) -> None:
    """Check keys, certificate, roster, the way to the broker, the agent and the hub. Exit code 3 if a stage fails."""
    stages = asyncio.run(examine(home))
    lines = []
    for stage in stages:
        lines.append(f"{'ok  ' if stage.ok else 'FAIL'} {stage.name:13} {stage.found} ({stage.ms} ms)")
        if stage.next:
            lines.append(f"     next: {stage.next}")
    answer({"stages": [asdict(stage) for stage in stages]}, as_json, "\n".join(lines))
    if not all(stage.ok for stage in stages):
        raise typer.Exit(3)


_AT_A_FILE: Final = "name the right file, yours and closed to others (chmod 600), or put it back from a backup"


def main() -> None:
    """The entry point: errors become one clear line and an exit code."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        typed.run(app, PROGRAM)
    except NodeError as error:
        typed.fail(PROGRAM, error.code, str(error), error.next_step, error.fields)
        raise SystemExit(error.exit_code) from error
    except CryptoError as error:
        step = _AT_A_FILE if isinstance(error, KeyFileRefused | WrongPassphrase) else "run `seci-node doctor`"
        if isinstance(error, HsmUnavailable):
            step = "see that the token is in place, and its library, label and PIN are right; then repeat the command"
        typed.fail(PROGRAM, error.code, str(error), step)
        raise SystemExit(
            AgentUnreachable.exit_code if isinstance(error, HsmUnavailable) else NotSetUp.exit_code
        ) from error


if __name__ == "__main__":
    main()
