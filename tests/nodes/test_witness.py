"""The witness of an honest hub, and of one that rolls back, forks, rewrites or changes its key."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from crypto.bundle import Evidence
from crypto.cosignature import Cosigner
from crypto.envelope import seal
from crypto.errors import NoteInvalid
from crypto.evidence import verify_evidence
from crypto.hubkeys import HubKeys
from crypto.mldsa import MlDsaKey
from crypto.note import Checkpoint, Note, NoteSigner, open_note
from crypto.policy import Policy, witnessed
from crypto.proof import verify_entry
from crypto.trust import Trust, sign_acknowledgement, sign_roster
from crypto.witness import majority
from nodes import evidence, histories, inbox, outbox, proofs, store, witness
from nodes.agent import Agent
from nodes.outgoing import Outgoing
from nodes.publishing import Publication
from schemas.control import Entry, Event, MessageType, Receipts
from schemas.header import Header
from schemas.roster import Roster
from schemas.witnessing import (
    MOST_TILES,
    TILE_BYTES,
    TileHashes,
    TileRequest,
    Tiles,
    WitnessCheckpoint,
    WitnessCosignature,
)
from tests.crypto.people import BG, HUB, NOW, RO, routing
from tests.nodes.conftest import FAR, ORIGIN
from tests.nodes.twofaced import SECOND, Log, cosigner, listed
from tests.nodes.witnesses import EVERYBODY, LOG, agent_of, alarm_of, aside_of, asks, follow, tell

HONEST = Log().grow(7)


@pytest.fixture
async def bg(tmp_path: Path) -> AsyncIterator[Agent]:
    """Bulgaria's."""
    agent = await agent_of(BG, tmp_path)
    yield agent
    agent.box.close()


@pytest.fixture
async def ro(tmp_path: Path) -> AsyncIterator[Agent]:
    """Romania's."""
    agent = await agent_of(RO, tmp_path)
    yield agent
    agent.box.close()


async def _wanted(agent: Agent) -> TileRequest | None:
    return await agent.box.run(proofs.question, agent.witness._gathered)


async def _upgrade(agent: Agent, log: Log) -> int:
    """Has the hub's tiles asked for until there is nothing to ask; returns how many answers that took."""
    for answers in range(50):
        asked = await _wanted(agent)
        if asked is None:
            return answers
        await tell(agent, log.tiles(asked), MessageType.TILES)
    raise AssertionError("it never ends")


async def _cosigned(agent: Agent) -> Checkpoint:
    """What the agent owes the hub: a cosignature that holds."""
    owed = await agent.box.run(histories.unsent)
    assert owed is not None
    size, note = owed
    text = open_note(note, LOG, cosigner(agent.settings.node).verifier)
    assert Checkpoint.parse(text).size == size
    return Checkpoint.parse(text)


async def test_a_history_that_grows_is_followed_and_cosigned(bg: Agent) -> None:
    assert (await asks(bg)).old == 0
    for size in (7, 8, 300, 300, 1000):
        log = HONEST.grow(size)
        await follow(bg, log)
        assert (await asks(bg)).old == size
        assert await _cosigned(bg) == log.checkpoint
    assert await alarm_of(bg) is None
    assert await aside_of(bg) == []


async def test_a_cosignature_is_owed_until_the_hub_shows_that_it_has_it(bg: Agent) -> None:
    await follow(bg, HONEST)
    [owed] = [await bg.box.run(histories.unsent)]
    assert owed is not None
    await bg.box.run(histories.mark_sent, owed[0])
    assert await bg.box.run(histories.unsent) is None
    later = NOW * 2
    await bg.box.run(bg.witness.take_in, MessageType.CHECKPOINT, HONEST.answer(7), bg.trust, later)
    # The same words again, not another time: one signature for one checkpoint.
    assert await bg.box.run(histories.unsent) == owed
    await follow(bg, HONEST, by=["bg"])
    assert await bg.box.run(histories.unsent) is None


async def test_a_node_whose_key_the_roster_does_not_have_follows_and_does_not_cosign(bg: Agent) -> None:
    nodes = (listed(BG, witness="xx"), listed(RO))
    bg.trust = Trust.of(Roster(version=1, at=NOW, nodes=nodes))
    await follow(bg, HONEST)
    assert (await asks(bg)).old == 7
    assert await bg.box.run(histories.unsent) is None
    theirs = bg.trust.witnesses(NOW)["bg"]
    state = await bg.box.run(witness.describe, ORIGIN, cosigner("bg").verifier, theirs, NOW)
    assert "another witness key" in witness.warnings(state)[0]


async def test_an_answer_to_an_older_question_changes_nothing(bg: Agent) -> None:
    late = HONEST.grow(9).answer(7)
    await follow(bg, HONEST)
    await follow(bg, HONEST.grow(20))
    for body in (late, HONEST.answer(0), HONEST.grow(8).answer(0)):
        await tell(bg, body)
    assert (await asks(bg)).old == 20
    assert await alarm_of(bg) is None


FORKED_AT_5 = HONEST.up_to(5)
LIES: dict[str, tuple[Log, str]] = {
    "rolled back": (HONEST.up_to(6), histories.ROLLED_BACK),
    "rolled back to nothing": (HONEST.up_to(1), histories.ROLLED_BACK),
    "another history of the same size": (FORKED_AT_5.grow(7, "other"), histories.FORKED),
    "rolled back and grown again": (FORKED_AT_5.grow(30, "other"), histories.REWRITTEN),
    "the last entry changed, and more": (HONEST.up_to(6).grow(8, "other"), histories.REWRITTEN),
    "another key": (Log(HONEST.grow(8).entries, NoteSigner(ORIGIN, RO.signing)), histories.KEY_CHANGED),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_hub_that_contradicts_itself_is_caught(bg: Agent, lie: str) -> None:
    shown, code = LIES[lie]
    await follow(bg, HONEST)
    await bg.box.run(histories.mark_sent, 7)
    await follow(bg, shown)
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert alarm.code == code
    assert bg.witness.caught
    if code != histories.KEY_CHANGED:
        # What an operator can show a court: both notes, each with the hub's signature.
        sizes = [Checkpoint.parse(open_note(note, LOG)).size for note in alarm.evidence]
        assert sizes == [7, len(shown.entries)]
    # The new history is neither followed nor cosigned; the cosignature of the old one goes out once more.
    await follow(bg, HONEST.grow(9))
    assert (await asks(bg)).old == 7
    assert await _cosigned(bg) == HONEST.checkpoint


async def test_damage_on_the_way_is_no_alarm(bg: Agent) -> None:
    await follow(bg, HONEST)
    good = HONEST.grow(9).answer(7)
    for place in range(0, len(good), 7):
        await tell(bg, good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        found = await alarm_of(bg)
        # A proof that is damaged cannot be told from a false one; the broker's frames are whole or not at all.
        assert found is None or found.code == histories.REWRITTEN
        if found is not None:
            break
    await bg.box.run(lambda c: c.execute(update(store.alarm).values(decided_at=1, reason="")))


async def test_receipts_of_another_history_are_an_alarm_too(bg: Agent) -> None:
    await follow(bg, HONEST)
    other = FORKED_AT_5.grow(7, "other")
    await tell(bg, other.receipts(6), MessageType.RECEIPTS)
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert alarm.code == histories.FORKED


async def test_what_receipts_showed_must_be_part_of_what_is_followed(bg: Agent) -> None:
    await tell(bg, HONEST.receipts(2), MessageType.RECEIPTS)
    asked = await asks(bg)
    assert (asked.old, asked.claims) == (0, (7,))
    await tell(bg, HONEST.grow(20).answer(0, claims=[7]))
    assert (await asks(bg)).claims == ()
    assert await alarm_of(bg) is None
    await tell(bg, FORKED_AT_5.grow(30, "other").receipts(29), MessageType.RECEIPTS)
    assert (await asks(bg)).claims == (30,)
    await tell(bg, HONEST.grow(40).answer(20, claims=[30]))
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert alarm.code == histories.REWRITTEN


async def test_a_proof_that_the_hub_withholds_is_a_warning(bg: Agent) -> None:
    await follow(bg, HONEST)
    await tell(bg, HONEST.grow(9).receipts(2), MessageType.RECEIPTS)
    assert (await asks(bg)).claims == (9,)
    await tell(bg, HONEST.grow(20).answer(7))
    later = 4_000_000_000_000
    state = await bg.box.run(witness.describe, ORIGIN, None, None, later)
    assert state["withheld"] == 9
    assert "9 entries" in witness.warnings(state)[0]
    await tell(bg, HONEST.grow(21).answer(20, claims=[9]))
    assert witness.warnings(await bg.box.run(witness.describe, ORIGIN, None, None, later)) == []


@pytest.mark.parametrize("size", [7, 12, 30])
async def test_two_nodes_shown_two_histories_find_out_through_their_cosignatures(
    bg: Agent, ro: Agent, size: int
) -> None:
    mine, yours = HONEST.grow(12), FORKED_AT_5.grow(size, "other")
    await follow(bg, mine)
    await follow(ro, yours)
    assert await alarm_of(bg) is None and await alarm_of(ro) is None
    owed = await ro.box.run(histories.unsent)
    assert owed is not None
    # The hub passes on what Romania has cosigned, as it must; it may then link it to Bulgaria's history, or not.
    later = mine.grow(40)
    await follow(bg, later, others=[owed[1]])
    if size != 12:
        assert size in (await asks(bg)).claims
        await follow(bg, later.grow(50))
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert alarm.code == (histories.FORKED if size == 12 else histories.REWRITTEN)
    both = [open_note(note, LOG) for note in alarm.evidence]
    assert {Checkpoint.parse(text).size for text in both} >= {size}
    # Romania's own word is part of the evidence.
    assert any(Note.parse(note).is_signed_by(cosigner("ro").verifier) for note in alarm.evidence)


async def test_a_ledger_that_others_cosigned_larger_than_it_is_now_was_rolled_back(bg: Agent) -> None:
    await follow(bg, HONEST)
    await follow(bg, HONEST.grow(9), others=[HONEST.grow(12).cosigned("ro")])
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert alarm.code == histories.ROLLED_BACK
    assert [Checkpoint.parse(open_note(note, LOG)).size for note in alarm.evidence] == [12, 9]


async def test_a_hub_that_was_caught_is_believed_nothing_and_told_nothing(
    bg: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[str] = []

    async def publish(items: Sequence[Publication]) -> list[bool]:
        published.extend(item.type for item in items)
        return [True] * len(items)

    async def stay_up() -> None:
        bg.link.up.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(bg.link, "publish", publish)
    monkeypatch.setattr(bg.link, "run", stay_up)
    bg.witness.pause_s = 0.1
    await follow(bg, HONEST)
    await follow(bg, FORKED_AT_5.grow(30, "other"))
    message = Outgoing(kind="alert", task_force="drugs", body={"title": "a", "text": "b"})
    answer, ready = await outbox.accept(bg.box, message, "bg", bg.keys, bg.trust)
    assert ready is not None
    bg.sending.post(ready)
    working = asyncio.create_task(bg.run())
    await asyncio.sleep(1.5)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert published == [MessageType.COSIGNATURE]
    assert (await bg.box.run(outbox.describe, bg.box, answer["id"]))["state"] == "queued"
    signed = sign_roster(EVERYBODY.model_copy(update={"version": 2}), HUB.signing)
    await tell(bg, HONEST.published(signed).news(signed), MessageType.ROSTER)
    await tell(bg, HONEST.receipts(2), MessageType.RECEIPTS)
    assert bg.trust.roster.version == 1
    assert (await aside_of(bg))[1:] == [histories.DISTRUSTED] * 2


async def test_an_alarm_outlives_the_agent_and_ends_by_an_operator_s_decision(bg: Agent, tmp_path: Path) -> None:
    await follow(bg, HONEST.grow(12), others=[])
    other = FORKED_AT_5.grow(30, "other")
    await follow(bg, other)
    await tell(bg, other.receipts(2), MessageType.RECEIPTS)
    again = await agent_of(BG, tmp_path)
    try:
        alarm = await alarm_of(again)
        assert alarm is not None
        await tell(again, other.receipts(3), MessageType.RECEIPTS)
        assert again.witness.caught
        assert not await again.box.run(histories.decide, alarm.number + 1, "another one", NOW)
        assert await again.box.run(histories.decide, alarm.number, "restored, says Bucharest", NOW * 1000)
        assert await again.box.run(again.decide)
        assert await aside_of(again) == [histories.REWRITTEN]
        assert not again.witness.caught
        # From now on that is the history, and what was cosigned of the old one before the decision is no new alarm.
        old = HONEST.grow(12).cosigned("bg", "ro")
        for _ in range(2):
            await follow(again, other.grow(40), others=[old])
        await tell(again, other.up_to(12).receipts(2), MessageType.RECEIPTS)
        assert await alarm_of(again) is None
        assert await _cosigned(again) == other.grow(40).checkpoint
        await follow(again, HONEST.grow(50))
        assert await alarm_of(again) is not None
    finally:
        again.box.close()


QUORUM = majority(LOG, [cosigner(node).verifier for node in ("bg", "ro", "tr")])


async def _sent(agent: Agent) -> tuple[str, Header, bytes]:
    message = Outgoing(kind="alert", task_force="drugs", to=("ro",), body={"title": "a", "text": "b"})
    answer, _ = await outbox.accept(agent.box, message, "bg", agent.keys, agent.trust)
    query = select(store.outbox.c.header, store.outbox.c.digest).where(store.outbox.c.id == answer["id"])
    row = await agent.box.run(lambda connection: connection.execute(query).one())
    return answer["id"], Header.from_bytes(row.header), row.digest


def _accepted(header: Header, digest: bytes) -> bytes:
    copied = ("thread", "sender", "recipients", "task_force", "kind", "kind_version", "priority", "handling", "created")
    fields: dict[str, Any] = {name: getattr(header, name) for name in copied}
    entry = Entry(event=Event.ACCEPTED, at=NOW, node="bg", message=header.id, envelope=digest, **fields)
    return entry.to_bytes()


@pytest.mark.parametrize("before", [0, 3, 255, 256, 700])
async def test_a_receipt_upgrades_itself_once_a_quorum_has_cosigned(bg: Agent, before: int) -> None:
    id, header, digest = await _sent(bg)
    log = Log().grow(before)
    log.entries.append(_accepted(header, digest))
    await tell(bg, log.receipts(before), MessageType.RECEIPTS)
    assert (await bg.box.run(outbox.describe, bg.box, id))["witnessed"] is False
    later = log.grow(before + 300)
    await follow(bg, later, by=["ro"])
    # One of three is no quorum, and its own cosignature is not back from the hub yet.
    assert await _wanted(bg) is None
    await follow(bg, later, by=["ro", "bg"])
    asked = await _wanted(bg)
    assert asked is not None
    assert asked.size == before + 300
    assert await _upgrade(bg, later) <= 2
    assert (await bg.box.run(outbox.describe, bg.box, id))["witnessed"] is True
    shown = await evidence.evidence_of(bg.box, id, HubKeys.of(LOG), with_content=False)
    found = verify_evidence(Evidence.from_bytes(shown.to_bytes()), _auditor(2))
    assert found.basis.proven.index == before
    assert [name for name, _ in found.basis.cosigned.witnesses] == ["bg", "ro"]
    verify_entry(shown.proofs[0], QUORUM)


async def test_the_receipt_of_an_acknowledgement_upgrades_itself_too(bg: Agent) -> None:
    made = routing("ro", ("bg",), expires=FAR)
    envelope = seal(made, b'{"text":"b","title":"a"}', {"bg": BG.encryption.public}, RO.signing)[1]
    await tell(bg, envelope, MessageType.ENVELOPE)
    [duty] = await bg.box.run(inbox.duties, "bg", 10, FAR - 1)
    said, signed = duty.acknowledgement, sign_acknowledgement(duty.acknowledgement, BG.signing)
    about = {"message": said.items[0].id, "envelope": said.items[0].envelope, "evidence": sha256(signed).digest()}
    log = Log().grow(3)
    log.entries.append(Entry(event=Event.DELIVERED, at=NOW, node="bg", sender="ro", **about).to_bytes())
    told = Receipts.from_bytes(log.receipts(3)).model_copy(update={"acknowledgements": (signed,)})
    await tell(bg, told.to_bytes(), MessageType.RECEIPTS)
    id = str(made.id)
    assert (await bg.box.run(inbox.show, bg.box, id))["witnessed"] is False
    later = log.grow(300)
    await follow(bg, later, by=["ro", "bg"])
    assert await _upgrade(bg, later) <= 2
    assert (await bg.box.run(inbox.show, bg.box, id))["witnessed"] is True
    shown = await evidence.evidence_of_received(bg.box, id, "bg", HubKeys.of(LOG), with_content=True)
    found = verify_evidence(Evidence.from_bytes(shown.to_bytes()), _auditor(2))
    assert (found.basis.proven.index, [name for name, _ in found.basis.cosigned.witnesses]) == (3, ["bg", "ro"])


def _auditor(quorum: int, *, twice: bool = False) -> Policy:
    logs = [LOG, SECOND.verifier] if twice else [LOG]
    lines = [f"log {key.vkey()}" for key in logs]
    lines += [f"witness {n} {cosigner(n).verifier.vkey()}" for n in ("bg", "ro", "tr")]
    lines += [f"group any {quorum} bg ro tr", "quorum any"]
    return Policy.from_bytes("\n".join([*lines, ""]).encode())


async def test_a_policy_of_the_node_s_own_decides_what_is_witnessed(bg: Agent) -> None:
    bg.witness.policy = _auditor(3)
    await follow(bg, HONEST, by=["ro", "bg"])
    assert await bg.box.run(proofs.newest_witnessed) is None
    await follow(bg, HONEST, by=["ro", "bg", "tr"])
    assert await bg.box.run(proofs.newest_witnessed) == 7
    note = await bg.box.run(lambda connection: connection.scalar(select(store.witnessed.c.note)))
    assert note is not None
    assert witnessed(note, _auditor(3)).quorum


TWICE = Log(second=SECOND)


async def test_a_witnessed_receipt_carries_the_hub_s_second_signature(bg: Agent) -> None:
    bg.witness.second = SECOND.verifier
    id, header, digest = await _sent(bg)
    log = TWICE.grow(5)
    log.entries.append(_accepted(header, digest))
    # The receipt of a batch has one signature, and is taken in as it is.
    await tell(bg, log.receipts(5), MessageType.RECEIPTS)
    assert await aside_of(bg) == []
    await follow(bg, log.grow(9), by=["ro", "bg"])
    await _upgrade(bg, log.grow(9))
    shown = await evidence.evidence_of(bg.box, id, HubKeys.of(LOG), with_content=False)
    found = verify_evidence(Evidence.from_bytes(shown.to_bytes()), _auditor(2, twice=True))
    assert [name for name, _ in found.basis.cosigned.witnesses] == ["bg", "ro"]
    verify_evidence(shown, _auditor(2))
    state = await bg.box.run(witness.describe, ORIGIN, None, None, NOW)
    assert not state["half_signed"]
    assert witness.warnings(state) == []
    assert await alarm_of(bg) is None


async def test_a_node_without_the_second_key_passes_no_signature_of_it_on(bg: Agent) -> None:
    id, header, digest = await _sent(bg)
    log = TWICE.grow(5)
    log.entries.append(_accepted(header, digest))
    await tell(bg, log.receipts(5), MessageType.RECEIPTS)
    await follow(bg, log.grow(9), by=["ro", "bg"])
    await _upgrade(bg, log.grow(9))
    shown = await evidence.evidence_of(bg.box, id, HubKeys.of(LOG), with_content=False)
    verify_evidence(shown, _auditor(2))
    with pytest.raises(NoteInvalid):
        verify_evidence(shown, _auditor(2, twice=True))


async def test_what_is_witnessed_already_gains_the_second_signature_when_it_comes(bg: Agent) -> None:
    log = replace(HONEST, second=SECOND)
    await follow(bg, log, by=["ro", "tr"])
    bg.witness.second = SECOND.verifier
    for by in (["ro", "tr", "bg"], ["ro", "tr"]):
        await follow(bg, log, by=by)
        note = await bg.box.run(lambda connection: connection.scalar(select(store.witnessed.c.note)))
        names = [cosigner(node).name for node in ("bg", "ro", "tr")]
        assert [signature.name for signature in Note.parse(note or "").signatures] == [ORIGIN, ORIGIN, *names]


STRANGER = Cosigner(ORIGIN, MlDsaKey.from_seed(bytes(32)))


def _forged(log: Log) -> str:
    """The note, cosigned, with a line under the second key's name and hash that does not match."""
    line = SECOND.sign(Log().grow(3).checkpoint.text(), 1).line()
    return log.note + line + log.cosigned("ro", "tr").removeprefix(log.note)


@pytest.mark.parametrize("lacking", ["missing", "by another key", "wrong"])
async def test_what_the_hub_has_not_signed_with_both_keys_is_followed_and_not_witnessed(
    bg: Agent, lacking: str
) -> None:
    bg.witness.second = SECOND.verifier
    log = replace(HONEST, second=STRANGER if lacking == "by another key" else None)
    note = _forged(log) if lacking == "wrong" else log.cosigned("ro", "tr")
    await tell(bg, WitnessCheckpoint(old=0, proof=(), checkpoint=note).to_bytes())
    assert (await asks(bg)).old == 7
    assert await alarm_of(bg) is None
    assert await _cosigned(bg) == HONEST.checkpoint
    assert await bg.box.run(proofs.newest_witnessed) is None
    state = await bg.box.run(witness.describe, ORIGIN, None, None, NOW)
    assert "second key" in witness.warnings(state)[0]
    # The same round, signed by now: as if nothing had been.
    await follow(bg, replace(HONEST, second=SECOND), by=["ro", "tr"])
    assert await bg.box.run(proofs.newest_witnessed) == 7
    state = await bg.box.run(witness.describe, ORIGIN, None, None, NOW)
    assert witness.warnings(state) == []


async def test_what_shows_two_histories_needs_one_signature_of_the_hub(bg: Agent) -> None:
    bg.witness.second = SECOND.verifier
    await follow(bg, replace(HONEST, second=SECOND))
    other = FORKED_AT_5.grow(7, "other")
    await follow(bg, replace(HONEST, second=SECOND).grow(9), others=[other.cosigned("ro")])
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert alarm.code == histories.FORKED


async def test_a_checkpoint_that_others_cosigned_counts_once_it_is_linked(bg: Agent) -> None:
    earlier = HONEST.grow(9)
    await follow(bg, HONEST.grow(20), others=[earlier.cosigned("ro", "tr")])
    assert await bg.box.run(proofs.newest_witnessed) is None
    await follow(bg, HONEST.grow(20), others=[earlier.cosigned("ro", "tr")])
    assert await bg.box.run(proofs.newest_witnessed) == 9


def _swap(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("harm", [_swap, lambda data: data[:-32] + bytes(32)])
@pytest.mark.parametrize(("size", "answers"), [(6, 1), (1000, 2)])
async def test_tiles_of_no_tree_upgrade_nothing_and_are_no_alarm(
    bg: Agent, harm: Callable[[bytes], bytes], size: int, answers: int
) -> None:
    id, header, digest = await _sent(bg)
    log = Log().grow(3)
    log.entries.append(_accepted(header, digest))
    await tell(bg, log.receipts(3), MessageType.RECEIPTS)
    later = log.grow(size)
    await follow(bg, later, by=["ro", "tr"])
    # The first answer is false, which shows when the last tile has come.
    for answer in range(answers):
        asked = await _wanted(bg)
        assert asked is not None
        body = later.tiles(asked)
        await tell(bg, body if answer else harm(body), MessageType.TILES)
    assert (await bg.box.run(outbox.describe, bg.box, id))["witnessed"] is False
    assert await alarm_of(bg) is None
    assert await aside_of(bg) == []
    assert await _upgrade(bg, later) == answers
    assert (await bg.box.run(outbox.describe, bg.box, id))["witnessed"] is True


async def test_a_receipt_that_the_witnessed_history_does_not_have_is_an_alarm(bg: Agent) -> None:
    _, header, digest = await _sent(bg)
    shown = Log().grow(3)
    shown.entries.append(_accepted(header, digest))
    await tell(bg, shown.receipts(3), MessageType.RECEIPTS)
    # The hub goes on as if it had never given that receipt, and keeps the link to it to itself.
    kept = Log().grow(10)
    await tell(bg, kept.answer(0, by=["ro", "tr"]))
    asked = await _wanted(bg)
    assert asked is not None
    await tell(bg, kept.tiles(asked), MessageType.TILES)
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert alarm.code == histories.REWRITTEN
    assert witnessed(alarm.evidence[0], QUORUM).quorum


async def test_receipts_of_two_entries_in_one_place_are_an_alarm(bg: Agent) -> None:
    for size in (4, 5):
        _, header, digest = await _sent(bg)
        log = Log().grow(3)
        log.entries.append(_accepted(header, digest))
        await tell(bg, log.grow(size).receipts(3), MessageType.RECEIPTS)
    # The hub never links the first of them. One of the two is not in the ledger, whichever that is.
    await tell(bg, log.grow(9).answer(0, by=["ro", "tr"]))
    asked = await _wanted(bg)
    assert asked is not None
    await tell(bg, log.grow(9).tiles(asked), MessageType.TILES)
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert alarm.code == histories.REWRITTEN


async def test_many_receipts_take_few_tiles_and_all_are_proven(bg: Agent) -> None:
    sent = [await _sent(bg) for _ in range(40)]
    log = Log()
    for number, (_, header, digest) in enumerate(sent):
        log = log.grow(len(log.entries) + 37 * (number % 5))
        log.entries.append(_accepted(header, digest))
    places = [log.entries.index(_accepted(header, digest)) for _, header, digest in sent]
    await tell(bg, log.receipts(*places), MessageType.RECEIPTS)
    await follow(bg, log.grow(5000), by=["ro", "tr"])
    # Two tiles that all proofs share, and one for each 256 entries.
    assert await _upgrade(bg, log.grow(5000)) <= (2 + len(log.entries) // 256 + 1) // MOST_TILES + 1
    assert (await bg.box.run(proofs.unproven)).number == 0
    assert all([(await bg.box.run(outbox.describe, bg.box, id))["witnessed"] for id, _, _ in sent])


async def test_each_answer_brings_a_proof_nearer_however_fast_the_ledger_grows(bg: Agent) -> None:
    id, header, digest = await _sent(bg)
    log = Log(entries=[_accepted(header, digest)])
    await tell(bg, log.receipts(0), MessageType.RECEIPTS)
    for size in (1000, 1400, 1800):
        log = log.grow(size)
        await follow(bg, log, by=["ro", "tr"])
        asked = await _wanted(bg)
        if asked is None:
            break
        await tell(bg, log.tiles(asked), MessageType.TILES)
    # Of a thousand entries it takes three tiles, of which two are others in each larger ledger.
    assert (await bg.box.run(outbox.describe, bg.box, id))["witnessed"] is True
    # What was proven under one checkpoint counts under that; what comes now asks under the newest.
    _, header, digest = await _sent(bg)
    log.entries.append(_accepted(header, digest))
    await tell(bg, log.receipts(len(log.entries) - 1), MessageType.RECEIPTS)
    log = log.grow(2200)
    await follow(bg, log, by=["ro", "tr"])
    asked = await _wanted(bg)
    assert asked is not None
    assert asked.size == 2200


async def test_a_receipt_that_comes_after_its_tiles_is_proven_too(bg: Agent) -> None:
    sent = [await _sent(bg) for _ in range(2)]
    log = Log(entries=[_accepted(header, digest) for _, header, digest in sent]).grow(40)
    for place, (id, _, _) in enumerate(sent):
        await tell(bg, log.receipts(place), MessageType.RECEIPTS)
        await follow(bg, log, by=["ro", "tr"])
        assert await _upgrade(bg, log) == 1
        assert (await bg.box.run(outbox.describe, bg.box, id))["witnessed"] is True


async def test_no_more_tiles_are_kept_than_one_proof_may_take(bg: Agent) -> None:
    gathered = proofs.Gathered()
    for index in range(100):
        gathered.add(Tiles(size=2**40, tiles=(TileHashes(level=0, index=index, hashes=bytes(TILE_BYTES)),)))
    assert [tile.index for tile in gathered.tiles] == list(range(100 - proofs.MOST_KEPT, 100))
    for size in (2**40 - 1, 2**62 + 12345, 2**63 - 1):
        for index in (0, size // 3, size - 1):
            assert len(proofs._needed(index // 256, size)) <= proofs.MOST_KEPT


async def test_the_last_entry_of_a_tree_is_held_against_its_receipt_too(bg: Agent) -> None:
    _, header, digest = await _sent(bg)
    shown = Log().grow(256)
    shown.entries.append(_accepted(header, digest))
    await tell(bg, shown.grow(300).receipts(256), MessageType.RECEIPTS)
    # No proof reads the one tile that has only this entry.
    kept = Log().grow(257)
    await tell(bg, kept.answer(0, by=["ro", "tr"]))
    for _ in range(2):
        asked = await _wanted(bg)
        assert asked is not None
        await tell(bg, kept.tiles(asked), MessageType.TILES)
    assert set(await aside_of(bg)) == {histories.REWRITTEN}
    alarm = await alarm_of(bg)
    assert alarm is not None
    assert alarm.code == histories.REWRITTEN


async def test_what_is_cosigned_is_what_the_hub_takes(bg: Agent) -> None:
    await follow(bg, HONEST)
    owed = await bg.box.run(histories.unsent)
    assert owed is not None
    assert WitnessCosignature.from_bytes(WitnessCosignature(checkpoint=owed[1]).to_bytes()).checkpoint == owed[1]
