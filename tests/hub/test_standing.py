"""Nodes are suspended, reinstated, revoked and removed: in a real database, wherever the command is killed."""

import time
from collections.abc import Sequence
from typing import Any

import pytest
from cryptography import x509
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from crypto import certificates, keyfile
from crypto.certificates import Profile
from hub import authorities, deadlines, registrar, standing, tables
from hub.errors import HandOverRefused, NodeStateRefused, RosterChanged
from hub.held import WITHHELD, sort_out
from hub.judge import Arrival, judge
from hub.ledger import take_turn
from hub.pen import writing
from hub.quarantine import Decision
from hub.record import Recorded, record
from hub.settings import Settings
from hub.standing import Act, Done, changed
from schemas.control import Entry, Event, MessageType, Receipts
from schemas.header import LAST_MILLI, new_id
from schemas.roster import Cause, NodeState, Roster, RosterNode, Standing
from tests.crypto.people import NOW, person, roster_key, roster_node, sealed
from tests.hub.ownhub import OwnHub

DECISION = Decision("ana", "the laptop is gone")
PEOPLE = ("bg", "hu", "ro", "seci")


def _node(name: str) -> RosterNode:
    who = person(name)
    keys = (roster_key(key, begin=0, end=LAST_MILLI) for key in (who.signing, who.encryption))
    return roster_node(name, *keys)


def _in(state: NodeState) -> RosterNode:
    return _node("bg").model_copy(update={"standing": Standing(state=state, since=NOW, cause=Cause.UNSPECIFIED)})


def test_a_revoked_node_has_no_key_left_and_a_suspended_one_all_of_them() -> None:
    held = changed(_node("bg"), Event.SUSPENDED, Cause.CERTIFICATE_HOLD, NOW)
    assert held.standing == Standing(state=NodeState.SUSPENDED, since=NOW, cause=Cause.CERTIFICATE_HOLD)
    assert held.keys == _node("bg").keys
    assert changed(held, Event.REINSTATED, Cause.UNSPECIFIED, NOW) == _node("bg")
    revoked = changed(held, Event.REVOKED, Cause.KEY_COMPROMISE, NOW + 1)
    assert {key.revoked for key in revoked.keys} == {NOW + 1}
    gone = changed(revoked, Event.REMOVED, Cause.CESSATION_OF_OPERATION, NOW + 2)
    # What was revoked stays so since then.
    assert ({key.revoked for key in gone.keys}, gone.task_forces) == ({NOW + 1}, ())


@pytest.mark.parametrize(
    ("node", "event"),
    [
        (_node("bg"), Event.REINSTATED),
        (_in(NodeState.REVOKED), Event.REINSTATED),
        (_in(NodeState.REVOKED), Event.SUSPENDED),
        (_in(NodeState.REMOVED), Event.REVOKED),
    ],
)
def test_what_cannot_follow_is_refused(node: RosterNode, event: Event) -> None:
    with pytest.raises(NodeStateRefused):
        changed(node, event, Cause.UNSPECIFIED, NOW)


class Hub:
    """A hub of its own with four nodes."""

    def __init__(self, own: OwnHub, engine: AsyncEngine) -> None:
        self.own, self.engine = own, engine

    async def begin(self) -> None:
        """The first roster."""
        async with writing(self.engine, self.own.log) as connection:
            await take_turn(connection)
            nodes = [_node(name) for name in PEOPLE]
            await registrar.publish_roster(connection, self.own.log, nodes, self.own.log.signer.key)

    async def roster(self) -> Roster:
        """The one in force."""
        async with self.engine.connect() as connection:
            return (await registrar.trust(connection, self.own.log.signer.key.public)).roster

    async def take(self, *envelopes: bytes, node: str = "ro", roster: int | None = None) -> Recorded:
        """As a worker takes what comes by a node's queue."""
        async with self.engine.connect() as connection:
            trust = await registrar.trust(connection, self.own.log.signer.key.public)
        now = time.time_ns() // 1_000_000
        arrivals = [Arrival(node, MessageType.ENVELOPE, envelope, 1) for envelope in envelopes]
        verdicts = [judge(arrival, trust, now) for arrival in arrivals]
        async with writing(self.engine, self.own.log) as connection:
            return await record(connection, self.own.log, verdicts, now, roster)

    async def act(self, event: Event, node: str, heir: str | None = None) -> Done:
        """An operator's act."""
        settings = Settings.load(self.own.home)
        authority = authorities.issuing(settings.home, settings.secret())
        act = Act(event, node, DECISION, Cause.KEY_COMPROMISE, heir)
        async with writing(self.engine, self.own.log) as connection:
            return await standing.apply(connection, self.own.log, authority, act)

    async def held(self, node: str) -> list[Any]:
        """What is held for a node, in order."""
        query = select(tables.held).where(tables.held.c.node == node).order_by(tables.held.c.place)
        async with self.engine.connect() as connection:
            return list((await connection.execute(query)).all())

    async def told(self, node: str) -> list[Entry]:
        """The entries of which receipts are held for a node."""
        bundles = [Receipts.from_bytes(row.body) for row in await self.held(node) if row.type == MessageType.RECEIPTS]
        return [Entry.from_bytes(receipt.entry) for bundle in bundles for receipt in bundle.receipts]

    async def sort_out(self, *absent: str) -> None:
        """As each worker does every second."""
        async with self.engine.begin() as connection:
            await sort_out(connection, absent)


@pytest.fixture
async def hub(own: OwnHub, own_engine: AsyncEngine) -> Hub:
    """A hub with its first roster."""
    hub = Hub(own, own_engine)
    await hub.begin()
    return hub


def _message(recipients: Sequence[str] = ("bg",), sender: str = "ro", **changes: Any) -> bytes:
    now = time.time_ns() // 1_000_000
    id = new_id(now)
    fields = {"id": id, "thread": id, "created": now, "expires": now + 3_600_000} | changes
    return sealed(b"body", sender, tuple(recipients), **fields)


def _codes(recorded: Recorded) -> list[str]:
    return [str(entry.code or entry.event) for entry in recorded.entries]


@pytest.mark.system
async def test_what_a_revoked_key_signed_counts_only_if_it_was_on_record_before(hub: Hub) -> None:
    first, late = _message(), _message()
    assert _codes(await hub.take(first, roster=1)) == ["accepted"]
    done = await hub.act(Event.REVOKED, "ro")
    assert (done.version, done.changed) == (2, True)
    [accepted] = [entry for entry in await hub.told("bg") if entry.event is Event.ACCEPTED]
    # Who has the message to come is given the proof that it was there before the roster that revoked the key.
    revoked = {key.revoked for node in (await hub.roster()).nodes if node.node == "ro" for key in node.keys}
    assert revoked == {done.since}
    assert accepted.at <= done.since
    # A worker that has judged by the roster of before records nothing.
    with pytest.raises(RosterChanged):
        await hub.take(late, roster=1)
    assert _codes(await hub.take(late, roster=2)) == ["key_revoked"]
    # What was accepted stays so when it comes again, and its receipt is made again.
    again = await hub.take(first, roster=2)
    assert (_codes(again), len(again.publications)) == ([], 2)


@pytest.mark.system
async def test_a_suspended_node_is_sent_nothing_until_it_is_back_and_then_all_in_order(hub: Hub) -> None:
    queued = [_message(), _message()]
    for publication in (await hub.take(*queued)).publications:
        if publication.node == "bg":
            async with hub.engine.begin() as connection:
                await standing.hold(connection, [standing.Untaken(publication, "rejected")], NOW)
    before = [row.message_id for row in await hub.held("bg")]
    await hub.act(Event.SUSPENDED, "bg")
    assert _codes(await hub.take(_message(), _message(["bg", "hu"]), _message(["hu"]))) == [
        "recipient_suspended",
        "recipient_suspended",
        "accepted",
    ]
    assert _codes(await hub.take(_message(["hu"], sender="bg"), node="bg")) == ["sender_suspended"]
    await hub.sort_out("bg")
    assert [(row.message_id, row.reason) for row in await hub.held("bg")][:2] == [(id, WITHHELD) for id in before]
    assert (await hub.act(Event.SUSPENDED, "bg")).changed is False
    assert (await hub.act(Event.REINSTATED, "bg")).version == 3
    assert [row.message_id for row in await hub.held("bg") if row.due == 0][:2] == before


@pytest.mark.system
async def test_what_waits_is_given_back_once_and_its_senders_are_told(hub: Hub) -> None:
    await hub.take(_message(), _message(["bg", "hu"]))
    await hub.act(Event.REVOKED, "bg")

    async def give_back() -> int:
        async with writing(hub.engine, hub.own.log) as connection:
            code = standing.RefusalCode.RECIPIENT_REVOKED
            return await standing.give_back(connection, hub.own.log, "bg", DECISION, code)

    assert (await give_back(), await give_back()) == (2, 0)
    told = [entry for entry in await hub.told("ro") if entry.event is Event.RETURNED]
    assert [(entry.node, str(entry.code), entry.detail) for entry in told] == [
        ("bg", "recipient_revoked", "ana: the laptop is gone")
    ] * 2
    async with hub.engine.connect() as connection:
        assert list(await standing.untaken(connection, "bg", NOW)) == []
        assert [row.node for row in await standing.untaken(connection, "hu", NOW)] == ["hu"]


@pytest.mark.system
async def test_who_is_removed_hands_over_what_it_owes(hub: Hub) -> None:
    now = time.time_ns() // 1_000_000
    await hub.take(_message(reply_by=now + 3_000_000), _message())
    for heir in (None, "hu", "bg", "xx"):
        with pytest.raises(HandOverRefused):
            await hub.act(Event.REMOVED, "bg", heir)
    done = await hub.act(Event.REMOVED, "bg", "seci")
    assert (done.returned, done.handed_over) == (2, 1)
    for node in ("ro", "seci"):
        [entry] = [entry for entry in await hub.told(node) if entry.event is Event.HANDED_OVER]
        assert (entry.node, entry.recipients, entry.sender) == ("bg", ("seci",), "ro")
    async with hub.engine.connect() as connection:
        assert await deadlines.waiting(connection, now, 10) == []
    [gone] = [node for node in (await hub.roster()).nodes if node.node == "bg"]
    assert (gone.task_forces, gone.active) == ((), False)


async def _certify(connection: AsyncConnection, hub: Hub, node: str) -> int:
    home = hub.own.home
    ca, key = certificates.read_certificate((home / "ca.pem").read_bytes()), certificates.new_tls_key()
    ca_key = keyfile.load_tls_key(home / "ca.key", Settings.load(home).secret())
    csr, name = certificates.create_csr(f"node-{node}", key), f"node-{node}"
    certificate = certificates.issue(csr, ca, ca_key, Profile.CLIENT, common_name=name, days=1)
    await registrar.keep_certificate(connection, certificates.to_pem(certificate), node)
    return certificate.serial_number


@pytest.mark.system
async def test_killed_anywhere_it_is_done_wholly_or_not_at_all_and_repeated_it_is_finished(hub: Hub) -> None:
    async with hub.engine.begin() as connection:
        serials = {node: await _certify(connection, hub, node) for node in ("bg", "hu")}
    typed = ("revoke", "bg", "--reason", "stolen")
    for point in (("hub.standing:apply", "--after"), ("hub.topology:shut_out",)):
        code, _ = hub.own.type(*typed, crash_at=point)
        assert code == -9
        decided = point[0] != "hub.standing:apply"
        assert (await hub.roster()).version == 1 + decided
        assert not (hub.own.home / "crl.pem").exists()
    code, told = hub.own.type(*typed)
    assert (code, told["changed"], told["roster"], told["state"]) == (0, False, 2, "revoked")
    assert hub.own.type("ledger", "verify")[0] == 0
    listed = x509.load_pem_x509_crl((hub.own.home / "crl.pem").read_bytes())
    assert [item.serial_number for item in listed] == [serials["bg"]]
    [act] = hub.own.type("roster", "history")[1]["versions"][:1]
    assert act["why"].endswith(": stolen")
    assert any(change.startswith("bg: revoked since") for change in act["changes"])
    # Another authority takes over: the list is by that one then.
    home, secret = hub.own.home, Settings.load(hub.own.home).secret()
    authorities.prepare(home, secret)
    authorities.trust_both(home)
    authorities.let_newest_issue(home)
    async with writing(hub.engine, hub.own.log) as connection:
        await standing.relist(connection, hub.own.log, authorities.issuing(home, secret))
    authorities.trust_newest(home)
    assert hub.own.type("crl")[1]["revoked"] == [f"{serials['bg']:x}"]
