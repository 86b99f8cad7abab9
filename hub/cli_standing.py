"""`seci-hub suspend`, `unsuspend`, `revoke`, `remove`, and what is decided on the messages of who was shut out.

Database, ledger and roster come first: from then on no worker takes anything from the node or sends it anything. Then
the broker, then the revocation list. Each command says so again when it is repeated, so whatever was killed is
finished by repeating it.
"""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from cryptography import x509
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import certificates
from crypto.errors import CertificateRefused
from hub import accounts, authorities, registrar, standing, topology
from hub.cli_erase import words_of
from hub.errors import FileUnwritable, NodeStateRefused, NodeUnknown, NothingRevoked
from hub.quarantine import Decision
from hub.roles import Action
from hub.settings import Settings
from hub.setup import hub_keys, ledger_of, write
from hub.shell import AsJson, Home, acting, answer, now_ms, say, with_database
from hub.standing import Act, Done
from hub.watch import iso
from schemas import rosterwords
from schemas.control import Event
from schemas.refusals import RefusalCode
from schemas.roster import Cause, NodeState, Roster, RosterNode

CRL: Final = "crl.pem"
_ACTIONS: Final = {
    Event.SUSPENDED: Action.SUSPEND,
    Event.REINSTATED: Action.UNSUSPEND,
    Event.REVOKED: Action.REVOKE,
    Event.REMOVED: Action.REMOVE,
}
# It is to be shut out within so many seconds, its open connections too.
PROMISED_S: Final = 5.0
Node = Annotated[str, typer.Argument(help="The node's id, for example bg.")]
Because = Annotated[str, typer.Option("--reason", help="Why; it goes into the ledger with your name.")]

held_app: Final = typer.Typer(no_args_is_help=True, help="Messages for nodes that were shut out.")


def suspend(node: Node, home: Home, reason: Because, as_json: AsJson = False) -> None:
    """Shut a node out for a while: at once, its open connections too. Safe to repeat.

    What waits for it is kept, in order, until it is back; new messages to it are refused (recipient_suspended), and so
    is what it sends (sender_suspended).
    """
    _shut_out(home, Wanted(Event.SUSPENDED, node, reason, Cause.CERTIFICATE_HOLD), as_json)


def revoke(
    node: Node,
    home: Home,
    reason: Because,
    cause: Annotated[Cause, typer.Option("--cause", help="The reason code that everybody is told.")] = (
        Cause.KEY_COMPROMISE
    ),
    as_json: AsJson = False,
) -> None:
    """Take all of a node's keys away: lost or stolen, or its people are not trusted any more. Safe to repeat.

    What it signed and the hub had accepted before stays valid; nothing that comes now does, whatever time it says. It
    comes back by enrolment, with new keys. What waits for it is kept until then: `seci-hub held list`.
    """
    _shut_out(home, Wanted(Event.REVOKED, node, reason, cause), as_json)


def remove(
    node: Node,
    home: Home,
    reason: Because,
    hand_over_to: Annotated[
        str | None, typer.Option(help="Who answers in its place: another node of the participant, or seci.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take a node out for good. Its keys are revoked; what waits for it goes back to its senders. Safe to repeat.

    Questions that it has not answered are handed over: who asked and who takes over are told.
    """
    _shut_out(home, Wanted(Event.REMOVED, node, reason, Cause.CESSATION_OF_OPERATION, hand_over_to), as_json)


def unsuspend(node: Node, home: Home, reason: Because, as_json: AsJson = False) -> None:
    """Let a suspended node in again; what was kept for it is delivered in order. Safe to repeat."""
    settings = Settings.load(home)
    done = _decide(settings, Wanted(Event.REINSTATED, node, reason, Cause.UNSPECIFIED))

    def read() -> tuple[list[str], list[str], dict[str, str]]:
        nodes = _roster(settings).nodes
        absent = [found.node for found in nodes if not found.active]
        return [found.node for found in nodes], absent, with_database(settings, accounts.of_nodes)

    topology.settle(settings.broker_ctl, settings.vhost, read)
    _write_crl(settings, _roster(settings).crl)
    result = {"node": node, "state": "active", "changed": done.changed, "roster": done.version}
    was = "" if done.changed else "; it was already"
    answer(result, as_json, f"{node} takes part again (roster version {done.version}){was}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was typed."""

    event: Event
    node: str
    reason: str
    cause: Cause
    heir: str | None = None


def _shut_out(home: Path, wanted: Wanted, as_json: bool) -> None:
    settings, begin, event, node = Settings.load(home), time.monotonic(), wanted.event, wanted.node
    done = _decide(settings, wanted)
    decided_s = time.monotonic() - begin
    say(f"{node} is {event} since {iso(done.since)} (roster version {done.version}); now the broker ...")
    user = with_database(settings, accounts.of_nodes).get(node, topology.user_of(node))
    broker_s = topology.shut_out(settings.broker_ctl, [user])
    _write_crl(settings, _roster(settings).crl)
    result = {
        "node": node,
        "state": str(event),
        "changed": done.changed,
        "since": iso(done.since),
        "roster": done.version,
        "decided_s": round(decided_s, 3),
        "broker_s": round(broker_s, 3),
        "returned": done.returned,
        "handed_over": done.handed_over,
    }
    already = "" if done.changed else ", as it was"
    lines = [
        f"{node} is {event} since {iso(done.since)}, roster version {done.version}{already}",
        f"the hub takes nothing from it after {decided_s:.1f} s; no connection of it was left {broker_s:.1f} s later",
    ]
    if event is Event.REMOVED:
        topology.purge_inbox(settings.broker_ctl, node, settings.vhost)
        lines.append(
            f"{done.returned} messages went back to their senders, {done.handed_over} threads to {wanted.heir}"
        )
    answer(result, as_json, "\n".join(lines))
    if broker_s > PROMISED_S:
        say(f"the broker took longer than {PROMISED_S:.0f} s: it is busy, or rabbitmqctl is slow here")
    if event is not Event.REMOVED:
        say(f"next: see what waits for it: seci-hub held list {node}")


def _decide(settings: Settings, wanted: Wanted) -> Done:
    words, looking = words_of(wanted.reason), acting(settings, Action.LOOK)
    known = _known(settings, wanted.node)
    if standing.is_so(known, wanted.event):
        # To repeat what the roster says to the broker takes nobody's word.
        say(f"{looking.name}: {wanted.node} is {rosterwords.state(known)} already")
        since = _roster(settings).at if known.standing is None else known.standing.since
        return Done(_roster(settings).version, changed=False, since=since)

    async def possible(connection: AsyncConnection) -> None:
        standing.changed(known, wanted.event, wanted.cause, 0)
        if wanted.event is Event.REMOVED:
            asked = Act(wanted.event, wanted.node, Decision(looking.name, words), wanted.cause, wanted.heir)
            await standing.owed(connection, asked, nodes, now_ms())

    nodes = _roster(settings).nodes
    subject = {"node": wanted.node, "reason": words, "cause": str(wanted.cause)}
    if wanted.heir is not None:
        subject["heir"] = wanted.heir
    actor = acting(settings, _ACTIONS[wanted.event], subject, possible)
    act = Act(wanted.event, wanted.node, Decision(actor.name, words), wanted.cause, wanted.heir)
    log, authority = ledger_of(settings), authorities.issuing(settings.home, settings.secret())
    return with_database(settings, lambda connection: standing.apply(connection, log, authority, act), log, actor)


def _roster(settings: Settings) -> Roster:
    key = hub_keys(settings)

    async def work(connection: AsyncConnection) -> Roster:
        return (await registrar.trust(connection, key)).roster

    return with_database(settings, work)


def _write_crl(settings: Settings, der: bytes | None) -> bytes | None:
    if der is None:
        return None
    pem = certificates.to_pem(certificates.read_crl(der, _lister(settings, der)))
    write(settings.home / CRL, pem)
    return pem


def _lister(settings: Settings, der: bytes) -> x509.Certificate:
    """The authority that the revocation list is by: of two, it may be the one that does not issue any more."""
    known = authorities.known(settings.home).authorities
    for one in known:
        with suppress(CertificateRefused):
            certificates.read_crl(der, one)
            return one
    return known[0]


def crl(
    home: Home,
    out: Annotated[Path | None, typer.Option(help="Also write it here; it is always in crl.pem of the home.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the revocation list of TLS certificates (RFC 5280), as the roster in force has it, and show it.

    Every command that changes it writes it, too, and nodes get it with the roster.
    """
    settings = Settings.load(home)
    acting(settings, Action.LOOK)
    known = _roster(settings)
    pem = _write_crl(settings, known.crl)
    if pem is None or known.crl is None:
        raise NothingRevoked("there is no revocation list: no node's certificate was ever revoked", "nothing to do")
    if out is not None:
        try:
            out.write_bytes(pem)
        except OSError as error:
            raise FileUnwritable(f"{out} cannot be written: {error.strerror}", "name another with --out") from error
    found = certificates.read_crl(known.crl, _lister(settings, known.crl))
    serials = [f"{item.serial_number:x}" for item in found]
    result = {"file": str(out or settings.home / CRL), "roster": known.version, "revoked": serials}
    answer(result, as_json, "\n".join([f"{result['file']}: {len(serials)} certificates", *serials]))


@held_app.command("list")
def list_(node: Node, home: Home, as_json: AsJson = False) -> None:
    """List the messages that a node has still to take, oldest first: held here, or in its inbox at the broker."""
    settings = Settings.load(home)
    acting(settings, Action.CONSULT, {"held": node})
    _known(settings, node)
    now = time.time_ns() // 1_000_000
    rows = with_database(settings, lambda connection: standing.untaken(connection, node, now))
    found = [_described(row) for row in rows]
    lines = [
        f"{m['index']:>8}  {m['at']}  {m['id']}  {m['sender']:5} {m['kind']:14} {m['task_force']:12} {m['where']}"
        for m in found
    ]
    head = f"{'index':>8}  {'accepted':24}  {'id':36}  {'from':5} {'kind':14} {'task force':12} where"
    answer({"node": node, "messages": found}, as_json, "\n".join([head, *lines] if lines else ["nothing waits"]))


@held_app.command("return")
def return_(node: Node, home: Home, reason: Because, as_json: AsJson = False) -> None:
    """Give all that waits for a node that was shut out back to its senders: each is told that it will not get it.

    Each message is an entry `returned` of the ledger. Without this, all of it is delivered once the node is back.
    """
    settings, words = Settings.load(home), words_of(reason)
    acting(settings, Action.LOOK)
    found, log = _known(settings, node), ledger_of(settings)
    if found.standing is None:
        raise NodeStateRefused(f"{node} is active: it takes its messages itself", "suspend it first: seci-hub suspend")
    actor = acting(settings, Action.GIVE_BACK, {"node": node, "reason": words})
    decision = Decision(actor.name, words)
    suspended = found.standing.state is NodeState.SUSPENDED
    code = RefusalCode.RECIPIENT_SUSPENDED if suspended else RefusalCode.RECIPIENT_REVOKED

    async def work(connection: AsyncConnection) -> int:
        return await standing.give_back(connection, log, node, decision, code)

    returned = with_database(settings, work, log, actor)
    topology.purge_inbox(settings.broker_ctl, node, settings.vhost)
    answer({"node": node, "returned": returned}, as_json, f"{returned} messages for {node} went back to their senders")


def _known(settings: Settings, node: str) -> RosterNode:
    nodes = {found.node: found for found in _roster(settings).nodes}
    if node not in nodes:
        raise NodeUnknown(f"there is no node {node!r}", f"name one of {', '.join(sorted(nodes)) or 'none'}")
    return nodes[node]


def _described(row: Any) -> dict[str, Any]:
    return {
        "index": row.leaf_index,
        "id": str(row.id),
        "at": iso(row.at),
        "sender": row.sender,
        "kind": row.kind,
        "task_force": row.task_force,
        "where": "held" if row.held else "inbox",
    }
