"""What a node has to show of what it received: kept with the receipt of its own acknowledgement, and verified."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import select

from crypto.bundle import Evidence
from crypto.envelope import digest_of, seal
from crypto.evidence import verify_evidence
from crypto.trust import sign_acknowledgement, sign_roster
from nodes import inbox, migrations, rosters, store
from nodes.agent import Agent
from nodes.api import make_app
from nodes.store import Store
from schemas.control import Acknowledgement, Entry, Event, MessageType
from schemas.header import new_id
from schemas.refusals import RefusalCode
from tests.crypto.people import BG, HUB, NOW, RO, Person, routing
from tests.nodes.conftest import FAR, roster
from tests.nodes.test_evidence import POLICY, TOKEN, bundle_of, take_in
from tests.nodes.twofaced import in_force

BODY = b'{"text":"b","title":"a"}'
# As in store_4.sql; of both nothing but a digest is left of the envelope.
OLD = ("01a20f97-e270-71d7-88d6-b834d3465191", "01a20f97-e270-71d7-88d6-b834d3465192")


@pytest.fixture(autouse=True)
async def agent_with_roster(agent: Agent) -> None:
    """The roster is in the agent's store, too."""
    await in_force(agent, sign_roster(roster(2, RO, BG), HUB.signing))


async def _received(agent: Agent, body: bytes = BODY) -> tuple[str, bytes]:
    id = new_id(NOW)
    made = routing("ro", ("bg",), id=id, thread=id, expires=FAR)
    envelope = seal(made, body, {"bg": BG.encryption.public}, RO.signing)[1]
    await take_in(agent, MessageType.ENVELOPE, envelope)
    return str(id), envelope


async def _word(agent: Agent, who: Person = BG) -> tuple[bytes, Acknowledgement]:
    """What the agent signs of all that it has to acknowledge."""
    [duty] = await agent.box.run(inbox.duties, "bg", 100, FAR - 1)
    return sign_acknowledgement(duty.acknowledgement, who.signing), duty.acknowledgement


def _on_record(signed: bytes, said: Acknowledgement) -> list[Entry]:
    return [
        Entry(
            event=Event(str(item.outcome)),
            at=NOW,
            node="bg",
            message=item.id,
            sender="ro",
            envelope=item.envelope,
            evidence=sha256(signed).digest(),
            code=item.code,
        )
        for item in said.items
    ]


async def _asked(agent: Agent, id: str, **params: Any) -> httpx2.Response:
    transport, headers = httpx2.ASGITransport(app=make_app(agent, TOKEN)), {"Authorization": f"Bearer {TOKEN}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
        return await client.get(f"/v1/inbox/{id}/evidence", params=params)


async def _shown(agent: Agent, id: str, **params: Any) -> Evidence:
    answer = await _asked(agent, id, **params)
    assert answer.status_code == 200, answer.text
    return Evidence.from_bytes(answer.content)


async def _refused(agent: Agent, id: str, **params: Any) -> tuple[int, str]:
    answer = await _asked(agent, id, **params)
    return answer.status_code, answer.json()["code"]


async def test_what_came_is_shown_once_its_acknowledgement_is_on_record(agent: Agent) -> None:
    id, envelope = await _received(agent)
    assert await _refused(agent, id) == (409, "receipt_missing")
    signed, said = await _word(agent)
    await take_in(agent, MessageType.RECEIPTS, bundle_of(*_on_record(signed, said), words=(signed,)))
    assert await agent.box.run(inbox.duties, "bg", 100, FAR) == []
    shown = await _shown(agent, id)
    assert (shown.recipient, shown.envelope, shown.acknowledgements, shown.content) == ("bg", envelope, (signed,), None)
    found = verify_evidence(await _shown(agent, id, content=True), POLICY)
    assert (found.body, found.decision) == (BODY, None)
    assert [(answer.recipient, answer.logged.entry.event, answer.at) for answer in found.answers] == [
        ("bg", Event.DELIVERED, FAR - 1)
    ]
    described = await agent.box.run(inbox.show, agent.box, id)
    assert (described["receipt_verified"], described["witnessed"]) == (True, False)


async def test_one_acknowledgement_of_many_messages_is_kept_once_and_each_has_its_receipt(agent: Agent) -> None:
    ids = [(await _received(agent))[0] for _ in range(3)]
    signed, said = await _word(agent)
    for _ in range(2):
        await take_in(agent, MessageType.RECEIPTS, bundle_of(*_on_record(signed, said), words=(signed,)))
    kept = await agent.box.run(lambda connection: connection.execute(select(store.acknowledgement.c.signed)).all())
    assert [row.signed for row in kept] == [signed]
    for place, id in enumerate(ids):
        assert verify_evidence(await _shown(agent, id), POLICY).basis.proven.index == place


async def test_what_was_declined_is_shown_without_content(agent: Agent) -> None:
    id, envelope = await _received(agent, b'{"title": 7}')
    signed, said = await _word(agent)
    await take_in(agent, MessageType.RECEIPTS, bundle_of(*_on_record(signed, said), words=(signed,)))
    found = verify_evidence(await _shown(agent, id), POLICY)
    assert [(str(item.item.outcome), str(item.item.code)) for item in found.answers] == [("declined", "body_invalid")]
    assert found.digest == digest_of(envelope)
    assert await _refused(agent, id, content=True) == (409, "content_not_kept")


async def test_a_receipt_without_this_node_s_own_word_ends_the_duty_and_is_not_kept(agent: Agent) -> None:
    id, _ = await _received(agent)
    signed, said = await _word(agent)
    entries = _on_record(signed, said)
    await take_in(agent, MessageType.RECEIPTS, bundle_of(*entries))
    assert await agent.box.run(inbox.duties, "bg", 100, FAR) == []
    assert await _refused(agent, id) == (409, "receipt_missing")
    # Given again with the word, it is.
    await take_in(agent, MessageType.RECEIPTS, bundle_of(*entries, words=(signed,)))
    assert verify_evidence(await _shown(agent, id), POLICY).recipient == "bg"


@pytest.mark.parametrize(
    "lie",
    [{"event": Event.DECLINED}, {"code": RefusalCode.BODY_INVALID}, {"envelope": bytes(32)}],
    ids=lambda lie: next(iter(lie)),
)
async def test_a_receipt_that_contradicts_this_node_s_own_word_is_not_kept(agent: Agent, lie: dict[str, Any]) -> None:
    id, _ = await _received(agent)
    signed, said = await _word(agent)
    [entry] = _on_record(signed, said)
    contradicting = entry.model_copy(update=lie)
    await take_in(agent, MessageType.RECEIPTS, bundle_of(contradicting, words=(signed,)))
    assert await _refused(agent, id) == (409, "receipt_missing")
    await take_in(agent, MessageType.RECEIPTS, bundle_of(contradicting, entry, words=(signed,)))
    assert verify_evidence(await _shown(agent, id), POLICY).recipient == "bg"


async def test_of_an_unknown_message_there_is_nothing_to_show(agent: Agent) -> None:
    assert await _refused(agent, OLD[0]) == (404, "message_unknown")


async def test_a_store_of_version_4_is_brought_up_to_date_and_goes_on(tmp_path: Path, agent: Agent) -> None:
    agent.box.close()
    file = tmp_path / "old.db"
    with closing(sqlite3.connect(file)) as database:
        database.executescript((Path(__file__).parent / "store_4.sql").read_text())
    agent = replace(agent, box=Store.open(file, bytes(32)))
    await agent.box.run(rosters.remember_keys, [BG.signing.public.key_id, BG.encryption.public.key_id])
    await agent.box.run(rosters.save, 2, sign_roster(roster(2, RO, BG), HUB.signing))
    await in_force(agent, sign_roster(roster(3, RO, BG), HUB.signing))
    id, envelope = await _received(agent)
    listed = await agent.box.run(inbox.listing, agent.box, 0, 10, None, None)
    assert [(message["id"], message["body"]["title"]) for message in listed] == [
        (OLD[0], "old 1"),
        (OLD[1], "old 2"),
        (id, "a"),
    ]
    # Of what an older program received, what comes from now on is kept: the receipt.
    signed, said = await _word(agent)
    assert {str(item.id) for item in said.items} == {OLD[1], id}
    await take_in(agent, MessageType.RECEIPTS, bundle_of(*_on_record(signed, said), words=(signed,)))
    assert verify_evidence(await _shown(agent, id), POLICY).header is not None
    alone = await _shown(agent, OLD[1])
    found = verify_evidence(alone, POLICY)
    assert (alone.envelope, found.header, found.basis.entry.message) == (None, None, UUID(OLD[1]))
    assert await _refused(agent, OLD[1], content=True) == (409, "content_not_kept")
    assert await _refused(agent, OLD[0]) == (409, "receipt_missing")
    agent.box.close()
    agent = replace(agent, box=Store.open(file, bytes(32)))
    assert (await _shown(agent, id)).envelope == envelope
    version = await agent.box.run(lambda connection: connection.exec_driver_sql("PRAGMA user_version").scalar())
    assert version == migrations.VERSION
    agent.box.close()
