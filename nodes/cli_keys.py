"""`seci-node reseal`: another secret for the node's keys. `seci-node renew`: other keys."""

import time
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from crypto.keyfile import make_key_file
from crypto.keyoptions import Credential, KeyFile, PassphraseFile, named_source
from crypto.reseal import check_another, prepare
from nodes.client import call
from nodes.locked import keys_alone
from nodes.settings import Settings
from nodes.shell import AsJson, Home, answer, say


def reseal(
    home: Home,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    credential: Credential = None,
    as_json: AsJson = False,
) -> None:
    """Seal the node's keys with another secret: all of them or none. The keys stay the same.

    The agent may be running: it needs the new secret when it starts next, or renews a key.
    """
    source, settings = named_source(passphrase_file, key_file, credential), Settings.load(home)
    with keys_alone(home, wait=False):
        check_another(home, settings.source, source)
        old = settings.secret()
        make_key_file(home, source)
        # The settings decide: until they are saved the old secret opens the keys, and from then on the new one.
        changed = settings.resealed_with(source, prepare(home, old, source.read(home)))
        changed.save()
        changed.secret()
    answer({"node": settings.node, "resealed": True}, as_json, f"the keys of {settings.node} open with the new secret")
    was = f", {home / 'secret.key'}," if settings.source.is_default else ""
    say(f"next: see that the agent starts; then destroy the old secret{was} and its backups")


class What(StrEnum):
    """What can be renewed."""

    SIGNING = "signing"
    ENCRYPTION = "encryption"
    WITNESS = "witness"
    TLS = "tls"


WAIT_S: Final = 180.0
SAY_S: Final = 5.0
ATTENTION: Final = 3


def renew(
    home: Home,
    what: Annotated[list[What] | None, typer.Option(help="What to renew; repeat it. Default: all.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until the new ones are in use, or exit code 3.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Only say when keys and certificate end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Renew the node's keys and TLS certificate now; the running agent does so by itself long before they end.

    Messages go on meanwhile, and what was closed to an old encryption key still opens.
    """
    if not show:
        wanted = [str(item) for item in what or What]
        call(home, "POST", "/v1/renewal", json={"what": wanted})
        say(f"asked for: {', '.join(wanted)}")
    state = call(home, "GET", "/v1/renewal")
    if wait:
        state = _wait(home)
    open_ = [*state["wanted"], *state["pending"]]
    lines = [f"{name:20} until {end}" for name, end in state["ends"].items()]
    lines += [f"not in use yet: {', '.join(open_)}"] if open_ else []
    answer(state, as_json, "\n".join(lines))
    if wait and open_:
        raise typer.Exit(ATTENTION)


def _wait(home: Home) -> Any:
    begin, say_at = time.monotonic(), SAY_S
    while True:
        state, waited = call(home, "GET", "/v1/renewal"), time.monotonic() - begin
        if not (state["wanted"] or state["pending"]) or waited > WAIT_S:
            return state
        if waited >= say_at:
            say(f"waiting for the hub, {waited:.0f} of at most {WAIT_S:.0f} s")
            say_at = waited + SAY_S
        time.sleep(0.2)
