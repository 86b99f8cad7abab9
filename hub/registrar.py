"""The registrar: issues certificates to nodes, keeps the roster, and puts every roster into the ledger."""

import base64
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import certificates
from crypto.enrolment import verify_request
from crypto.errors import CryptoError
from crypto.keys import EncryptionPublicKey, SigningKey, VerifyKey
from crypto.trust import Trust, open_roster, sign_roster
from hub import ledger, tables
from hub.errors import EnrolmentRefused
from hub.ledger import Ledger
from schemas.codes import Agency
from schemas.control import Entry, Event
from schemas.enrolment import EnrolmentRequest
from schemas.participants import CENTRE, Category
from schemas.roster import KeyUse, Roster, RosterKey, RosterNode

KEY_DAYS: Final = 825
CERTIFICATE_DAYS: Final = 397
# A key is good for messages a little older than its enrolment: clocks differ.
SKEW_MS: Final = 10 * 60 * 1000
_DAY_MS: Final = 86_400_000


async def newest(connection: AsyncConnection, after: int) -> bytes | None:
    """The newest signed roster with a version above `after`, if there is one."""
    table = tables.roster.c
    query = select(table.signed).where(table.version > after).order_by(table.version.desc()).limit(1)
    signed: bytes | None = await connection.scalar(query)
    return signed


def trust_of(signed: bytes, hub: VerifyKey) -> Trust:
    """The roster made ready for questions, its signature checked even though it is our own."""
    return Trust.of(open_roster(signed, hub))


async def publish_roster(
    connection: AsyncConnection, log: Ledger, nodes: Sequence[RosterNode], signer: SigningKey
) -> Roster:
    """A new version of the roster with its ledger entry, in the caller's transaction."""
    await ledger.lock(connection)
    now = time.time_ns() // 1_000_000
    signed_before = await newest(connection, 0)
    version = 1 if signed_before is None else open_roster(signed_before, signer.public).version + 1
    roster = Roster(version=version, at=now, nodes=tuple(sorted(nodes, key=lambda node: node.node)))
    signed = sign_roster(roster, signer)
    entry = Entry(
        event=Event.ROSTER, at=now, node=CENTRE, evidence=ledger.evidence(signed), detail=f"version {version}"
    )
    appended = await ledger.append(connection, log, [entry])
    row = (version, appended.receipts[0].index, now, signed)
    await ledger.copy(connection, "roster", ("version", "leaf_index", "at", "signed"), [row])
    return roster


def check_request(request: EnrolmentRequest, roster: Roster | None) -> None:
    """Raises EnrolmentRefused for a request that is not its own, or for a node enrolled with other keys."""
    try:
        verify_request(request)
        # A key may parse and yet be of no use: try it.
        EncryptionPublicKey.from_public_bytes(base64.b64decode(request.encryption_key)).wrap(b"trial", b"")
    except CryptoError as error:
        raise EnrolmentRefused(
            f"the request of {request.node}: {error}",
            "let the node run `seci-node init` again and send the new file",
        ) from error
    known = {node.node: node for node in roster.nodes} if roster is not None else {}
    if request.node in known:
        held = {key.public for key in known[request.node].keys}
        if not {base64.b64decode(request.signing_key), base64.b64decode(request.encryption_key)} <= held:
            raise EnrolmentRefused(
                f"{request.node} is already in the roster with other keys",
                "if the node lost its keys, remove it first; if it did not, somebody else made this request",
            )


def roster_node(
    request: EnrolmentRequest,
    name: str,
    category: Category,
    agencies: Sequence[Agency],
    task_forces: Sequence[str],
) -> RosterNode:
    """The roster's entry for an enrolled node."""
    now = time.time_ns() // 1_000_000
    signing = VerifyKey.from_public_bytes(base64.b64decode(request.signing_key))
    sealing = EncryptionPublicKey.from_public_bytes(base64.b64decode(request.encryption_key))
    validity = {"not_before": now - SKEW_MS, "not_after": now + KEY_DAYS * _DAY_MS}
    keys = (
        RosterKey(kid=signing.key_id, use=KeyUse.SIGN, public=signing.public_bytes(), **validity),
        RosterKey(kid=sealing.key_id, use=KeyUse.SEAL, public=sealing.public_bytes(), **validity),
    )
    return RosterNode(
        node=request.node,
        name=name,
        category=category,
        agencies=tuple(agencies),
        task_forces=tuple(sorted(task_forces)),
        keys=keys,
    )


def certify(request: EnrolmentRequest, ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey) -> bytes:
    """The node's TLS client certificate, PEM. Raises EnrolmentRefused."""
    name = f"node-{request.node}"
    try:
        csr = certificates.read_csr(request.csr_pem.encode())
        certificate = certificates.issue(
            csr, ca, ca_key, certificates.Profile.CLIENT, common_name=name, days=CERTIFICATE_DAYS
        )
        certificates.check_validity(certificate, datetime.now(UTC))
    except CryptoError as error:
        raise EnrolmentRefused(
            f"the certificate request of {request.node}: {error}", "let the node make a new one"
        ) from error
    return certificates.to_pem(certificate)
