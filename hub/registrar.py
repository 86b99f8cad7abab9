"""The registrar: issues certificates to nodes, keeps the roster, and puts every roster into the ledger."""

import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import certificates
from crypto.enrolment import verify_request
from crypto.errors import CryptoError
from crypto.keys import EncryptionPublicKey, SigningKey, VerifyKey
from crypto.rosternews import detail_of
from crypto.trust import Earlier, RosterKeys, Trust, open_roster, sign_roster, witness_key
from hub import ledger, policies, rows, tables
from hub.errors import EnrolmentRefused, SettingsInvalid
from hub.judge import OLDEST_MS
from hub.ledger import Appended, Ledger
from hub.topology import user_of
from hub.watch import iso
from schemas.codes import TASK_FORCES, Agency
from schemas.control import Entry, Event
from schemas.enrolment import EnrolmentRequest
from schemas.participants import CENTRE, PARTICIPANTS, category_of
from schemas.policy import Policy
from schemas.roster import KeyUse, NodeState, Roster, RosterKey, RosterNode

KEY_DAYS: Final = 825
CERTIFICATE_DAYS: Final = 397
# A key is good for messages a little older than its enrolment: clocks differ.
SKEW_MS: Final = 10 * 60 * 1000
DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Unsigned:
    """What a roster says, without its signature."""

    version: int
    nodes: tuple[RosterNode, ...]
    crl: bytes | None = None
    policy: Policy = field(default_factory=Policy)


async def newest(connection: AsyncConnection, after: int) -> bytes | None:
    """The newest signed roster with a version above `after`, if there is one."""
    table = tables.roster.c
    query = select(table.signed).where(table.version > after).order_by(table.version.desc()).limit(1)
    signed: bytes | None = await connection.scalar(query)
    return signed


async def current(connection: AsyncConnection, hub: RosterKeys) -> Unsigned:
    """The roster in force; version 0 without nodes if there is none yet."""
    signed = await newest(connection, 0)
    if signed is None:
        return Unsigned(0, ())
    roster = open_roster(signed, hub)
    return Unsigned(roster.version, roster.nodes, roster.crl, roster.policy or Policy())


async def newest_first(connection: AsyncConnection, after: int = 0) -> tuple[bytes, ...]:
    """The signed rosters by which anything may have to be judged, if the newest has a version above `after`.

    Messages may be as old as the policy lets them be: these are the rosters since, and the one in force then.
    """
    table = tables.roster.c
    since = time.time_ns() // 1_000_000 - OLDEST_MS
    then = select(func.max(table.version)).where(table.at <= since).scalar_subquery()
    query = select(table.version, table.signed).where(table.version >= func.coalesce(then, 0))
    if (await connection.scalar(select(func.max(table.version))) or 0) <= after:
        return ()
    return tuple(row.signed for row in await connection.execute(query.order_by(table.version.desc())))


def absent(roster: Unsigned) -> list[str]:
    """The nodes that take no part: suspended, revoked or removed."""
    return [node.node for node in roster.nodes if not node.active]


def trust_of(signed: Sequence[bytes], hub: RosterKeys) -> Trust:
    """Rosters, the newest first, made ready for questions, their signatures checked even though they are our own."""
    return Trust.of(open_roster(signed[0], hub), [Earlier(older, hub) for older in signed[1:]])


async def trust(connection: AsyncConnection, hub: RosterKeys) -> Trust:
    """The roster in force, as `trust_of`. Raises SettingsInvalid if there is none yet."""
    signed = await newest_first(connection)
    if not signed:
        raise SettingsInvalid("there is no roster yet", "run `seci-hub provision`")
    return trust_of(signed, hub)


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of the policy; and the entry that says by whose word, if that is none of an operator's."""

    policy: Policy
    entry: Entry | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """A new roster, and its entry in the ledger; behind it that of the change, if it is one of the policy."""

    roster: Roster
    appended: Appended


async def publish_roster(
    connection: AsyncConnection,
    log: Ledger,
    nodes: Sequence[RosterNode],
    signer: SigningKey,
    crl: bytes | None = None,
) -> Roster:
    """A new version of the roster with its ledger entry, in the caller's transaction; the policy stays as it was.

    Without `crl` that is the one of before, too.
    """
    return (await publish(connection, log, nodes, signer, crl=crl)).roster


async def publish(
    connection: AsyncConnection,
    log: Ledger,
    nodes: Sequence[RosterNode],
    signer: SigningKey,
    change: Change | None = None,
    crl: bytes | None = None,
) -> Published:
    """The same, with a change of the policy if one is given.

    It is dated behind all messages that were accepted before it.
    """
    turn = await ledger.take_turn(connection)
    now, before = await _date(connection, turn.at), await current(connection, log.keys)
    # Said in full, whatever this program has by default: a node may be of another version.
    policy = (before.policy if change is None else change.policy).written_out()
    version = before.version + 1
    ordered = tuple(sorted(nodes, key=lambda node: node.node))
    roster = Roster(version=version, at=now, nodes=ordered, crl=crl or before.crl, policy=policy)
    # What no node would take must not be signed.
    Trust.of(roster)
    signed = sign_roster(roster, signer)
    entry = Entry(event=Event.ROSTER, at=now, node=CENTRE, evidence=ledger.evidence(signed), detail=detail_of(version))
    appended = await ledger.append(connection, log, turn, [entry, *_by_word(change)])
    row = (version, appended.receipts[0].index, now, signed)
    written = before.version > 0 and policy.rules == before.policy.rules
    await rows.insert(connection, {"roster": [row], "policy_rule": [] if written else policies.rule_rows(roster)})
    return Published(roster, appended)


async def _date(connection: AsyncConnection, turn_at: int) -> int:
    # As entries about messages are: by our clock, but never ahead of the database's. It may be behind that of a worker.
    content = tables.ledger_content.c
    query = select(content.at).where(content.event == str(Event.ACCEPTED)).order_by(content.leaf_index.desc()).limit(1)
    return max(min(time.time_ns() // 1_000_000, turn_at), await connection.scalar(query) or 0)


def _by_word(change: Change | None) -> list[Entry]:
    return [] if change is None or change.entry is None else [change.entry]


async def keep_certificate(connection: AsyncConnection, pem: bytes, node: str) -> None:
    """Remembers a certificate by its number, so that it can be revoked; issued anew, another one has another."""
    certificate = certificates.read_certificate(pem)
    end = int(certificate.not_valid_after_utc.timestamp() * 1000)
    row = {"serial": f"{certificate.serial_number:x}", "node": node, "not_after": end}
    values = {**row, "at": time.time_ns() // 1_000_000}
    await connection.execute(insert(tables.certificate).values(values).on_conflict_do_nothing())


def check_request(request: EnrolmentRequest, roster: Unsigned) -> None:
    """Raises EnrolmentRefused for a request that is not its own, or for a node enrolled with other keys."""
    try:
        verify_request(request)
        # A key may parse and yet be of no use: try it.
        EncryptionPublicKey.from_public_bytes(base64.b64decode(request.encryption_key)).wrap(b"trial", b"")
        if request.witness_key is not None:
            witness_key(request.node, base64.b64decode(request.witness_key))
    except CryptoError as error:
        raise EnrolmentRefused(
            f"the request of {request.node}: {error}",
            "let the node run `seci-node init` again and send the new file",
        ) from error
    known = {node.node: node for node in roster.nodes}
    _check_witness(request, roster)
    if request.node in known:
        standing = known[request.node].standing
        if standing is not None:
            raise EnrolmentRefused(
                f"{request.node} is {standing.state} since {iso(standing.since)}",
                "decide on that first: seci-hub unsuspend, or enrolment with new keys",
            )
        # What was replaced is listed for a while: who has taken it must not be given a certificate for it.
        held = {_newest(known[request.node], use) for use in (KeyUse.SIGN, KeyUse.SEAL)}
        if {base64.b64decode(request.signing_key), base64.b64decode(request.encryption_key)} != held:
            raise EnrolmentRefused(
                f"{request.node} is already in the roster with other keys",
                "ask for the enrolment.json that the node has by now, and the node's administrator by telephone: "
                "somebody else may have made this request",
            )


def _newest(node: RosterNode, use: KeyUse) -> bytes | None:
    listed = [key for key in node.keys if key.use is use]
    return max(listed, key=lambda key: key.not_after).public if listed else None


def _check_witness(request: EnrolmentRequest, roster: Unsigned) -> None:
    if request.witness_key is None:
        return
    public = base64.b64decode(request.witness_key)
    uses = [(node.node, key.use) for node in roster.nodes for key in node.keys if key.public == public]
    if public == base64.b64decode(request.signing_key) or uses not in ([], [(request.node, KeyUse.WITNESS)]):
        raise EnrolmentRefused(
            f"the witness key of {request.node} is in use for something else",
            "let the node delete witness.key, run `seci-node init` again and send the new file",
        )


def with_admitted(
    roster: Unsigned,
    requests: Sequence[EnrolmentRequest],
    agencies: Sequence[Agency] | None,
    task_forces: Sequence[str] | None,
) -> tuple[RosterNode, ...]:
    """The nodes with these admitted, sorted. Who is in already keeps keys, agencies and memberships not given.

    But for its witness key: a node's own signing key vouches for the one in its request.
    """
    nodes = {node.node: node for node in roster.nodes}
    for request in requests:
        node = nodes.get(request.node) or _newcomer(request)
        nodes[request.node] = _changed(node, _with_witness(node.keys, request), agencies, task_forces)
    return tuple(nodes[name] for name in sorted(nodes))


def _changed(
    node: RosterNode,
    keys: tuple[RosterKey, ...],
    agencies: Sequence[Agency] | None,
    task_forces: Sequence[str] | None,
) -> RosterNode:
    changes: dict[str, object] = {"keys": keys}
    if agencies is not None:
        changes["agencies"] = tuple(agencies)
    if task_forces is not None:
        changes["task_forces"] = tuple(sorted(set(task_forces)))
    return node.model_copy(update=changes)


def _newcomer(request: EnrolmentRequest) -> RosterNode:
    now = time.time_ns() // 1_000_000
    signing = VerifyKey.from_public_bytes(base64.b64decode(request.signing_key))
    sealing = EncryptionPublicKey.from_public_bytes(base64.b64decode(request.encryption_key))
    validity = {"not_before": now - SKEW_MS, "not_after": now + KEY_DAYS * DAY_MS}
    participant = PARTICIPANTS.get(request.node)
    return RosterNode(
        node=request.node,
        name=participant.name if participant else request.node.upper(),
        category=category_of(request.node),
        agencies=(Agency.POLICE, Agency.CUSTOMS),
        task_forces=tuple(sorted(TASK_FORCES)),
        keys=(
            RosterKey(kid=signing.key_id, use=KeyUse.SIGN, public=signing.public_bytes(), **validity),
            RosterKey(kid=sealing.key_id, use=KeyUse.SEAL, public=sealing.public_bytes(), **validity),
        ),
    )


def comes_back(node: RosterNode) -> bool:
    """Whether the node takes part once it has new keys: not while it is suspended."""
    return node.standing is None or node.standing.state is not NodeState.SUSPENDED


def with_replaced(
    roster: Unsigned,
    request: EnrolmentRequest,
    agencies: Sequence[Agency] | None,
    task_forces: Sequence[str] | None,
    at: int,
) -> tuple[RosterNode, ...]:
    """The nodes with new keys of one that is in the roster and has lost its own: those are revoked at `at` (ms), and
    stay listed, so that what was on record before can be verified for ever. One that was revoked takes part again.
    """
    [known] = [node for node in roster.nodes if node.node == request.node]
    ended = tuple(
        key.model_copy(update={"not_after": min(key.not_after, at), "revoked": key.revoked or at}) for key in known.keys
    )
    replaced = _changed(known, (*_with_witness(_newcomer(request).keys, request), *ended), agencies, task_forces)
    if known.standing is not None and comes_back(known):
        replaced = replaced.model_copy(update={"standing": None})
    return tuple(replaced if node.node == request.node else node for node in roster.nodes)


def _with_witness(keys: tuple[RosterKey, ...], request: EnrolmentRequest) -> tuple[RosterKey, ...]:
    if request.witness_key is None:
        return keys
    public = base64.b64decode(request.witness_key)
    if any(key.use is KeyUse.WITNESS and key.public == public for key in keys):
        return keys
    now = time.time_ns() // 1_000_000
    validity = {"not_before": now - SKEW_MS, "not_after": now + KEY_DAYS * DAY_MS}
    kid = VerifyKey.from_public_bytes(public).key_id
    others = tuple(key for key in keys if key.use is not KeyUse.WITNESS)
    return (*others, RosterKey(kid=kid, use=KeyUse.WITNESS, public=public, **validity))


def certify(
    node: str, csr_pem: str, ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey, user: str | None = None
) -> bytes:
    """The node's TLS client certificate, PEM, for its `user` at the broker (`accounts`). Raises EnrolmentRefused."""
    asked = user_of(node)
    try:
        csr = certificates.read_csr(csr_pem.encode())
        certificate = certificates.issue(
            *(csr, ca, ca_key, certificates.Profile.CLIENT),
            common_name=user or asked,
            days=CERTIFICATE_DAYS,
            asked=asked,
        )
        certificates.check_validity(certificate, datetime.now(UTC))
    except CryptoError as error:
        raise EnrolmentRefused(f"the certificate request of {node}: {error}", "let the node make a new one") from error
    return certificates.to_pem(certificate)
