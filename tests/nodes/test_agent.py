"""What the agent makes of arrivals, on a real store and without a broker."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from crypto.envelope import seal
from crypto.keyfile import NodeKeys
from crypto.note import Checkpoint, NoteSigner, sign_note
from crypto.receipt import leaf_of
from crypto.trust import Trust, sign_roster
from nodes import asides, breaches, inbox, migrations, outbox, store
from nodes.agent import Agent
from nodes.errors import StoreVersionUnknown
from nodes.outgoing import Outgoing
from nodes.receiving import Arrival
from nodes.store import Store
from nodes.times import iso
from schemas.codes import Agency, Handling, Priority
from schemas.control import Entry, Event, MessageType, Receipt, Receipts
from schemas.header import Routing, new_id
from schemas.refusals import RefusalCode
from schemas.roster import Roster
from tests.crypto.people import BG, HUB, NAMES, NOW, RO, TR, Person, roster_key, roster_node, routing, sealed, trust
from tests.nodes.conftest import FAR, ORIGIN, entry, roster
from tests.nodes.test_lanes import post
from tests.nodes.twofaced import in_force
from tests.nodes.witnesses import linked


def _arrival(body: bytes, type: str = MessageType.ENVELOPE) -> Arrival:
    return Arrival(type, body, 1)


def _routing(sender: str, recipients: tuple[str, ...], **changes: Any) -> Routing:
    return routing(sender, recipients, **({"expires": FAR} | changes))


def _from_tr() -> bytes:
    body = b'{"title": "a", "text": "b"}'
    return seal(_routing("tr", ("bg",)), body, {"bg": BG.encryption.public}, TR.signing)[1]


async def _aside(box: Store) -> list[str]:
    return await box.run(lambda connection: list(connection.execute(select(store.quarantine.c.reason)).scalars()))


async def test_an_envelope_that_overtakes_the_roster_is_kept_and_opened_when_it_comes(agent: Agent) -> None:
    await agent.box.run(agent.take_in, [_arrival(_from_tr())])
    assert await _aside(agent.box) == ["sender_unknown"]
    assert await agent.box.run(inbox.listing, agent.box, 0, 10, None, None) == []
    await in_force(agent, sign_roster(roster(2, RO, BG, TR), HUB.signing))
    assert agent.trust.roster.version == 2
    assert await _aside(agent.box) == []
    assert [message["sender"] for message in await agent.box.run(inbox.listing, agent.box, 0, 10, None, None)] == ["tr"]


async def _asked(agent: Agent, **changes: Any) -> str:
    id = new_id(NOW)
    asked = _routing("ro", ("bg",), **({"id": id, "thread": id, "reply_by": NOW + 1} | changes))
    question = seal(asked, b'{"title": "a", "text": "b"}', {"bg": BG.encryption.public}, RO.signing)[1]
    await agent.box.run(agent.take_in, [_arrival(question)])
    return str(id)


async def _debts(agent: Agent) -> dict[str, tuple[bool, bool]]:
    listed = await agent.box.run(inbox.listing, agent.box, 0, 10, None, None)
    shown = [await agent.box.run(inbox.show, agent.box, message["id"]) for message in listed]
    alone = {"notices": [], "receipt_verified": False, "witnessed": False}
    assert [message | alone for message in listed] == shown
    return {m["id"]: (m["answered"], m["overdue"]) for m in listed if "reply_by" in m}


async def test_an_answer_is_owed_until_it_is_sent(agent: Agent) -> None:
    past, waits = await _asked(agent), await _asked(agent, reply_by=FAR - 1)
    await _asked(agent, reply_by=None)
    assert await _debts(agent) == {past: (False, True), waits: (False, False)}
    for question in (past, waits):
        body = {"result": "hit", "text": "a"}
        reply = Outgoing(kind="reply", in_reply_to=UUID(question), body=body)
        answer, _ = await outbox.accept(agent.box, reply, "bg", agent.keys, agent.trust)
    assert await _debts(agent) == {past: (True, False), waits: (True, False)}
    refused = update(store.outbox).where(store.outbox.c.id == answer["id"]).values(state="refused")
    await agent.box.run(lambda connection: connection.execute(refused))
    assert (await _debts(agent))[waits] == (False, False)


async def test_what_cannot_be_understood_holds_up_nothing_behind_it(agent: Agent) -> None:
    body = b'{"title": "a", "text": "b"}'
    good = seal(_routing("ro", ("bg",)), body, {"bg": BG.encryption.public}, RO.signing)[1]
    batch = [_arrival(b""), _arrival(b"x", "poem"), _arrival(b"x", MessageType.RECEIPTS), _arrival(good)]
    await agent.box.run(agent.take_in, [*batch, _arrival(good)])
    assert len(await _aside(agent.box)) == 2  # empty; and two of the same bytes are kept once
    assert len(await agent.box.run(inbox.listing, agent.box, 0, 10, None, None)) == 1


async def test_a_body_that_is_not_of_its_kind_is_declined(agent: Agent) -> None:
    wrong = seal(_routing("ro", ("bg",)), b'{"title": 7}', {"bg": BG.encryption.public}, RO.signing)[1]
    await agent.box.run(agent.take_in, [_arrival(wrong)])
    assert await agent.box.run(inbox.listing, agent.box, 0, 10, None, None) == []
    due = await agent.box.run(inbox.duties, "bg", 10, FAR)
    assert [(item.outcome, item.code) for item in due[0].acknowledgement.items] == [("declined", "body_invalid")]


async def test_an_acknowledgement_without_receipt_is_repeated_later_and_later(agent: Agent) -> None:
    await agent.box.run(agent.take_in, [_arrival(_from_tr())])
    await in_force(agent, sign_roster(roster(2, RO, BG, TR), HUB.signing))
    moment, pauses = FAR, []
    for _ in range(4):
        [duty] = await agent.box.run(inbox.duties, "bg", 10, moment)
        await agent.box.run(inbox.mark_acknowledged, duty.seqs, moment, 30_000)
        due = await agent.box.run(lambda connection: connection.scalar(select(store.inbox.c.acknowledge_at)))
        assert due is not None
        pauses.append(due - moment)
        moment = due
    assert pauses == [30_000, 60_000, 120_000, 240_000]


@pytest.mark.parametrize("version", [0, migrations.VERSION + 1])
def test_a_store_of_an_unknown_version_is_left_alone(tmp_path: Path, version: int) -> None:
    with closing(sqlite3.connect(tmp_path / "node.db")) as database:
        database.executescript(f"CREATE TABLE outbox (id TEXT); PRAGMA user_version = {version};")
    with pytest.raises(StoreVersionUnknown, match=f"version {version},"):
        Store.open(tmp_path / "node.db", bytes(32))
    Store.open(tmp_path / "other.db", bytes(32)).close()
    Store.open(tmp_path / "other.db", bytes(32)).close()


def _schema(file: Path) -> dict[str, set[tuple[object, ...]]]:
    """The columns of each table: name, type, not null, place in the primary key."""
    with closing(sqlite3.connect(file)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = {table: database.execute(f"PRAGMA table_info({table})").fetchall() for table in tables}
    return {table: {(*row[1:4], row[5]) for row in rows} for table, rows in columns.items()}


async def test_a_store_of_version_1_is_brought_up_to_date(tmp_path: Path) -> None:
    file, script = tmp_path / "node.db", Path(__file__).parent / "store_1.sql"
    with closing(sqlite3.connect(file)) as database:
        database.executescript(script.read_text())
    for _ in range(2):
        box = Store.open(file, bytes(32))
        waits, other = await box.run(asides.aside, b"1"), await box.run(asides.aside, b"2")
        box.close()
        assert waits == asides.Aside(b"1", "envelope", b"one", "01a20f97-e270-71d7-88d6-b834d3465199")
        assert other == asides.Aside(b"2", "envelope", b"two", "")
    Store.open(tmp_path / "new.db", bytes(32)).close()
    assert _schema(file) == _schema(tmp_path / "new.db")


async def test_what_no_roster_allows_within_a_minute_is_declined(agent: Agent) -> None:
    outsider = roster_node("tr", roster_key(TR.signing, end=FAR), roster_key(TR.encryption, end=FAR), task_forces=())
    signed = sign_roster(Roster(version=2, at=NOW, nodes=(entry(RO), entry(BG), outsider)), HUB.signing)
    await agent.box.run(agent.take_in, [_arrival(_from_tr())])
    assert await _aside(agent.box) == ["sender_unknown"]
    await in_force(agent, signed)
    assert await _aside(agent.box) == ["not_a_member"]
    linked(agent)
    assert not await agent.box.run(agent.decide)
    await agent.box.run(lambda connection: connection.execute(update(store.quarantine).values(at=0)))
    assert await agent.box.run(agent.decide)
    assert await _aside(agent.box) == []
    [duty] = await agent.box.run(inbox.duties, "bg", 10, FAR)
    assert [(item.outcome, item.code) for item in duty.acknowledgement.items] == [("declined", "not_a_member")]
    # The hub should not have let it through: people are told.
    [told] = await agent.box.run(breaches.recent, NOW)
    assert (told["sender"], told["code"]) == ("tr", "not_a_member")
    assert "let through 1 messages" in breaches.warnings([told])[0]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"kind": "vehicle.stolen"}, "kind_not_of_task_force"),
        (
            {"kind": "witness.movement", "handling": Handling.H3, "recipients": tuple(sorted({*NAMES}))},
            "policy_refused",
        ),
        ({"agency": Agency.JUDICIAL}, "agency_not_of_sender"),
        ({"task_force": "fraud"}, "not_a_member"),
        ({}, "body_invalid"),
    ],
)
def test_what_the_hub_should_have_refused_is_declined(changes: dict[str, Any], code: str) -> None:
    keys = NodeKeys(BG.signing, (BG.encryption,), bytes(32))
    envelope = sealed(b"no body of any kind", **changes)
    # The roster that allows it may be on its way.
    if changes:
        with pytest.raises(inbox.Undecided):
            inbox.receive(envelope, "bg", keys, trust(), NOW, final=False)
    found = inbox.receive(envelope, "bg", keys, trust(), NOW)
    assert found.code == code


async def test_a_second_sender_of_an_id_is_declined(agent: Agent) -> None:
    agent.trust = Trust.of(roster(2, RO, BG, TR))
    body = b'{"title": "a", "text": "b"}'
    first = seal(_routing("ro", ("bg",)), body, {"bg": BG.encryption.public}, RO.signing)[1]
    await agent.box.run(agent.take_in, [_arrival(first), _arrival(_from_tr())])
    assert [m["sender"] for m in await agent.box.run(inbox.listing, agent.box, 0, 10, None, None)] == ["ro"]
    codes = {
        item.code for duty in await agent.box.run(inbox.duties, "bg", 10, FAR) for item in duty.acknowledgement.items
    }
    assert codes == {None, "id_reused"}


async def test_two_histories_of_one_size_are_an_alarm(agent: Agent) -> None:
    def bundle(root_of: bytes) -> bytes:
        entry_ = Entry(event=Event.ACCEPTED, at=NOW, node="bg", detail=root_of.decode()).to_bytes()
        leaf = leaf_of(bytes(32), entry_)
        note = sign_note(Checkpoint(ORIGIN, 1, leaf).text(), NoteSigner(ORIGIN, HUB.signing))
        receipt = Receipt(index=0, entry=entry_, salt=bytes(32), proof=())
        return Receipts(checkpoint=note, receipts=(receipt,)).to_bytes()

    await agent.box.run(agent.take_in, [_arrival(bundle(b"one"), MessageType.RECEIPTS)])
    assert await _aside(agent.box) == []
    await agent.box.run(agent.take_in, [_arrival(bundle(b"other"), MessageType.RECEIPTS)])
    assert await _aside(agent.box) == ["log_forked"]


def _in_thread(count: int, sender: Person = RO) -> tuple[list[str], list[bytes]]:
    """Ids and envelopes of a thread to Bulgaria."""
    ids = [new_id(NOW + number) for number in range(count)]
    body = b'{"title": "a", "text": "b"}'
    routings = [_routing(sender.node, ("bg",), id=id, thread=ids[0]) for id in ids]
    envelopes = [seal(one, body, {"bg": BG.encryption.public}, sender.signing)[1] for one in routings]
    return [str(id) for id in ids], envelopes


async def _received(agent: Agent) -> list[str]:
    return [message["id"] for message in await agent.box.run(inbox.listing, agent.box, 0, 500, None, None)]


async def test_a_thread_is_put_in_order_whatever_the_order_of_arrival(agent: Agent) -> None:
    ids, envelopes = _in_thread(60)
    arrivals = [
        Arrival(MessageType.ENVELOPE, envelope, 1, None, after)
        for envelope, after in zip(envelopes, ["", *ids[:-1]], strict=True)
    ]
    for arrival in reversed(arrivals[1:]):
        await agent.box.run(agent.take_in, [arrival])
    assert await _received(agent) == []
    await agent.box.run(agent.take_in, [arrivals[0], arrivals[-1]])
    assert await _received(agent) == ids
    assert await _aside(agent.box) == []


async def test_what_waited_for_a_roster_still_has_its_place_in_its_thread(agent: Agent) -> None:
    ids, envelopes = _in_thread(3, TR)
    arrivals = [Arrival(MessageType.ENVELOPE, envelopes[n], 1, None, ids[n - 1]) for n in (1, 2)]
    await agent.box.run(agent.take_in, arrivals)
    assert await _aside(agent.box) == ["sender_unknown"] * 2
    await in_force(agent, sign_roster(roster(2, RO, BG, TR), HUB.signing))
    assert await _received(agent) == []
    await agent.box.run(agent.take_in, [_arrival(envelopes[0])])
    assert await _received(agent) == ids
    assert await _aside(agent.box) == []


async def test_a_thread_goes_on_after_a_minute_without_what_is_missing(agent: Agent) -> None:
    ids, envelopes = _in_thread(2)
    await agent.box.run(agent.take_in, [Arrival(MessageType.ENVELOPE, envelopes[1], 1, None, ids[0])])
    assert not await agent.box.run(agent.decide)
    assert await _received(agent) == []
    await agent.box.run(lambda connection: connection.execute(update(store.quarantine).values(at=0)))
    assert await agent.box.run(agent.decide)
    assert await _received(agent) == [ids[1]]


async def test_what_has_expired_long_ago_is_declined(agent: Agent) -> None:
    one = _routing("ro", ("bg",), expires=NOW + 1000)
    envelope = seal(one, b'{"title": "a", "text": "b"}', {"bg": BG.encryption.public}, RO.signing)[1]
    received = inbox.receive(envelope, "bg", agent.keys, agent.trust, NOW + 1000)
    assert received.code is None
    received = inbox.receive(envelope, "bg", agent.keys, agent.trust, NOW + 1000 + inbox.CLOCK_MS)
    assert received.code == RefusalCode.EXPIRED


@pytest.mark.parametrize(("settled", "sent"), [(5_000, "queued"), (FAR, "accepted")])
async def test_what_has_a_receipt_was_sent_though_the_mark_was_lost(agent: Agent, settled: int, sent: str) -> None:
    id = await post(agent, Priority.NORMAL)
    times = (await agent.box.run(outbox.describe, agent.box, id))["times"]
    assert times["sent"] is None
    # Killed before the mark was written; then comes the receipt, by a hub whose clock may be behind.
    accepted = {"state": "accepted", "settled_at": settled, "receipt": b""}
    await agent.box.run(lambda connection: connection.execute(update(store.outbox).values(**accepted)))
    times = (await agent.box.run(outbox.describe, agent.box, id))["times"]
    assert times["sent"] == times[sent]
    await agent.box.run(outbox.mark_sent, [(id, 7_000)], 1_000)
    times = (await agent.box.run(outbox.describe, agent.box, id))["times"]
    assert times["sent"] == iso(7_000)
