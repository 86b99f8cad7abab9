"""The hub's verdict on what arrives: pure functions from bytes and roster to a decision.

    verify the signature -> check the header against the queue it came by -> apply the policy

The sender's identity is threefold and must agree: the ingress queue (which only the node's
certificate can publish to), the header, and the signature.

The sender is judged by the roster that was in force when it wrote, and must be active now; its recipients are judged
by the roster of now. What a revoked key signed and comes only now is refused, whatever time it says.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from crypto.authorities import open_held, signer_of_held
from crypto.envelope import claimed_id, digest_of, verify
from crypto.errors import CryptoError
from crypto.keys import VerifyKey
from crypto.orders import open_order
from crypto.renewal import open_renewal, signer_of_renewal
from crypto.trust import Trust, open_acknowledgement
from schemas import registry
from schemas.authorities import AuthoritiesHeld
from schemas.codes import TASK_FORCES
from schemas.control import Acknowledgement, ControlRefused, MessageType
from schemas.header import MAX_LIFETIME_MS, Header
from schemas.membership import MembershipOrder
from schemas.refusals import RefusalCode
from schemas.renewal import RenewalRequest
from schemas.roster import NodeState
from schemas.witnessing import CheckpointRequest, TileRequest, WitnessCosignature

CLOCK_AHEAD_MS: Final = 5 * 60 * 1000
OLDEST_MS: Final = 14 * 24 * 3600 * 1000
RENEWAL_OLDEST_MS: Final = 24 * 3600 * 1000
DETAIL_SIZE: Final = 300


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message as it came off an ingress queue: whose queue, the AMQP type, the bytes, the tag.

    `returns` is how often it was delivered before to a worker that did not settle it. `fault` is what is wrong with
    how it was published, if anything: then it is put into quarantine, whatever it says.
    """

    node: str
    type: str
    body: bytes
    tag: int
    returns: int = 0
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Acceptable:
    """A message that the policy lets through. `digest` is SHA-256 of the envelope."""

    arrival: Arrival
    header: Header
    digest: bytes

    @property
    def message(self) -> UUID:
        """The message's id."""
        return self.header.id


@dataclass(frozen=True, slots=True)
class Refusable:
    """A message to refuse, with a stable code; `message` is the id it claims, if it can be read."""

    arrival: Arrival
    digest: bytes
    message: UUID | None
    code: RefusalCode
    detail: str


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A recipient's acknowledgement, its signature checked."""

    arrival: Arrival
    acknowledgement: Acknowledgement


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What a node says or asks as a witness; it is well formed, and whatever signature is in it is not checked."""

    arrival: Arrival
    said: CheckpointRequest | WitnessCosignature | TileRequest


@dataclass(frozen=True, slots=True)
class Ordered:
    """A coordinator's order, its signature checked; whether it may be carried out is seen when it is recorded."""

    arrival: Arrival
    order: MembershipOrder


@dataclass(frozen=True, slots=True)
class Renewing:
    """A node's request to renew keys or its certificate, its signatures checked."""

    arrival: Arrival
    request: RenewalRequest


@dataclass(frozen=True, slots=True)
class Reporting:
    """What a node says of the authorities that it trusts, its signature checked."""

    arrival: Arrival
    held: AuthoritiesHeld


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Bytes that are none of our messages; kept in quarantine."""

    arrival: Arrival
    reason: str


Verdict = Acceptable | Refusable | Acknowledged | Ordered | Witnessed | Renewing | Reporting | Unreadable
OF_WITNESSES: Final[dict[str, type[CheckpointRequest | WitnessCosignature | TileRequest]]] = {
    MessageType.CHECKPOINT_REQUEST: CheckpointRequest,
    MessageType.COSIGNATURE: WitnessCosignature,
    MessageType.TILE_REQUEST: TileRequest,
}


class Refused(Exception):
    """Raised inside this module where the policy says no."""

    def __init__(self, code: RefusalCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def judge(arrival: Arrival, trust: Trust, now: int) -> Verdict:
    """The verdict on an arrival at `now` (ms UTC). Never raises on what a node sends."""
    if arrival.fault:
        return Unreadable(arrival, arrival.fault)
    if arrival.type == MessageType.ENVELOPE:
        return _judge_envelope(arrival, trust, now)
    if arrival.type == MessageType.ACKNOWLEDGEMENT:
        return _judge_acknowledgement(arrival, trust, now)
    if arrival.type == MessageType.MEMBERSHIP:
        return _judge_order(arrival, trust, now)
    if arrival.type in (MessageType.RENEWAL, MessageType.AUTHORITIES_HELD):
        return _judge_own_word(arrival, trust, now)
    if arrival.type in OF_WITNESSES:
        return _read_witness(arrival)
    return Unreadable(arrival, "unknown_type")


def _read_witness(arrival: Arrival) -> Verdict:
    try:
        return Witnessed(arrival, OF_WITNESSES[arrival.type].from_bytes(arrival.body))
    except ControlRefused as error:
        return Unreadable(arrival, error.code)


def _judge_envelope(arrival: Arrival, trust: Trust, now: int) -> Verdict:
    def signer_of(header: Header, kid: bytes) -> VerifyKey:
        if header.sender != arrival.node:
            raise Refused(RefusalCode.SENDER_MISMATCH, f"signed for {header.sender}, but published by {arrival.node}")
        key = trust.signer_of(header, kid)
        _check_active(header.sender, trust)
        return key

    try:
        verified = verify(arrival.body, signer_of)
        check_policy(verified.header, trust, now)
        trust.check_recipient_keys(verified)
    except (CryptoError, Refused) as error:
        claimed = claimed_id(arrival.body)
        if claimed is None and error.code == RefusalCode.ENVELOPE_MALFORMED:
            return Unreadable(arrival, error.code)
        message = claimed[0] if claimed is not None else None
        detail = str(error)[:DETAIL_SIZE]
        return Refusable(arrival, digest_of(arrival.body), message, RefusalCode(error.code), detail)
    return Acceptable(arrival, verified.header, verified.digest)


def _judge_acknowledgement(arrival: Arrival, trust: Trust, now: int) -> Verdict:
    try:
        acknowledgement = open_acknowledgement(arrival.body, trust)
    except (CryptoError, ControlRefused) as error:
        return Unreadable(arrival, error.code)
    if acknowledgement.recipient != arrival.node:
        return Unreadable(arrival, RefusalCode.SENDER_MISMATCH)
    if not is_active(arrival.node, trust):
        # It says so again once it takes part again.
        return Unreadable(arrival, RefusalCode.SENDER_SUSPENDED)
    if not _is_plausible(acknowledgement.at, now):
        return Unreadable(arrival, "time_implausible")
    return Acknowledged(arrival, acknowledgement)


def is_active(node: str, trust: Trust) -> bool:
    """Whether the roster of now has the node, and it takes part."""
    return node in trust.nodes and trust.nodes[node].active


def _check_active(node: str, trust: Trust) -> None:
    if node not in trust.nodes:
        raise Refused(RefusalCode.SENDER_UNKNOWN, f"{node} is not in the roster (version {trust.roster.version})")
    if (standing := trust.nodes[node].standing) is not None:
        # A node that is revoked or was removed has no key left that would bring it so far.
        raise Refused(RefusalCode.SENDER_SUSPENDED, f"{node} is {standing.state}")


def _judge_order(arrival: Arrival, trust: Trust, now: int) -> Verdict:
    try:
        order = open_order(arrival.body, trust)
    except (CryptoError, ControlRefused) as error:
        return Unreadable(arrival, error.code)
    if order.node != arrival.node:
        return Unreadable(arrival, RefusalCode.SENDER_MISMATCH)
    if not is_active(arrival.node, trust):
        return Unreadable(arrival, RefusalCode.SENDER_SUSPENDED)
    if not _is_plausible(order.at, now):
        return Unreadable(arrival, "time_implausible")
    return Ordered(arrival, order)


def _is_plausible(at: int, now: int) -> bool:
    # A key that has expired or was lost must not sign for a time when it was good.
    return now - OLDEST_MS < at <= now + CLOCK_AHEAD_MS


def _judge_own_word(arrival: Arrival, trust: Trust, now: int) -> Verdict:
    """What a node says of its own keys and certificates."""
    said: RenewalRequest | AuthoritiesHeld
    try:
        said = (open_renewal if arrival.type == MessageType.RENEWAL else open_held)(arrival.body, trust)
    except (CryptoError, ControlRefused) as error:
        return Unreadable(arrival, error.code)
    if said.node != arrival.node:
        return Unreadable(arrival, RefusalCode.SENDER_MISMATCH)
    if not is_active(arrival.node, trust):
        return Unreadable(arrival, RefusalCode.SENDER_SUSPENDED)
    # As of an acknowledgement: a key that was lost must not ask for another in the name of a time when it was good.
    if not now - RENEWAL_OLDEST_MS < said.at <= now + CLOCK_AHEAD_MS:
        return Unreadable(arrival, "time_implausible")
    signer_of = signer_of_renewal if arrival.type == MessageType.RENEWAL else signer_of_held
    try:
        # Nor at all once it has ended: the node may have other keys because somebody has this one.
        trust.signing_key(said.node, signer_of(arrival.body), now)
    except CryptoError as error:
        return Unreadable(arrival, error.code)
    return Renewing(arrival, said) if isinstance(said, RenewalRequest) else Reporting(arrival, said)


def check_policy(header: Header, trust: Trust, now: int) -> None:
    """May this sender say this, now, to these? Raises Refused with the code of the first rule that says no."""
    _check_times(header, now)
    if header.task_force not in TASK_FORCES:
        raise Refused(RefusalCode.TASK_FORCE_UNKNOWN, f"task force {header.task_force} is not known")
    if (header.kind, header.kind_version) not in registry.KINDS:
        raise Refused(RefusalCode.KIND_UNKNOWN, f"kind {header.kind}/{header.kind_version} is not known")
    if header.attachments:
        raise Refused(RefusalCode.ATTACHMENTS_UNSUPPORTED, "attachments are not carried yet")
    for recipient in header.recipients:
        _check_recipient(recipient, trust)
    # By the roster of when it was written: what has been allowed since then does no harm either.
    then = trust.then(header.created)
    denied = then.access.denial(header)
    if denied is not None and then is not trust:
        denied = trust.access.denial(header)
    if denied is not None:
        raise Refused(denied.code, denied.detail)
    for recipient in header.recipients:
        if not trust.access.takes_part(recipient, header.task_force):
            raise Refused(RefusalCode.RECIPIENT_NOT_A_MEMBER, trust.access.outside(recipient, header.task_force))


def _check_recipient(recipient: str, trust: Trust) -> None:
    if recipient not in trust.nodes:
        raise Refused(RefusalCode.RECIPIENT_UNKNOWN, f"{recipient} is not in the roster")
    if (standing := trust.nodes[recipient].standing) is not None:
        suspended = standing.state is NodeState.SUSPENDED
        code = RefusalCode.RECIPIENT_SUSPENDED if suspended else RefusalCode.RECIPIENT_REVOKED
        raise Refused(code, f"{recipient} is {standing.state}")


def _check_times(header: Header, now: int) -> None:
    if header.created > now + CLOCK_AHEAD_MS:
        ahead = (header.created - now) // 1000
        raise Refused(RefusalCode.CREATED_IN_FUTURE, f"created {ahead} s ahead of the hub's clock")
    if header.created < now - OLDEST_MS:
        raise Refused(RefusalCode.CREATED_TOO_OLD, f"created more than {OLDEST_MS // 86_400_000} days ago")
    if header.expires <= now:
        raise Refused(RefusalCode.EXPIRED, f"expired {(now - header.expires) // 1000} s ago")
    if header.expires - header.created > MAX_LIFETIME_MS:
        days = MAX_LIFETIME_MS // 86_400_000
        raise Refused(RefusalCode.EXPIRES_TOO_LATE, f"expires more than {days} days after it was created")
