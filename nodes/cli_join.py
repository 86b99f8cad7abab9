"""`seci-node join`: from a token to an enrolled node, over HTTPS or by files that people carry."""

import asyncio
import os
import re
import sys
import time
from pathlib import Path
from typing import Annotated, Final

import typer

from crypto.keyfile import write_private
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
from nodes import desk, joining
from nodes.desk import AskLater, Desk
from nodes.errors import AnswerUnfit, FileUnreadable, FileUnwritable, TokenUnfit
from nodes.joining import Joining
from nodes.settings import Settings
from nodes.shell import AsJson, Home, answer, say
from schemas.joining import MAX_ANSWER, JoinAnswer, JoinToken, Stage

TOKEN_VARIABLE: Final = "SECI_JOIN_TOKEN"  # noqa: S105 its name
WAIT_S: Final = 900
_PAUSE_S: Final = 3.0
_LONGEST_PAUSE_S: Final = 15.0
# While it waits, it says so each time so many seconds have gone.
_SAY_S: Final = 30.0
_MOST_TOKEN: Final = 1000
# What somebody types who leaves https:// out, and who would get a file of that name.
_HOST_AND_PORT: Final = re.compile(r"[A-Za-z0-9.-]+:\d{1,5}")
_WAITING: Final = {
    Stage.REQUESTED: "waits for an operator, who compares the words with you by telephone",
    Stage.APPROVED: "approved; a second person has to confirm",
    Stage.CONFIRMED: "confirmed; the hub is setting it up",
    Stage.PROVISIONED: "confirmed; the hub is setting it up",
    Stage.IN_ROSTER: "in the roster",
}


def join(
    home: Home,
    hub: Annotated[
        str, typer.Option(help="https://... of the hub's join desk; or a file: of the request, or the answer.")
    ],
    token: Annotated[
        str | None, typer.Option(help="The token. Others on this machine see it so: rather use --token-file.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help=f"File with the token, - for standard input; or set {TOKEN_VARIABLE}.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    credential: Credential = None,
    pkcs11_module: Pkcs11Module = None,
    pkcs11_token: Pkcs11Token = None,
    pkcs11_pin_file: Pkcs11Pin = None,
    lost_keys: Annotated[
        bool, typer.Option("--lost-keys", help="This node was enrolled before, and its keys are lost.")
    ] = False,
    wait: Annotated[
        int, typer.Option(min=0, help="Wait so many seconds for the operators; then run it again.")
    ] = WAIT_S,
    as_json: AsJson = False,
) -> None:
    """Join the exchange with a token: keys are made here, and stay. Safe to repeat: it goes on where it was.

    Exit code 3 if the operators have not decided yet.
    """
    if not hub.startswith("https://") and ("://" in hub or _HOST_AND_PORT.fullmatch(hub)):
        raise typer.BadParameter("--hub must begin with https://, if it is an address")
    given = _token(token, token_file)
    if _enrolled(home, given):
        answer({"node": Settings.load(home).node, "stage": "enrolled"}, as_json, "it is enrolled already")
        say(f"next: seci-node run --home {home}")
        return
    source = source_of(passphrase_file, key_file, credential)
    known = joining.begin(home, given, source, token_of(pkcs11_module, pkcs11_token, pkcs11_pin_file))
    _tell_words(known)
    said: JoinAnswer | None
    if hub.startswith("https://"):
        known, said = _over_https(known, hub, wait)
    else:
        known, said = _by_file(known, Path(hub))
    result = {"node": known.join.request.node, "words": " ".join(known.words)}
    if said is None or said.sealed is None:
        stage = Stage.INVITED if said is None else said.stage
        answer(result | {"stage": str(stage)}, as_json, _WAITING.get(stage, "the request is written"))
        say("run the same command again, without the token, to go on" if said else f"next: give {hub} to the operators")
        if said is None and given is None:
            say(f"(was {hub} to be their answer? There was no such file: name it as it is called)")
        raise typer.Exit(3)
    settings = asyncio.run(joining.come_in(known, said.sealed, lost_keys=lost_keys))
    answer(result | {"stage": "enrolled"}, as_json, f"{settings.node} is enrolled")
    say(f"next: seci-node doctor --home {home}, then seci-node run --home {home}")


def _token(token: str | None, file: Path | None) -> JoinToken | None:
    text = token or os.environ.get(TOKEN_VARIABLE) or None
    if file is not None:
        try:
            source = sys.stdin.buffer if str(file) == "-" else file.open("rb")
            with source:
                text = source.read(_MOST_TOKEN).decode()
        except OSError as error:
            raise FileUnreadable(f"{file} does not read: {error.strerror}", "name the file with the token") from error
        except UnicodeDecodeError as error:
            raise TokenUnfit("the file holds no token", "name the file with the token") from error
    return None if text is None else joining.parse_token(text)


def _enrolled(home: Path, token: JoinToken | None) -> bool:
    if not (home / "node.json").exists():
        return False
    settings = Settings.load(home)
    return settings.enrolled and (token is None or token.node == settings.node)


def _tell_words(known: Joining) -> None:
    say(f"the words of {known.join.request.node}'s request, to read to the hub's operators by telephone:")
    for place in range(0, len(known.words), 4):
        say("    " + "  ".join(known.words[place : place + 4]))


def _over_https(known: Joining, url: str, wait: int) -> tuple[Joining, JoinAnswer]:
    end, pause, told, stage = time.monotonic() + wait, _PAUSE_S, -_SAY_S, None
    found: Desk | None = None
    while True:
        said = None
        try:
            found = found or Desk.find(url, known.pin)
            said = found.ask(known.join)
            opened = joining.hear(known, said)
            if opened is not known:
                known = opened
                continue
        except AskLater:
            pass
        now = time.monotonic()
        if said is not None and (said.sealed is not None or now >= end):
            return known, said
        if now >= end:
            raise desk.busy(url)
        if said is not None and (said.stage is not stage or now - told >= _SAY_S):
            stage, told = said.stage, now
            say(_WAITING.get(stage, str(stage)))
        time.sleep(max(0.0, min(pause, end - now)))
        pause = min(_LONGEST_PAUSE_S, pause * 1.2)


def _by_file(known: Joining, file: Path) -> tuple[Joining, JoinAnswer | None]:
    """Takes in an answer; else, and if it has a challenge, the request goes into a file."""
    try:
        with file.open("rb") as source:
            content = source.read(MAX_ANSWER + 1)
    except FileNotFoundError:
        content = b""
    except OSError as error:
        raise FileUnreadable(f"{file} does not read: {error.strerror}", "name another with --hub") from error
    if not content or b'"join_request"' in content[:200]:
        _write(file, known)
        return known, None
    said = desk.parse(content)
    opened = joining.hear(known, said)
    if opened is not known:
        reply = file.with_name(f"{known.join.request.node}.join.json")
        if reply == file:
            raise AnswerUnfit(f"{file} would be written over", "give the answer another name")
        _write(reply, opened)
        say(f"the encryption key is proven in {reply}: the operators may import it again, but need not wait for it")
    return opened, said


def _write(file: Path, known: Joining) -> None:
    try:
        write_private(file, (known.join.model_dump_json(indent=2, exclude_none=True) + "\n").encode())
    except OSError as error:
        raise FileUnwritable(f"{file} cannot be written: {error.strerror}", "name another with --hub") from error
