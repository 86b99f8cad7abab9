"""What the roster answers: whose key is this, was it valid then, who is a member, to whom may a key be closed.

Hub and nodes judge with the same code, so that both reach the same verdict. What somebody said is judged by the
roster that was in force when he said it; but what a revoked key signed counts only if it was on record before.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Final, Self

from crypto import cose
from crypto.cosignature import CosignerKey
from crypto.envelope import Verified
from crypto.errors import (
    HubKeyForeign,
    KeyNotValid,
    KeyRevoked,
    KeyUnknown,
    KeyUnusable,
    NoteInvalid,
    RecipientsMismatch,
    SenderUnknown,
    TooLarge,
)
from crypto.hubkeys import HubKeys
from crypto.keys import EncryptionPublicKey, SigningKey, VerifyKey
from schemas.access import Access
from schemas.control import Acknowledgement
from schemas.header import Header, RosterReference
from schemas.roster import KeyUse, Roster, RosterKey, RosterNode

ROSTER_TYPE: Final = "application/vnd.seci.roster+cbor"
# A thousand items, and some room.
MAX_ACKNOWLEDGEMENT: Final = 192 * 1024
ACKNOWLEDGEMENT_TYPE: Final = "application/vnd.seci.acknowledgement+cbor"
# Of a node's witness key: the node's id stands behind it.
WITNESS_NAME: Final = "seci.exchange/witness/"


# With what rosters are signed; who has no handover to know of may give the one key.
RosterKeys = VerifyKey | HubKeys
# Whether what a key signed was on record before the key was revoked: the key is given as the newest roster lists it.
InTime = Callable[[RosterKey], bool]


def never(_: RosterKey) -> bool:
    """Of what comes only now: whatever time it says, a thief may have written it."""
    return False


@dataclass(frozen=True)
class Earlier:
    """A roster that was in force before, as the hub signed it; it is opened when it is first asked for."""

    signed: bytes
    hub: RosterKeys

    @cached_property
    def trust(self) -> "Trust":
        """Raises what `open_roster` and `Trust.of` do."""
        return Trust.of(open_roster(self.signed, self.hub))


@dataclass(frozen=True)
class Trust:
    """A roster made ready for questions. Build one with `Trust.of`, anew for each roster version.

    `earlier` are those that were in force before it, the newest first, as far back as anything has to be judged.
    `digest` is the SHA-256 of it as the hub signed it; none where nobody goes by it (see `trust_in`).
    """

    roster: Roster
    nodes: Mapping[str, RosterNode]
    access: Access
    earlier: Sequence[Earlier] = field(repr=False)
    _signing: Mapping[tuple[str, bytes], tuple[RosterKey, VerifyKey]]
    _sealing: Mapping[str, tuple[tuple[RosterKey, EncryptionPublicKey], ...]]
    _witnesses: Mapping[str, tuple[tuple[RosterKey, CosignerKey], ...]]
    digest: bytes | None = None

    @classmethod
    def of(cls, roster: Roster, earlier: Sequence[Earlier] = ()) -> Self:
        """Raises KeyUnusable for a roster that holds a key which is none, or a key under another's id."""
        signing = {}
        sealing: dict[str, tuple[tuple[RosterKey, EncryptionPublicKey], ...]] = {}
        witnesses: dict[str, tuple[tuple[RosterKey, CosignerKey], ...]] = {}
        for node in roster.nodes:
            sealing[node.node] = ()
            for key in node.keys:
                public: VerifyKey | EncryptionPublicKey
                if key.use is KeyUse.SIGN:
                    public = VerifyKey.from_public_bytes(key.public)
                    signing[node.node, key.kid] = (key, public)
                elif key.use is KeyUse.WITNESS:
                    cosigner = witness_key(node.node, key.public)
                    witnesses[node.node] = (*witnesses.get(node.node, ()), (key, cosigner))
                    public = VerifyKey.from_public_bytes(key.public)
                else:
                    public = EncryptionPublicKey.from_public_bytes(key.public)
                    sealing[node.node] += ((key, public),)
                if public.key_id != key.kid:
                    raise KeyUnusable(f"a key of {node.node} stands in the roster under an id that is not its own")
        nodes = {node.node: node for node in roster.nodes}
        keys = [cosigner.encoded for pairs in witnesses.values() for _, cosigner in pairs]
        if len(set(keys)) != len(keys):
            raise KeyUnusable("a witness key stands in the roster twice: one witness would count as two")
        return cls(
            roster,
            MappingProxyType(nodes),
            Access.of(roster),
            earlier,
            MappingProxyType(signing),
            MappingProxyType(sealing),
            MappingProxyType(witnesses),
        )

    @property
    def reference(self) -> RosterReference | None:
        """What whoever goes by this roster signs of it, so that others notice if they were shown another one."""
        return None if self.digest is None else RosterReference(version=self.roster.version, digest=self.digest)

    def then(self, at: int) -> "Trust":
        """The roster that was in force at `at` (ms): of those known, the first one if that is earlier than all."""
        found = self
        for earlier in self.earlier:
            if found.roster.at <= at:
                break
            found = earlier.trust
        return found

    def signer_of(self, header: Header, kid: bytes, in_time: InTime = never) -> VerifyKey:
        """The key a message must be signed with. Raises as `signing_key`."""
        return self.signing_key(header.sender, kid, header.created, in_time)

    def signing_key(self, node: str, kid: bytes, at: int, in_time: InTime = never) -> VerifyKey:
        """The node's key `kid`, by the roster of `at` (ms), valid then, and not revoked since or `in_time`.

        Raises SenderUnknown, KeyUnknown, KeyNotValid, KeyRevoked.
        """
        revoked = self.revocation(node, kid)
        then = self.then(at)
        if node not in then.nodes:
            raise SenderUnknown(f"{node} is not in the roster (version {then.roster.version})")
        found = then._signing.get((node, kid))
        if found is None:
            raise KeyUnknown(f"key {kid.hex()} is not a signing key of {node} (roster {then.roster.version})")
        if revoked is not None and not in_time(revoked):
            raise KeyRevoked(f"key {kid.hex()} of {node} was revoked (roster {self.roster.version})")
        if not found[0].not_before <= at < found[0].not_after:
            raise KeyNotValid(f"key {kid.hex()} of {node} was not valid at the time stated")
        return found[1]

    def revocation(self, node: str, kid: bytes) -> RosterKey | None:
        """The node's signing key `kid` as this roster lists it, if it is revoked."""
        found = self._signing.get((node, kid))
        return None if found is None or found[0].revoked is None else found[0]

    def sealing_key(self, node: str, at: int) -> EncryptionPublicKey:
        """The key to close messages to `node` with: the one valid longest. Raises KeyUnknown."""
        valid = [pair for pair in self._sealing.get(node, ()) if is_good(pair[0], at)]
        if not valid:
            raise KeyUnknown(f"the roster (version {self.roster.version}) has no valid encryption key of {node}")
        return max(valid, key=lambda pair: pair[0].not_after)[1]

    def witnesses(self, at: int) -> Mapping[str, CosignerKey]:
        """The key that each active node cosigns with at `at` (ms): of those valid then, the one valid longest."""
        found = {}
        for node, pairs in self._witnesses.items():
            valid = [pair for pair in pairs if is_good(pair[0], at)]
            if valid and self.nodes[node].active:
                found[node] = max(valid, key=lambda pair: pair[0].not_after)[1]
        return found

    def check_recipient_keys(self, verified: Verified, since: int | None = None) -> None:
        """Raises RecipientsMismatch unless each wrapped key is closed to a key of the recipient in its place.

        With `since` (ms), to one that a roster in force then or since has listed: it may have been taken out, or
        revoked, after the hub had accepted the message. Without, to one that is good now.
        """
        for node, wrapped in zip(verified.header.recipients, verified.recipient_keys, strict=True):
            if since is None:
                known = any(key.kid == wrapped.kid and key.revoked is None for key, _ in self._sealing.get(node, ()))
            else:
                known = self._has_listed(node, wrapped.kid, since)
            if not known:
                raise RecipientsMismatch(f"the key wrapped for {node} is not one of its keys in the roster")

    def _has_listed(self, node: str, kid: bytes, since: int) -> bool:
        found: Trust | None = self
        others = iter(self.earlier)
        while found is not None:
            if any(key.kid == kid for key, _ in found._sealing.get(node, ())):
                return True
            older = None if found.roster.at <= since else next(others, None)
            found = None if older is None else older.trust
        return False

    def check_own_keys(self, node: str, signing: VerifyKey, sealing: EncryptionPublicKey) -> None:
        """Raises KeyUnknown unless the roster lists both keys for `node`, which checks this of itself."""
        held = {key.public for key in self.nodes[node].keys} if node in self.nodes else set()
        if not {signing.public_bytes(), sealing.public_bytes()} <= held:
            raise KeyUnknown(f"the roster (version {self.roster.version}) does not list the own keys of {node}")

    def members(self, task_force: str) -> tuple[str, ...]:
        """The active nodes that are members of a task force, sorted."""
        return self.access.members(task_force)


def is_good(key: RosterKey, at: int) -> bool:
    """Whether a key is valid at `at` (ms), and not revoked at all."""
    return key.revoked is None and key.not_before <= at < key.not_after


def witness_key(node: str, public: bytes) -> CosignerKey:
    """A node's key of cosignatures under its name, of the encoding in a roster. Raises KeyUnusable."""
    try:
        return CosignerKey(f"{WITNESS_NAME}{node}", VerifyKey.from_public_bytes(public))
    except NoteInvalid as error:
        raise KeyUnusable(f"a witness key of {node} is no Ed25519 key") from error


def sign_roster(roster: Roster, hub: SigningKey) -> bytes:
    """A COSE_Sign1 of the roster by the hub."""
    return cose.sign1(roster.to_bytes(), ROSTER_TYPE, hub)


def open_roster(data: bytes, hub: RosterKeys) -> Roster:
    """The roster that the hub signed, with the key of its time.

    Raises EnvelopeMalformed, AlgorithmRefused, SignatureInvalid, ControlRefused; HubKeyForeign for one of another time.
    """
    signed = cose.parse_sign1(data, ROSTER_TYPE)
    if isinstance(hub, VerifyKey):
        signed.verify(hub)
        return Roster.from_bytes(signed.payload)
    term = next((term for term in hub.terms if term.key.key.key_id == signed.kid), hub.terms[-1])
    signed.verify(term.key.key)
    roster = Roster.from_bytes(signed.payload)
    if not term.has_roster(roster.version):
        raise HubKeyForeign(f"version {roster.version} of the roster is signed with a key of the hub of another time")
    return roster


def trust_in(signed: bytes, hub: RosterKeys, earlier: Sequence[Earlier] = ()) -> Trust:
    """The roster that the hub signed, for who goes by it. Raises what `open_roster` and `Trust.of` do."""
    return replace(Trust.of(open_roster(signed, hub), earlier), digest=hashlib.sha256(signed).digest())


def signer_of_roster(data: bytes) -> bytes:
    """The id of the key that a roster claims to be signed with. Raises EnvelopeMalformed, AlgorithmRefused."""
    return cose.parse_sign1(data, ROSTER_TYPE).kid


def signer_of_acknowledgement(data: bytes) -> bytes:
    """The id of the key that an acknowledgement claims to be signed with. Raises as `signer_of_roster`."""
    return cose.parse_sign1(data, ACKNOWLEDGEMENT_TYPE).kid


def unverified_roster(data: bytes) -> Roster:
    """What it says, whoever signed it. Raises EnvelopeMalformed, AlgorithmRefused, ControlRefused."""
    return Roster.from_bytes(cose.parse_sign1(data, ROSTER_TYPE).payload)


def sign_acknowledgement(acknowledgement: Acknowledgement, recipient: SigningKey) -> bytes:
    """A COSE_Sign1 of the acknowledgement by the recipient."""
    return cose.sign1(acknowledgement.to_bytes(), ACKNOWLEDGEMENT_TYPE, recipient)


def open_acknowledgement(data: bytes, trust: Trust, in_time: InTime = never) -> Acknowledgement:
    """The acknowledgement, signed by the recipient that it names; `in_time` as in `Trust.signing_key`.

    Raises TooLarge, EnvelopeMalformed, AlgorithmRefused, SignatureInvalid, SenderUnknown, KeyUnknown,
    KeyNotValid, KeyRevoked, ControlRefused.
    """
    if len(data) > MAX_ACKNOWLEDGEMENT:
        raise TooLarge(f"an acknowledgement has at most {MAX_ACKNOWLEDGEMENT} bytes; this one has {len(data)}")
    signed = cose.parse_sign1(data, ACKNOWLEDGEMENT_TYPE)
    acknowledgement = Acknowledgement.from_bytes(signed.payload)
    signed.verify(trust.signing_key(acknowledgement.recipient, signed.kid, acknowledgement.at, in_time))
    return acknowledgement
