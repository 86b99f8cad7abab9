"""Setting a node up: its keys, its enrolment request, and taking in the hub's welcome. Never overwrites a key."""

import base64
import secrets
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from sqlalchemy.engine import Connection

from crypto import certificates, keyfile
from crypto.cosignature import CosignatureType, CosignerKey
from crypto.enrolment import sign_request
from crypto.errors import CryptoError, KeyUnknown
from crypto.hsm import Token, generate_p256
from crypto.keyfile import NodeKeys, SecretSource, load_node_keys, load_tls_key, write_private
from crypto.keys import SigningKey, VerifyKey
from crypto.log import log
from crypto.note import NoteVerifier
from nodes import handovers, histories, rosters
from nodes.errors import FileUnreadable, FileUnwritable, FolderTaken, KeysElsewhere, WelcomeRefused
from nodes.histories import HubCaught
from nodes.settings import TOKEN_SIZE, Settings
from nodes.store import Store
from schemas.control import ControlRefused
from schemas.enrolment import EnrolmentRequest, Welcome

_AGAIN: Final = "ask the hub's operators for it again"


def create(home: Path, node: str, source: SecretSource | None = None, token: Token | None = None) -> Settings:
    """Keys, settings, API token and enrolment.json in `home`; the signing key in `token` if one is given.

    Safe to repeat. Raises FileUnwritable, FolderTaken, KeysElsewhere, NotSetUp, HsmUnavailable.
    """
    source = source or SecretSource()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise FileUnwritable(f"{home} cannot be made: {error.strerror}", "name another folder with --home") from error
    if (home / "node.json").exists():
        settings = Settings.load(home)
        if settings.node != node:
            raise FolderTaken(f"{home} belongs to node {settings.node}", "use a folder of its own for each node")
        check_same(settings, source, token)
    else:
        settings = Settings(home=home, node=node, **asdict(source))
        keyfile.make_key_file(home, source)
        settings.secret()
        settings.save()
    secret = settings.secret()
    if not (home / "node.key").exists():
        keyfile.save_node_keys(home / "node.key", _new_keys(node, token), secret)
    if not (home / "tls.key").exists():
        keyfile.save_tls_key(home / "tls.key", certificates.new_tls_key(), secret)
    if not (home / "api.token").exists() or not (home / "api.token").read_text().strip():
        write_private(home / "api.token", f"{secrets.token_urlsafe(TOKEN_SIZE)}\n".encode())
    if not (home / "witness.key").exists():
        keyfile.save_signing_key(home / "witness.key", SigningKey.generate(), secret)
    write_request(home, node, settings)
    return settings


def check_same(settings: Settings, source: SecretSource, token: Token | None) -> None:
    """Keys that are there stay where they are: nobody is to believe that they were put elsewhere.

    Raises KeysElsewhere, and what opening them may.
    """
    if not source.is_default and source.place(settings.home) != settings.source.place(settings.home):
        raise KeysElsewhere(
            f"the keys in {settings.home} open with another secret: {settings.source.place(settings.home)}",
            "change it: seci-node reseal; or leave that option out",
        )
    if token is None or not (settings.home / "node.key").exists():
        return
    kept = load_node_keys(settings.home / "node.key", settings.secret()).signing.reference
    if kept is None or kept.token.label != token.label:
        raise KeysElsewhere(
            f"the signing key of {settings.home} was made already, and not in the token {token.label!r}",
            "for one in the token, begin in a new folder; or leave the --pkcs11 options out",
        )


def _new_keys(node: str, token: Token | None) -> NodeKeys:
    keys = NodeKeys.generate()
    if token is None:
        return keys
    # A name of its own: what an earlier attempt that was cut off left in the token is nobody's key.
    return replace(keys, signing=SigningKey(generate_p256(token, f"seci-node-{node}-{secrets.token_hex(4)}")))


def witness_key(settings: Settings) -> SigningKey:
    """What this node cosigns checkpoints with.

    A node that an older program set up gets one now, and a new enrolment.json that names it: until the hub's
    operators have put it into the roster, it is not used. Raises WrongPassphrase, KeyFileRefused.
    """
    file, secret = settings.home / "witness.key", settings.secret()
    if not file.exists():
        keyfile.save_signing_key(file, SigningKey.generate(), secret)
        write_request(settings.home, settings.node, settings)
        log.warning("witness_key_made", next="send enrolment.json to the hub's operators again")
    return keyfile.load_signing_key(file, secret)


def own_kids(keys: NodeKeys, witness: SigningKey) -> tuple[bytes, ...]:
    """The ids of all public keys of a node that a roster may list."""
    return keys.signing.public.key_id, *(key.public.key_id for key in keys.encryption), witness.public.key_id


def write_request(home: Path, node: str, settings: Settings) -> None:
    """enrolment.json, of the keys that are there now. Raises HsmUnavailable, WrongPassphrase, KeyFileRefused."""
    secret = settings.secret()
    keys = load_node_keys(home / "node.key", secret)
    csr = certificates.create_csr(f"node-{node}", load_tls_key(home / "tls.key", secret))
    witness = keyfile.load_signing_key(home / "witness.key", secret).public
    request = sign_request(node, keys.signing, keys.encryption[0].public, certificates.to_pem(csr), witness)
    (home / "enrolment.json").write_text(request.model_dump_json(indent=2) + "\n")


def read_request(home: Path) -> EnrolmentRequest:
    """The enrolment request that `create` wrote."""
    return EnrolmentRequest.model_validate_json((home / "enrolment.json").read_bytes())


async def remember_keys(settings: Settings) -> None:
    """Tells the store of the keys in the folder, so that an agent at work knows a new one in the roster as its own."""
    keys, witness = load_node_keys(settings.home / "node.key", settings.secret()), witness_key(settings)
    box = Store.open(settings.home / "node.db", keys.storage)
    try:
        hub = await box.run(handovers.keys_of, settings.log_verifier())
        reader = rosters.Reader(settings.node, keys, hub, settings.log_origin, hub)
        await box.run(reader.remember, own_kids(keys, witness))
    finally:
        box.close()


async def given(home: Path) -> dict[str, object]:
    """What welcome files have given this node so far, by what it is called: to be compared with what it was before.

    Raises NotSetUp, WrongPassphrase.
    """
    settings, known = Settings.load(home), None
    if settings.enrolled:
        box = Store.open(home / "node.db", load_node_keys(home / "node.key", settings.secret()).storage)
        try:
            known = await box.run(rosters.in_force), await box.run(rosters.waiting)
        finally:
            box.close()
    certificate, authorities = home / "tls.pem", home / "ca.pem"
    return {
        "broker": (settings.broker_host, settings.broker_port, settings.vhost),
        "hub_key": (settings.hub_key, settings.log_vkey),
        "second_key": settings.log_vkey_mldsa,
        "certificate": certificate.read_bytes() if certificate.exists() else b"",
        "authorities": authorities.read_bytes() if authorities.exists() else b"",
        "roster": known,
    }


async def welcome(home: Path, file: Path, *, lost_keys: bool = False) -> Settings:
    """Takes in the hub's welcome file after checking that it is for this node's keys.

    With `lost_keys`, keys of this node whose time has ended in the file's roster are earlier ones of its own. A file of
    the hub's that contradicts what this node has taken in before is an alarm, too. Raises WelcomeRefused,
    FileUnreadable, NotSetUp, WrongPassphrase.
    """
    settings = Settings.load(home)
    told = _read_welcome(file)
    if told.node != settings.node:
        raise WelcomeRefused(f"the file is for {told.node}, this is {settings.node}", "use this node's file")
    _check_second(told)
    if settings.log_vkey_mldsa and told.log_vkey_mldsa not in (None, settings.log_vkey_mldsa):
        raise WelcomeRefused(
            "the file names another second key of the hub (log_vkey_mldsa) than the one trusted so far",
            "ask the hub's operators; if they had to replace it, take the old one out of node.json first",
        )
    keys, witness = load_node_keys(home / "node.key", settings.secret()), witness_key(settings)
    reader = _check(settings, told, keys)
    box = Store.open(home / "node.db", keys.storage)
    try:
        reader = await _going_by(settings, told, reader, box)
        now, news = time.time_ns() // 1_000_000, base64.b64decode(told.roster)
        earlier = rosters.ended_kids(news, settings.node) if lost_keys else ()
        await box.run(reader.welcome, news, (*own_kids(keys, witness), *earlier), now)
    except (CryptoError, ControlRefused, HubCaught) as error:
        if isinstance(error, HubCaught):
            await box.run(_distrust, error, now)
        swapped = error.code in (KeyUnknown.code, histories.KEY_FOREIGN)
        raise WelcomeRefused(
            f"the roster in the welcome file does not hold: {error} [{error.code}]",
            "tell the hub's operators: keys were swapped" if swapped else "ask the hub's operators for it again",
        ) from error
    finally:
        box.close()
    write_private(home / "tls.pem", told.certificate_pem.encode())
    write_private(home / "ca.pem", told.ca_pem.encode())
    fields = ("broker_host", "broker_port", "vhost", "hub_key", "log_origin", "log_vkey")
    # A welcome without a second key takes none away: what is witnessed does not become worth less.
    known = {"log_vkey_mldsa": told.log_vkey_mldsa or settings.log_vkey_mldsa}
    enrolled = settings.model_copy(update={name: getattr(told, name) for name in fields} | known)
    enrolled.save()
    return enrolled


async def _going_by(settings: Settings, told: Welcome, reader: rosters.Reader, box: Store) -> rosters.Reader:
    """The same, with all keys of the hub that this node knows by now. Raises WelcomeRefused."""
    if not settings.enrolled:
        return reader
    known = await box.run(handovers.keys_of, settings.log_verifier())
    newest = base64.b64encode(known.newest.key.public_bytes()).decode(), known.newest.vkey()
    if newest != (told.hub_key, told.log_vkey):
        raise WelcomeRefused(
            "the file names another hub key than the one trusted so far",
            "ask the hub's operators; if they have handed over to another key, let the agent run until it follows that",
        )
    return replace(reader, hub=known, ledger=known)


def _distrust(connection: Connection, caught: HubCaught, now: int) -> None:
    if rosters.in_force(connection) is None or histories.undecided(connection) is not None:
        return
    # A file with another key shows nothing of the hub: anybody can have written it.
    if caught.code != histories.KEY_CHANGED:
        histories.raise_alarm(connection, caught, now)


def _read_welcome(file: Path) -> Welcome:
    try:
        return Welcome.model_validate_json(file.read_bytes())
    except OSError as error:
        raise FileUnreadable(f"{file} does not read: {error.strerror}", "name the hub's welcome file") from error
    except ValidationError as error:
        fields = ", ".join(sorted({str(item["loc"][0]) for item in error.errors() if item["loc"]})) or "all of it"
        raise WelcomeRefused(f"{file} is no welcome file (wrong: {fields})", "ask the hub's operators again") from error


def _check_second(given: Welcome) -> None:
    if given.log_vkey_mldsa is None:
        return
    words = "log_vkey_mldsa in the welcome file is no ML-DSA-44 key of the ledger"
    try:
        second = CosignerKey.parse(given.log_vkey_mldsa)
    except CryptoError as error:
        raise WelcomeRefused(f"{words}: {error}", _AGAIN) from error
    if (second.name, second.type) != (given.log_origin, CosignatureType.MLDSA44):
        raise WelcomeRefused(words, _AGAIN)


def _check(settings: Settings, given: Welcome, keys: NodeKeys) -> rosters.Reader:
    tls_key = load_tls_key(settings.home / "tls.key", settings.secret())
    try:
        certificate = certificates.read_certificate(given.certificate_pem.encode())
        # Neither is used before the agent runs, which would then end with what is told here.
        certificates.read_authorities(given.ca_pem.encode())
        ledger = NoteVerifier.parse(given.log_vkey)
        hub = VerifyKey.from_public_bytes(base64.b64decode(given.hub_key))
    except CryptoError as error:
        raise WelcomeRefused(f"the welcome file does not hold: {error}", _AGAIN) from error
    if certificate.public_key() != tls_key.public_key():
        raise WelcomeRefused("the certificate is not for this node's TLS key", "enrol with this node's enrolment.json")
    return rosters.Reader(settings.node, keys, hub, given.log_origin, ledger)
