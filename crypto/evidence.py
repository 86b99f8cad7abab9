"""What an evidence bundle proves, offline, to whoever trusts a policy's keys; pure, and without any setting.

The policy lists the keys of the log and of the witnesses. The log's Ed25519 key is the hub's, which signs the rosters
too: so the one key vouches for the order of events and for whose keys the members' are; all else the members signed
themselves. Checks, in their order: docs/protocol.md, "Evidence".
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar
from uuid import UUID

from crypto import envelope as envelopes
from crypto.bundle import Evidence
from crypto.envelope import Verified
from crypto.errors import (
    AcknowledgementContradicts,
    AcknowledgementForeign,
    AcknowledgementMissing,
    AcknowledgementUnproven,
    AnswerMissing,
    ContentUnbound,
    CryptoError,
    DecisionMissing,
    DigestMismatch,
    EntryContradicts,
    EntryForeign,
    EntryRepeated,
    HubKeyForeign,
    KeyNotValid,
    KeyRevoked,
    KeyUnknown,
    LogForked,
    RosterKeyMissing,
    RosterMissing,
    RosterUnproven,
    SenderUnknown,
    SignatureInvalid,
)
from crypto.handover import open_handover
from crypto.hubkeys import HubKeys
from crypto.policy import Cosigned, Policy
from crypto.proof import verify_entry
from crypto.receipt import Proven
from crypto.succession import Succession
from crypto.trust import InTime, Trust, open_acknowledgement, open_roster, signer_of_acknowledgement
from schemas.control import AcknowledgedMessage, Acknowledgement, ControlRefused, Entry, Event
from schemas.header import NONCE_SIZE, Header
from schemas.roster import Roster

_DECISIONS: Final = (Event.ACCEPTED, Event.REFUSED, Event.QUARANTINED)
_ANSWERS: Final = (Event.DELIVERED, Event.DECLINED)
# What the hub copies from the header into the entry of a message that it accepts.
_COPIED: Final = (
    *("thread", "sender", "recipients", "task_force", "kind", "kind_version", "operation", "priority"),
    *("handling", "created"),
)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Logged:
    """An entry that stands in the log, and who stands for the checkpoint under which it is proven."""

    proven: Proven
    cosigned: Cosigned

    @property
    def entry(self) -> Entry:
        """The entry."""
        return self.proven.entry


@dataclass(frozen=True, slots=True)
class Signed:
    """The sender's signature: the key's id (16 bytes), and the roster that says whose it is.

    `revoked`: since when (ms) that roster has the key as revoked; the message was on record before, or was refused.
    """

    kid: bytes
    roster: Roster
    revoked: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of the message at one recipient: the entry, and the recipient's own signed word at `at` (ms).

    `revoked`: as in Signed, of the recipient's key.
    """

    recipient: str
    logged: Logged
    item: AcknowledgedMessage
    at: int
    roster: Roster
    revoked: int | None = None


@dataclass(frozen=True, slots=True)
class Established:
    """All that a bundle proves. Without the envelope, `header` and `signed` are None: the log's word alone.

    `recipient` is whose side is shown, if it is a recipient's: its answer is there, the decision may be missing.
    """

    digest: bytes
    recipient: str | None
    header: Header | None
    signed: Signed | None
    decision: Logged | None
    answers: tuple[Answer, ...]
    body: bytes | None
    names: Mapping[str, str]

    @property
    def basis(self) -> Logged:
        """What the rest is measured by: the decision, or else the answer of the recipient whose side is shown."""
        return self.decision or next(item.logged for item in self.answers if item.recipient == self.recipient)


def verify_evidence(evidence: Evidence, policy: Policy) -> Established:
    """What the bundle proves to whoever trusts the policy's keys.

    Raises, of the log: NoteInvalid, NotWitnessed, ProofInvalid, ReceiptInvalid, ControlRefused, LogForked,
    EntryForeign, EntryRepeated, EntryContradicts, DecisionMissing, AnswerMissing, HandoverForked, and what
    `open_handover` does. Of the members' signatures: RosterKeyMissing, RosterMissing, RosterUnproven, SenderUnknown,
    KeyUnknown, KeyNotValid, KeyRevoked, what `envelope.verify` raises, AcknowledgementMissing,
    AcknowledgementUnproven, AcknowledgementContradicts,
    AcknowledgementForeign. Of the content: ContentUnbound, DigestMismatch.
    """
    keys = Succession.of(policy, map(open_handover, evidence.handovers))
    logged = [Logged(*verify_entry(proof, keys.policy_for(proof.checkpoint))) for proof in evidence.proofs]
    _check_one_history(logged)
    decision, basis = _basis(logged, evidence.recipient)
    trusts = _trusts(evidence.rosters, keys.hub_keys(basis.proven.checkpoint.origin))
    header, signed = None, None
    if evidence.envelope is not None:
        verified, trust = _sealed(evidence.envelope, trusts, basis.entry)
        revoked = trust.revocation(verified.header.sender, verified.signer)
        header = verified.header
        signed = Signed(verified.signer, trust.roster, None if revoked is None else revoked.revoked)
    if decision is None:
        message = _claimed(basis.entry, evidence.digest, header)
    else:
        message = _check_decision(decision.entry, evidence.digest, header)
    answers = _answers(evidence, [item for item in logged if item is not decision], message, trusts)
    return Established(
        digest=evidence.digest,
        recipient=evidence.recipient,
        header=header,
        signed=signed,
        decision=decision,
        answers=answers,
        body=_body(evidence.content, header),
        names={name: node.name for trust in reversed(trusts) for name, node in trust.nodes.items()},
    )


def _check_one_history(logged: Sequence[Logged]) -> None:
    roots: dict[tuple[str, int], bytes] = {}
    places: dict[tuple[str, int], Entry] = {}
    for item in logged:
        seen = item.proven.checkpoint
        if roots.setdefault((seen.origin, seen.size), seen.root) != seen.root:
            raise LogForked(f"the log {seen.origin} has signed two histories of {seen.size} entries")
        if places.setdefault((seen.origin, item.proven.index), item.entry) != item.entry:
            raise LogForked(f"the log {seen.origin} has signed two entries in place {item.proven.index}")
    if len({origin for origin, _ in roots}) > 1:
        raise EntryForeign("the entries are of several logs; the ledger of an exchange is one")


def _basis(logged: Sequence[Logged], recipient: str | None) -> tuple[Logged | None, Logged]:
    """The decision, and what the rest is measured by: that, or else the answer of whose side is shown."""
    decision = _decision(logged)
    if recipient is not None:
        own = _own_answer(logged, recipient)
        return decision, decision or own
    if decision is None:
        raise DecisionMissing("the bundle proves no entry that the message was accepted or refused")
    return decision, decision


def _decision(logged: Sequence[Logged]) -> Logged | None:
    found = [item for item in logged if item.entry.event in _DECISIONS]
    if len(found) > 1:
        raise EntryRepeated("the bundle proves more than one decision on the message")
    return found[0] if found else None


def _own_answer(logged: Sequence[Logged], recipient: str) -> Logged:
    for item in logged:
        if item.entry.event in _ANSWERS and item.entry.node == recipient:
            return item
    raise AnswerMissing(f"the bundle proves no entry that {recipient}, whose side it shows, acknowledged the message")


def _trusts(rosters: Sequence[bytes], keys: Sequence[HubKeys]) -> tuple[Trust, ...]:
    """The rosters, each signed with one of the keys; the newest first."""
    if rosters and not keys:
        raise RosterKeyMissing("the policy lists no Ed25519 key of this log; with that the hub signs rosters too")
    found = [_trust(data, keys) for data in rosters]
    return tuple(sorted(found, key=lambda trust: trust.roster.version, reverse=True))


def _trust(data: bytes, keys: Sequence[HubKeys]) -> Trust:
    for key in keys:
        try:
            return Trust.of(open_roster(data, key))
        except (SignatureInvalid, HubKeyForeign):
            continue
        except (CryptoError, ControlRefused) as error:
            raise RosterUnproven(f"a roster in the bundle is damaged: {error}") from error
    raise RosterUnproven("a roster in the bundle is not signed with the log's key")


def _under(trusts: Sequence[Trust], judge: Callable[[Trust], _T]) -> tuple[_T, Trust]:
    """What `judge` finds under the newest roster that knows the key. Raises what the newest of all leads to."""
    failures: list[CryptoError] = []
    for trust in trusts:
        try:
            return judge(trust), trust
        except (SenderUnknown, KeyUnknown, KeyNotValid) as error:
            failures.append(error)
    if not failures:
        raise RosterMissing("the bundle has no roster, which would say whose the signatures are")
    raise failures[0]


def _logged_before(entry: Entry) -> InTime:
    # What was refused is on record as nobody's word; that its key is revoked takes nothing from that.
    refused = entry.event in (Event.REFUSED, Event.QUARANTINED)
    return lambda key: refused or (key.revoked is not None and entry.at <= key.revoked)


def _sealed(envelope: bytes, trusts: Sequence[Trust], basis: Entry) -> tuple[Verified, Trust]:
    in_time = _logged_before(basis)
    return _under(trusts, lambda trust: envelopes.verify(envelope, lambda h, kid: trust.signer_of(h, kid, in_time)))


@dataclass(frozen=True, slots=True)
class _Message:
    # What the answers must be about.
    digest: bytes
    id: UUID | None
    sender: str | None
    recipients: tuple[str, ...]
    accepted: bool


def _check_decision(entry: Entry, digest: bytes, header: Header | None) -> _Message:
    named = entry.evidence if entry.event is Event.QUARANTINED else entry.envelope
    if named != digest:
        raise EntryForeign(f"the entry {entry.event} is about another envelope than the bundle's")
    accepted = entry.event is Event.ACCEPTED
    if header is None:
        return _Message(digest, entry.message, entry.sender, entry.recipients or (), accepted)
    wrong = [name for name in _COPIED if accepted and getattr(entry, name) != getattr(header, name)]
    if entry.node != header.sender:
        wrong.append("node")
    if entry.message != header.id and (accepted or entry.message is not None):
        wrong.append("message")
    if wrong:
        raise EntryContradicts(f"the entry {entry.event} and the sender's header differ in: {', '.join(wrong)}")
    return _Message(digest, header.id, header.sender, header.recipients, accepted)


def _claimed(entry: Entry, digest: bytes, header: Header | None) -> _Message:
    # Of a recipient's bundle: the hub takes acknowledgements of accepted messages only. The answers are compared next.
    if header is None:
        return _Message(digest, entry.message, entry.sender, (entry.node,), accepted=True)
    return _Message(digest, header.id, header.sender, header.recipients, accepted=True)


def _answers(
    evidence: Evidence, logged: Sequence[Logged], message: _Message, trusts: Sequence[Trust]
) -> tuple[Answer, ...]:
    words = {hashlib.sha256(item).digest(): item for item in evidence.acknowledgements}
    if len(words) != len(evidence.acknowledgements):
        raise AcknowledgementForeign("an acknowledgement stands in the bundle twice")
    answers: dict[str, Answer] = {}
    for item in logged:
        answer = _answer(item, words, message, trusts)
        if not message.accepted:
            raise EntryContradicts(f"an answer of {answer.recipient} to a message that was not accepted")
        if answer.recipient in answers:
            raise EntryRepeated(f"the bundle proves two answers of {answer.recipient}")
        answers[answer.recipient] = answer
    if words.keys() - {item.entry.evidence for item in logged}:
        raise AcknowledgementForeign("the bundle holds an acknowledgement that no proven entry rests on")
    return tuple(answers[name] for name in sorted(answers))


def _answer(logged: Logged, words: Mapping[bytes, bytes], message: _Message, trusts: Sequence[Trust]) -> Answer:
    entry = logged.entry
    about = (entry.message, entry.envelope, entry.sender)
    if entry.event not in _ANSWERS or about != (message.id, message.digest, message.sender):
        raise EntryForeign(f"entry {logged.proven.index} ({entry.event}) says nothing of this message")
    if entry.node not in message.recipients:
        raise EntryContradicts(f"an answer of {entry.node}, which is not among the message's recipients")
    signed = words.get(entry.evidence or b"")
    if signed is None:
        raise AcknowledgementMissing(f"{entry.node}'s own acknowledgement, which entry {logged.proven.index} rests on")
    (word, kid), trust = _under(trusts, lambda trust: _opened(signed, entry, trust))
    item = next((item for item in word.items if item.id == entry.message), None)
    said = None if item is None else (item.envelope, str(item.outcome), item.code)
    if (word.recipient, word.sender) != (entry.node, entry.sender) or item is None:
        raise AcknowledgementContradicts(f"the acknowledgement is not {entry.node}'s of this message")
    if said != (entry.envelope, str(entry.event), entry.code):
        raise AcknowledgementContradicts(f"{entry.node} signed another outcome than entry {logged.proven.index} says")
    revoked = trust.revocation(entry.node, kid)
    at = None if revoked is None else revoked.revoked
    return Answer(entry.node, logged, item, word.at, trust.roster, at)


def _opened(signed: bytes, entry: Entry, trust: Trust) -> tuple[Acknowledgement, bytes]:
    try:
        return open_acknowledgement(signed, trust, _logged_before(entry)), signer_of_acknowledgement(signed)
    except (SenderUnknown, KeyUnknown, KeyNotValid, KeyRevoked):
        raise
    except (CryptoError, ControlRefused) as error:
        raise AcknowledgementUnproven(f"the acknowledgement that should be {entry.node}'s: {error}") from error


def _body(content: bytes | None, header: Header | None) -> bytes | None:
    if content is None:
        return None
    if header is None:
        raise ContentUnbound("the bundle has the content without the envelope, whose header says what it must be")
    if hashlib.sha256(content).digest() != header.digest:
        raise DigestMismatch("the content in the bundle is not what the sender signed")
    return content[NONCE_SIZE:]
