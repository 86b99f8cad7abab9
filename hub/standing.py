"""What operators decide on a node's membership: it is suspended, reinstated, revoked or removed.

One transaction: the roster that says so, an entry with who decided and why, the revocation list, and what follows for
messages under way. From its commit on no worker takes anything from the node, and none sends it anything; the broker
is told afterwards, and told again by whoever repeats the command. What somebody is told of it is in the roster.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import certificates
from crypto.certificates import RevokedCertificate
from hub import deadlines, ledger, registrar, rows, tables
from hub.authorities import Issuing
from hub.deadlines import NOT_TAKEN, Missed
from hub.errors import HandOverRefused, NodeStateRefused, NodeUnknown
from hub.held import OWED, hold, sort_out
from hub.ledger import DETAIL_SIZE, Ledger
from hub.publication import Owed, Untaken, bundles
from hub.quarantine import Decision
from hub.registrar import Unsigned
from schemas.control import Entry, Event
from schemas.participants import CENTRE, PARTICIPANTS
from schemas.refusals import RefusalCode
from schemas.roster import Cause, NodeState, RosterNode, Standing

# Entries of a pass: the ledger is locked meanwhile.
PASS: Final = 500
_BECOMES: Final = {
    Event.SUSPENDED: NodeState.SUSPENDED,
    Event.REINSTATED: None,
    Event.REVOKED: NodeState.REVOKED,
    Event.REMOVED: NodeState.REMOVED,
}
_FROM: Final[dict[Event, tuple[NodeState | None, ...]]] = {
    Event.SUSPENDED: (None,),
    Event.REINSTATED: (NodeState.SUSPENDED,),
    Event.REVOKED: (None, NodeState.SUSPENDED),
    Event.REMOVED: (None, NodeState.SUSPENDED, NodeState.REVOKED),
}
_REASONS: Final = {
    Cause.UNSPECIFIED: x509.ReasonFlags.unspecified,
    Cause.KEY_COMPROMISE: x509.ReasonFlags.key_compromise,
    Cause.SUPERSEDED: x509.ReasonFlags.superseded,
    Cause.CESSATION_OF_OPERATION: x509.ReasonFlags.cessation_of_operation,
    Cause.CERTIFICATE_HOLD: x509.ReasonFlags.certificate_hold,
    Cause.PRIVILEGE_WITHDRAWN: x509.ReasonFlags.privilege_withdrawn,
}
_UNTAKEN: Final = f"""
    SELECT message.sender, message.id, message.thread, message.envelope, message.leaf_index, message.task_force,
        message.at, message.kind, recipient.node,
        EXISTS (
            SELECT FROM held WHERE held.node = recipient.node
            AND held.message_id = message.sender || '/' || message.id || '/' || recipient.node
        ) AS held
    FROM message CROSS JOIN LATERAL unnest(message.recipients) AS recipient (node)
    WHERE message.expires > :now AND recipient.node = :node AND {NOT_TAKEN}
    ORDER BY message.leaf_index
"""  # noqa: S608 ours
_UNPROVEN: Final = f"""
    SELECT message.leaf_index, array_agg(recipient.node ORDER BY recipient.node) AS nodes
    FROM message CROSS JOIN LATERAL unnest(message.recipients) AS recipient (node)
    WHERE message.expires > :now AND message.sender = :node AND {NOT_TAKEN}
    GROUP BY message.leaf_index ORDER BY message.leaf_index
"""  # noqa: S608 ours


@dataclass(frozen=True, slots=True)
class Act:
    """What is to become of a node: `event` is suspended, reinstated, revoked or removed; `heir` gets its threads."""

    event: Event
    node: str
    decision: Decision
    cause: Cause
    heir: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What came of an act: the roster's version by now, whether this act made it, and what followed for messages."""

    version: int
    changed: bool
    since: int
    returned: int = 0
    handed_over: int = 0


def is_so(node: RosterNode, event: Event) -> bool:
    """Whether the node is what that would make of it."""
    return (None if node.standing is None else node.standing.state) is _BECOMES[event]


def changed(node: RosterNode, event: Event, cause: Cause, at: int) -> RosterNode:
    """The node's entry after that. Raises NodeStateRefused if this cannot follow on what it is."""
    was, state = None if node.standing is None else node.standing.state, _BECOMES[event]
    if was not in _FROM[event]:
        step = "seci-hub unsuspend is for nodes that are suspended"
        if was in (NodeState.REVOKED, NodeState.REMOVED):
            step = f"a node that is {was} comes back by enrolment, with new keys"
        raise NodeStateRefused(f"{node.node} is {was or 'active'}: it cannot be {event}", step)
    if state is None:
        return node.model_copy(update={"standing": None})
    changes: dict[str, object] = {"standing": Standing(state=state, since=at, cause=cause)}
    if state is not NodeState.SUSPENDED:
        # What is revoked already stays so since then.
        changes["keys"] = tuple(
            key if key.revoked is not None else key.model_copy(update={"revoked": at}) for key in node.keys
        )
    if state is NodeState.REMOVED:
        changes["task_forces"] = ()
    return node.model_copy(update=changes)


async def apply(connection: AsyncConnection, log: Ledger, authority: Issuing, act: Act) -> Done:
    """Does it, in the caller's transaction. Done already, nothing is changed.

    Raises NodeUnknown, NodeStateRefused, HandOverRefused.
    """
    turn, signer = await ledger.take_turn(connection), log.signer.key
    roster = await registrar.current(connection, log.keys)
    known = {node.node: node for node in roster.nodes}
    if act.node not in known:
        raise NodeUnknown(f"there is no node {act.node!r}", f"name one of {', '.join(sorted(known)) or 'none'}")
    node, state = known[act.node], _BECOMES[act.event]
    if is_so(node, act.event):
        return Done(roster.version, changed=False, since=turn.at if node.standing is None else node.standing.since)
    known[act.node] = changed(node, act.event, act.cause, turn.at)
    open_threads = await owed(connection, act, roster.nodes, turn.at) if state is NodeState.REMOVED else []
    crl = await _revocations(connection, authority, list(known.values()), roster, turn.at)
    published = await registrar.publish_roster(connection, log, list(known.values()), signer, crl)
    await _record(connection, log, act, published.version)
    if state in (NodeState.REVOKED, NodeState.REMOVED):
        await give_proofs(connection, log, act.node, turn.at)
    returned = 0
    if state is NodeState.REMOVED:
        returned = await give_back(connection, log, act.node, act.decision, RefusalCode.RECIPIENT_REVOKED)
        await _hand_over(connection, log, act, open_threads)
    await sort_out(connection, [name for name, found in known.items() if not found.active])
    return Done(published.version, changed=True, since=turn.at, returned=returned, handed_over=len(open_threads))


async def owed(connection: AsyncConnection, act: Act, nodes: Sequence[RosterNode], now: int) -> Sequence[Any]:
    """The questions that a node which is removed has not answered by `now` (ms). Raises HandOverRefused.

    That is so if nobody is named who takes them over, or it is somebody who cannot.
    """
    found = await deadlines.owed_by(connection, act.node, now)
    if found or act.heir is not None:
        _check_heir(act, nodes, {row.task_force for row in found})
    return found


async def _record(connection: AsyncConnection, log: Ledger, act: Act, version: int) -> None:
    turn, decision = await ledger.take_turn(connection), act.decision
    signed = await registrar.newest(connection, 0) or b""
    entry = Entry(
        event=act.event,
        at=turn.at,
        node=act.node,
        evidence=ledger.evidence(signed),
        detail=f"{decision.operator}: {decision.reason}"[:DETAIL_SIZE],
    )
    index = (await ledger.append(connection, log, turn, [entry])).receipts[0].index
    row = (index, turn.at, act.node, str(act.event), version)
    await rows.insert(connection, {"node_act": [row]})


async def give_proofs(connection: AsyncConnection, log: Ledger, node: str, now: int) -> None:
    """Keeps, for who has a message of this node still to take, the proof that it was accepted before its keys went.

    Behind the roster that revokes them, in its transaction. Without the proof the message would be put aside there.
    """
    found = (await connection.execute(text(_UNPROVEN), {"now": now, "node": node})).all()
    for start in range(0, len(found), PASS):
        part = found[start : start + PASS]
        proven = await ledger.prove(connection, log, [row.leaf_index for row in part])
        owed = bundles(proven, [Owed(tuple(row.nodes)) for row in part])
        await hold(connection, [Untaken(item, OWED) for item in owed], now, pause=0)


async def untaken(connection: AsyncConnection, node: str, now: int) -> Sequence[Any]:
    """The messages that this node is to get and has not acknowledged, in the ledger's order; `held`: not at the broker.

    Those that have expired or were returned are not among them.
    """
    return (await connection.execute(text(_UNTAKEN), {"now": now, "node": node})).all()


async def give_back(connection: AsyncConnection, log: Ledger, node: str, decision: Decision, code: RefusalCode) -> int:
    """Records that the node will not get what waits for it, and tells the senders; returns how many messages that is.

    What is held of it is deleted. In the node's inbox it stays until that is emptied.
    """
    turn = await ledger.take_turn(connection)
    missed = [_missed(row) for row in await untaken(connection, node, turn.at)]
    words = f"{decision.operator}: {decision.reason}"[:DETAIL_SIZE]
    for start in range(0, len(missed), PASS):
        part, turn = missed[start : start + PASS], await ledger.take_turn(connection)
        await deadlines.record(connection, log, turn, Event.RETURNED, part, code=code, detail=words)
    return len(missed)


async def _hand_over(connection: AsyncConnection, log: Ledger, act: Act, found: Sequence[Any]) -> None:
    words = f"{act.decision.operator}: {act.decision.reason}"[:DETAIL_SIZE]
    missed = [_missed(row) for row in found]
    for start in range(0, len(missed), PASS):
        part, turn = missed[start : start + PASS], await ledger.take_turn(connection)
        await deadlines.record(connection, log, turn, Event.HANDED_OVER, part, detail=words, heir=act.heir)


def _missed(row: Any) -> Missed:
    return Missed(row.sender, row.id, row.thread, row.envelope, row.node)


def _check_heir(act: Act, listed: Sequence[RosterNode], task_forces: set[str]) -> None:
    nodes = {node.node: node for node in listed}
    if act.heir is None:
        raise HandOverRefused(
            f"{act.node} owes answers in threads of {', '.join(sorted(task_forces))}",
            f"say who takes them over: --hand-over-to {CENTRE}",
        )
    participant = PARTICIPANTS.get(act.node)
    successors = {found.iso.lower() for found in participant.successors} if participant else set()
    heir = nodes.get(act.heir)
    same = heir is not None and (heir.name == nodes[act.node].name or act.heir in {CENTRE, *successors})
    if heir is None or act.heir == act.node or not same or not heir.active:
        raise HandOverRefused(
            f"{act.heir} cannot take over threads of {act.node}",
            f"name an active node of the same participant, or the Centre: --hand-over-to {CENTRE}",
        )
    if lacking := sorted(task_forces - set(heir.task_forces)):
        raise HandOverRefused(
            f"{act.heir} is not a member of {', '.join(lacking)}, where {act.node} owes answers",
            "name another node, or let it be admitted there first",
        )


async def supersede(
    connection: AsyncConnection,
    authority: Issuing,
    node: str,
    pem: bytes,
    nodes: Sequence[RosterNode],
    roster: Unsigned,
    now: int,
) -> bytes | None:
    """The next revocation list, DER, with all certificates of a node but this one; None if it is empty."""
    kept, table = f"{certificates.read_certificate(pem).serial_number:x}", tables.certificate.c
    others = (await connection.execute(select(table.serial).where(table.node == node, table.serial != kept))).scalars()
    for serial in others.all():
        values = {"serial": serial, "at": now, "cause": str(Cause.SUPERSEDED)}
        await connection.execute(insert(tables.certificate_revocation).values(values).on_conflict_do_nothing())
    return await _revocations(connection, authority, nodes, roster, now)


async def relist(connection: AsyncConnection, log: Ledger, authority: Issuing) -> None:
    """The revocation list, if there is one, by another authority, in a new roster; in the caller's transaction."""
    turn, signer = await ledger.take_turn(connection), log.signer.key
    roster = await registrar.current(connection, log.keys)
    if roster.crl is not None:
        crl = await _revocations(connection, authority, roster.nodes, roster, turn.at)
        await registrar.publish_roster(connection, log, roster.nodes, signer, crl)


async def _revocations(
    connection: AsyncConnection, authority: Issuing, nodes: Sequence[RosterNode], roster: Unsigned, now: int
) -> bytes | None:
    """The revocation list, DER; None as long as there was never anything on one."""
    table, done = tables.certificate.c, tables.certificate_revocation.c
    found = (await connection.execute(select(tables.certificate).where(table.not_after > now))).all()
    standing = {node.node: node.standing for node in nodes if node.standing is not None}
    known = {
        row.serial: (row.at, Cause(row.cause))
        for row in await connection.execute(select(done.serial, done.at, done.cause))
    }
    listed: dict[str, tuple[int, Cause]] = {}
    for row in found:
        if row.serial in known:
            listed[row.serial] = known[row.serial]
        elif (why := standing.get(row.node)) is not None:
            listed[row.serial] = (why.since, why.cause)
            if why.state is not NodeState.SUSPENDED:
                values = {"serial": row.serial, "at": why.since, "cause": str(why.cause)}
                await connection.execute(insert(tables.certificate_revocation).values(values))
    if not listed and roster.crl is None:
        return None
    revoked = [
        RevokedCertificate(int(serial, 16), _time(at), _REASONS[cause]) for serial, (at, cause) in listed.items()
    ]
    crl = certificates.create_crl(authority.certificate, authority.key, revoked, roster.version + 1, _time(now))
    return crl.public_bytes(Encoding.DER)


def _time(millis: int) -> datetime:
    # A list has whole seconds.
    return datetime.fromtimestamp(millis // 1000, UTC)
