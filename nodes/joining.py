"""Joining: keys and a request under a token, and what the hub answers to it. May be killed anywhere and run again.

`join.json` in the node's folder is the request, made once: the words that people compare depend on it.
"""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from crypto import joining as proofs
from crypto.errors import CryptoError
from crypto.hsm import Token
from crypto.keyfile import SecretSource, load_node_keys, write_private
from crypto.keys import EncryptionKey
from nodes import rosters, setup
from nodes.errors import (
    AnswerUnfit,
    EarlierKeys,
    FileUnreadable,
    FolderTaken,
    HubForeign,
    JoinRefused,
    NotSetUp,
    TokenUnfit,
)
from nodes.settings import Settings
from schemas.control import ControlRefused
from schemas.enrolment import Welcome
from schemas.joining import JoinAnswer, JoinRequest, JoinToken, Stage, TokenMalformed

REQUEST: Final = "join.json"
WELCOME: Final = "welcome.json"


@dataclass(frozen=True, slots=True)
class Joining:
    """A node on its way in: its folder, its request, and what people compare by telephone."""

    home: Path
    join: JoinRequest
    words: tuple[str, ...]

    @property
    def pin(self) -> bytes:
        """Which hub the token named."""
        return bytes.fromhex(self.join.pin)


def parse_token(text: str) -> JoinToken:
    """Raises TokenUnfit."""
    try:
        return JoinToken.parse(text)
    except TokenMalformed as error:
        raise TokenUnfit(str(error), "compare it with what the hub's operators gave you, letter by letter") from error


def begin(home: Path, token: JoinToken | None, source: SecretSource | None = None, hsm: Token | None = None) -> Joining:
    """Makes keys and request, or takes those that are there: with another token the request is signed anew.

    `source` and `hsm` are as for `setup.create`. Raises TokenUnfit if there is neither token nor request; FolderTaken,
    KeysElsewhere, FileUnwritable, NotSetUp, HsmUnavailable.
    """
    file = home / REQUEST
    found = _stored(file)
    if token is None and found is None:
        raise TokenUnfit("a token is needed to begin", "give it with --token-file FILE, or - for standard input")
    if token is not None and (found is None or not _is_under(token, found)):
        if (home / "node.json").exists() and (settings := Settings.load(home)).enrolled:
            raise FolderTaken(
                f"{settings.node} is enrolled in {home}", "nothing is to do; after lost keys, join in a new folder"
            )
        setup.create(home, token.node, source, hsm)
        found = proofs.sign_join(token, setup.read_request(home))
        keep(home, found)
    elif (home / "node.json").exists():
        setup.check_same(Settings.load(home), source or SecretSource(), hsm)
    if found is None:
        raise NotSetUp(f"{file} is missing", "give the token again")
    return Joining(home, found, proofs.join_words(found))


def keep(home: Path, join: JoinRequest) -> None:
    """Puts the request into the folder."""
    write_private(home / REQUEST, (join.model_dump_json(indent=2, exclude_none=True) + "\n").encode())


def hear(joining: Joining, answer: JoinAnswer) -> Joining:
    """The request as it goes on after that answer, with the challenge opened if there is one.

    Raises AnswerUnfit, JoinRefused.
    """
    join = joining.join
    if (answer.node, answer.invitation) != (join.request.node, join.invitation):
        raise AnswerUnfit(
            f"the answer is for {answer.node}, invitation {answer.invitation}", "use the one for this node's request"
        )
    if answer.stage is Stage.REJECTED:
        reason = answer.reason or "no reason is given"
        raise JoinRefused("join_rejected", f"the hub's operators rejected it: {reason}", "telephone them")
    if answer.challenge is None or join.opened is not None:
        return joining
    try:
        opened = proofs.open_challenge(join, answer.challenge, _encryption_key(joining.home))
    except (CryptoError, ValueError) as error:
        raise AnswerUnfit(
            "the hub's challenge does not open with this node's key", "run `seci-node join` again"
        ) from error
    keep(joining.home, opened)
    return Joining(joining.home, opened, joining.words)


async def come_in(joining: Joining, sealed: str, *, lost_keys: bool) -> Settings:
    """Takes in the welcome. Raises AnswerUnfit, HubForeign, EarlierKeys, WelcomeRefused."""
    home = joining.home
    try:
        content = proofs.open_welcome(joining.join, sealed, _encryption_key(home))
        told = Welcome.model_validate_json(content)
        pin = proofs.pin_of(proofs.identity_in(told))
    except (CryptoError, ValidationError) as error:
        raise AnswerUnfit(
            f"the welcome does not hold: {type(error).__name__}", "ask the hub's operators again"
        ) from error
    if pin != joining.pin:
        raise HubForeign(
            "the welcome is of another hub than the token", "telephone the hub's operators; use none of it"
        )
    earlier = _earlier(told)
    if earlier and not lost_keys:
        named = ", ".join(kid.hex() for kid in earlier)
        raise EarlierKeys(
            f"the roster lists earlier keys of {told.node}, which have ended: {named}",
            "if this node was enrolled before and has lost them, repeat with --lost-keys; if not, telephone the hub",
        )
    file = home / WELCOME
    write_private(file, content)
    return await setup.welcome(home, file, lost_keys=lost_keys)


def _earlier(told: Welcome) -> tuple[bytes, ...]:
    try:
        return rosters.ended_kids(base64.b64decode(told.roster), told.node)
    except (CryptoError, ControlRefused):
        # Told when it is taken in.
        return ()


def _is_under(token: JoinToken, join: JoinRequest) -> bool:
    try:
        proofs.verify_token(join, proofs.token_key(token).public)
    except CryptoError:
        return False
    return join.pin == token.pin.hex()


def _stored(file: Path) -> JoinRequest | None:
    try:
        return JoinRequest.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise FileUnreadable(f"{file} does not read: {error.strerror}", "name the node's folder") from error
    except ValidationError as error:
        raise FileUnreadable(f"{file} is damaged", "delete it, and give the token again") from error


def _encryption_key(home: Path) -> EncryptionKey:
    return load_node_keys(home / "node.key", Settings.load(home).secret()).encryption[0]
