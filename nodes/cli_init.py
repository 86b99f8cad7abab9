"""`seci-node init`: the node's folder, its keys and its request; then what the hub answered."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

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
from nodes.settings import Settings
from nodes.shell import AsJson, Home, answer, say
from schemas.participants import NODE_ID


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
