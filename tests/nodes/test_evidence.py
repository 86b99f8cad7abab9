"""What a node has to show of its messages: from its own store, through its API, verified as a reader would."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import select, update

from crypto import merkle
from crypto.bundle import Evidence
from crypto.errors import DigestMismatch
from crypto.evidence import verify_evidence
from crypto.note import Checkpoint, NoteSigner, sign_note
from crypto.policy import Policy
from crypto.receipt import leaf_of
from crypto.trust import sign_acknowledgement, sign_roster
from nodes import store
from nodes.agent import Agent
from nodes.api import make_app
from nodes.receiving import Arrival
from schemas.control import AcknowledgedMessage, Acknowledgement, Entry, Event, MessageType, Outcome, Receipt, Receipts
from schemas.header import Header
from schemas.refusals import RefusalCode
from tests.crypto.people import BG, HUB, NOW, RO, TR, Person
from tests.nodes.conftest import FAR, ORIGIN, roster
from tests.nodes.twofaced import LONG, in_force

TOKEN = "of this test"
LOG = NoteSigner(ORIGIN, HUB.signing)
POLICY = Policy.of([LOG.verifier], [], 0)
SECOND = sign_roster(roster(2, RO, BG, TR), HUB.signing)
ALERT: dict[str, Any] = {"kind": "alert", "task_force": "drugs", "body": {"title": "a", "text": "b"}}


@pytest.fixture
async def api(agent: Agent) -> AsyncIterator[httpx2.AsyncClient]:
    """An authorised client of Bulgaria's API; Romania and Turkey are there too."""
    await in_force(agent, SECOND)
    transport = httpx2.ASGITransport(app=make_app(agent, TOKEN))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
        yield client


async def take_in(agent: Agent, type: MessageType, body: bytes) -> None:
    await agent.box.run(agent.take_in, [Arrival(type, body, 1)])


async def _posted(agent: Agent, api: httpx2.AsyncClient) -> tuple[str, Header, bytes]:
    id = (await api.post("/v1/messages", json=ALERT)).json()["id"]
    table = store.outbox.c
    query = select(table.header, table.digest).where(table.id == id)
    row = await agent.box.run(lambda connection: connection.execute(query).one())
    return id, Header.from_bytes(row.header), row.digest


def bundle_of(*entries: Entry, words: tuple[bytes, ...] = ()) -> bytes:
    """What the hub sends of these entries, which are its whole ledger."""
    data, salt = [entry.to_bytes() for entry in entries], bytes(32)
    leaves = [leaf_of(salt, item) for item in data]
    subtrees = merkle.CompactRange(0, ()).append(leaves)[1]
    receipts = tuple(
        Receipt(
            index=index,
            entry=item,
            salt=salt,
            proof=tuple(merkle.inclusion_proof(index, len(data), lambda level, place: subtrees[level, place])),
        )
        for index, item in enumerate(data)
    )
    note = sign_note(Checkpoint(ORIGIN, len(data), merkle.root(leaves)).text(), LOG)
    return Receipts(checkpoint=note, receipts=receipts, acknowledgements=words).to_bytes()


def _accepted(header: Header, digest: bytes) -> Entry:
    names = ("thread", "sender", "recipients", "task_force", "kind", "kind_version", "operation", "created")
    fields = {name: getattr(header, name) for name in names}
    codes = {"priority": str(header.priority), "handling": str(header.handling)}
    return Entry(event=Event.ACCEPTED, at=NOW, node="bg", message=header.id, envelope=digest, **fields | codes)


def _word(who: Person, id: str, digest: bytes) -> bytes:
    item = AcknowledgedMessage(id=UUID(id), envelope=digest, outcome=Outcome.DELIVERED)
    return sign_acknowledgement(Acknowledgement(recipient=who.node, sender="bg", at=NOW, items=(item,)), who.signing)


def _delivered(node: str, id: str, digest: bytes, word: bytes) -> Entry:
    evidence = hashlib.sha256(word).digest()
    return Entry(
        event=Event.DELIVERED, at=NOW, node=node, message=UUID(id), sender="bg", envelope=digest, evidence=evidence
    )


async def _shown(api: httpx2.AsyncClient, id: str, **params: Any) -> Evidence:
    answer = await api.get(f"/v1/messages/{id}/evidence", params=params)
    assert answer.status_code == 200, answer.text
    return Evidence.from_bytes(answer.content)


async def _refused(api: httpx2.AsyncClient, id: str, **params: Any) -> tuple[int, str]:
    answer = await api.get(f"/v1/messages/{id}/evidence", params=params)
    return answer.status_code, answer.json()["code"]


async def test_what_is_shown_grows_with_the_receipts(agent: Agent, api: httpx2.AsyncClient) -> None:
    id, header, digest = await _posted(agent, api)
    assert await _refused(api, id) == (409, "receipt_missing")
    accepted = _accepted(header, digest)
    await take_in(agent, MessageType.RECEIPTS, bundle_of(accepted))
    assert verify_evidence(await _shown(api, id), POLICY).answers == ()
    ro, tr = _word(RO, id, digest), _word(TR, id, digest)
    entries = (accepted, _delivered("ro", id, digest, ro), _delivered("tr", id, digest, tr))
    await take_in(agent, MessageType.RECEIPTS, bundle_of(*entries, words=(ro, tr)))
    found = verify_evidence(await _shown(api, id), POLICY)
    assert [answer.recipient for answer in found.answers] == ["ro", "tr"]
    assert found.body is None


async def test_the_content_is_shown_only_if_asked_for_and_is_what_was_signed(
    agent: Agent, api: httpx2.AsyncClient
) -> None:
    id, header, digest = await _posted(agent, api)
    await take_in(agent, MessageType.RECEIPTS, bundle_of(_accepted(header, digest)))
    assert (await _shown(api, id)).content is None
    shown = await _shown(api, id, content=True)
    assert verify_evidence(shown, POLICY).body == b'{"title":"a","text":"b"}'
    assert shown.content is not None
    with pytest.raises(DigestMismatch):
        verify_evidence(
            Evidence(shown.proofs, shown.envelope, rosters=shown.rosters, content=shown.content + b" "), POLICY
        )


async def test_what_is_delivered_after_it_expired_is_shown_as_late(agent: Agent, api: httpx2.AsyncClient) -> None:
    id, header, digest = await _posted(agent, api)
    words = {node: _word(who, id, digest) for node, who in (("ro", RO), ("tr", TR))}
    on_time, late = (_delivered(node, id, digest, word) for node, word in words.items())
    late = late.model_copy(update={"at": header.expires + 1})
    entries = (_accepted(header, digest), on_time, late)
    await take_in(agent, MessageType.RECEIPTS, bundle_of(*entries, words=tuple(words.values())))
    listed = (await api.get("/v1/messages")).json()["messages"][0]
    for found in (listed, (await api.get(f"/v1/messages/{id}")).json()):
        states = {item["recipient"]: (item["state"], item.get("late")) for item in found["deliveries"]}
        assert states == {"ro": ("delivered", None), "tr": ("delivered", True)}


async def test_only_the_rosters_that_are_needed_are_shown(agent: Agent, api: httpx2.AsyncClient) -> None:
    id, header, digest = await _posted(agent, api)
    word = _word(TR, id, digest)
    entries = (_accepted(header, digest), _delivered("tr", id, digest, word))
    await take_in(agent, MessageType.RECEIPTS, bundle_of(*entries, words=(word,)))
    later = [sign_roster(roster(version, RO, BG), HUB.signing) for version in (3, 4)]
    await in_force(agent, *later, log=LONG.published(SECOND))
    shown = await _shown(api, id)
    found = verify_evidence(shown, POLICY)
    assert found.signed is not None
    assert (found.signed.roster.version, found.answers[0].roster.version, len(shown.rosters)) == (4, 2, 2)


async def test_a_message_of_an_older_program_is_shown_without_its_content(
    agent: Agent, api: httpx2.AsyncClient
) -> None:
    id, header, digest = await _posted(agent, api)
    word = _word(TR, id, digest)
    entries = (_accepted(header, digest), _delivered("tr", id, digest, word))
    await take_in(agent, MessageType.RECEIPTS, bundle_of(*entries, words=(word,)))
    await agent.box.run(lambda connection: connection.execute(update(store.outbox).values(nonce=None)))
    await agent.box.run(
        lambda connection: connection.execute(update(store.delivery).values(receipt=None, evidence=None))
    )
    assert await _refused(api, id, content=True) == (409, "content_not_kept")
    shown = await _shown(api, id)
    assert (len(shown.proofs), shown.acknowledgements) == (1, ())


async def test_what_would_not_convince_is_not_handed_out(agent: Agent, api: httpx2.AsyncClient) -> None:
    id, header, digest = await _posted(agent, api)
    lie = _accepted(header, digest).model_copy(update={"kind": "reply"})
    await take_in(agent, MessageType.RECEIPTS, bundle_of(lie))
    assert await _refused(api, id) == (409, "evidence_incomplete")


async def test_a_refusal_can_be_shown_too(agent: Agent, api: httpx2.AsyncClient) -> None:
    id, header, digest = await _posted(agent, api)
    refused = Entry(event=Event.REFUSED, at=NOW, node="bg", message=header.id, envelope=digest, detail="late")
    await take_in(agent, MessageType.RECEIPTS, bundle_of(refused.model_copy(update={"code": RefusalCode.EXPIRED})))
    assert verify_evidence(await _shown(api, id), POLICY).decision.entry.code is RefusalCode.EXPIRED


async def test_an_acknowledgement_is_kept_once_and_only_by_who_it_is_for(agent: Agent, api: httpx2.AsyncClient) -> None:
    id, header, digest = await _posted(agent, api)
    word = _word(RO, id, digest)
    other = sign_acknowledgement(
        Acknowledgement(
            recipient="ro",
            sender="tr",
            at=FAR - 1,
            items=(AcknowledgedMessage(id=UUID(id), envelope=digest, outcome=Outcome.DELIVERED),),
        ),
        RO.signing,
    )
    entries = (_accepted(header, digest), _delivered("ro", id, digest, word))
    for _ in range(2):
        await take_in(agent, MessageType.RECEIPTS, bundle_of(*entries, words=(word, other)))
    kept = await agent.box.run(lambda connection: connection.execute(select(store.acknowledgement.c.signed)).all())
    assert [row.signed for row in kept] == [word]


async def test_of_an_unknown_message_there_is_nothing_to_show(api: httpx2.AsyncClient) -> None:
    assert await _refused(api, "01a20f97-e270-71d7-88d6-b834d3465199") == (404, "message_unknown")
    assert (await _refused(api, "x"))[0] == 422
