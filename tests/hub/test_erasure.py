"""Erasing entries of a real ledger: what goes, what stays, what can still be proven, and what nobody can guess."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from crypto import merkle
from crypto.receipt import commitment_of, leaf_of, verify_receipts
from crypto.trust import sign_acknowledgement
from deploy.local.services import Services
from hub import audit, database, deadlines, erasure, ledger, registrar, rows, search, tables, tilestore, watch
from hub.errors import EntryErased, EntryUnknown, LedgerBroken, NotErasable
from hub.judge import OLDEST_MS, Arrival, judge
from hub.pen import writing
from hub.quarantine import Decision
from hub.record import Recorded, record
from hub.search import Sought
from schemas.control import AcknowledgedMessage, Acknowledgement, Entry, Event, MessageType, Outcome, Receipts
from schemas.refusals import RefusalCode
from tests.crypto.people import BG, HOUR, NAMES, NOW, sealed, trust
from tests.hub.ownhub import OwnHub
from tests.schemas.strategies import FIXED_ID

pytestmark = pytest.mark.system

OTHER_ID = type(FIXED_ID)("01890000-0000-7000-8000-0000000000aa")
STRANGE_ID = type(FIXED_ID)("01890000-0000-7000-8000-0000000000bb")
DECISION = Decision("Ana", "court order 7/2026")
FIRST = sealed(recipients=("bg", "tr"))
SECOND = sealed(id=OTHER_ID, thread=OTHER_ID)
STRANGE = sealed(id=STRANGE_ID, thread=STRANGE_ID, task_force="fraud")
POEM = b"no envelope"
ACCEPTED, ACCEPTED_TOO, REFUSED, QUARANTINED, DELIVERED, DELIVERED_TOO, EXPIRED, EXPIRED_TOO, DISCARDED, ROSTER = range(
    10
)
ALL = (ACCEPTED, REFUSED, QUARANTINED, DELIVERED, DELIVERED_TOO, EXPIRED, DISCARDED)
Rows = dict[str, set[str]]


def _acknowledged() -> bytes:
    items = [
        AcknowledgedMessage(id=id, envelope=ledger.evidence(envelope), outcome=Outcome.DELIVERED)
        for id, envelope in ((FIXED_ID, FIRST), (OTHER_ID, SECOND))
    ]
    said = Acknowledgement(recipient="bg", sender="ro", at=NOW, items=tuple(items))
    return sign_acknowledgement(said, BG.signing)


def _envelopes() -> list[Arrival]:
    types = ((FIRST, "envelope"), (SECOND, "envelope"), (STRANGE, "envelope"), (POEM, "poem"))
    return [Arrival("ro", MessageType.ENVELOPE if type == "envelope" else type, body, 0) for body, type in types]


async def _come(own: OwnHub, engine: AsyncEngine, arrivals: Sequence[Arrival], now: int = NOW) -> Recorded:
    async with writing(engine, own.log) as connection:
        return await record(connection, own.log, [judge(arrival, trust(), now) for arrival in arrivals], now)


async def _fill(own: OwnHub, engine: AsyncEngine) -> None:
    """One entry of most events, in the order of the constants above; all that can be, long over."""
    await _come(own, engine, _envelopes())
    await _come(own, engine, [Arrival("bg", MessageType.ACKNOWLEDGEMENT, _acknowledged(), 0)])
    own.sql(f"UPDATE message SET expires = {NOW}", "UPDATE deadline_progress SET upto = 0")  # noqa: S608 ours
    own.sql(f"UPDATE message SET recipients = '{{bg,hu,tr}}' WHERE id = '{FIXED_ID}'")  # noqa: S608 ours
    async with writing(engine, own.log) as connection:
        await deadlines.see_to(connection, own.log)
    own.sql(f"UPDATE message SET recipients = '{{bg,tr}}' WHERE id = '{FIXED_ID}'", "DELETE FROM held")  # noqa: S608 ours
    digest = ledger.evidence(POEM)
    entry = Entry(event=Event.DISCARDED, at=NOW, node="seci", evidence=digest, detail="Ana: a poem")
    async with writing(engine, own.log) as connection:
        turn = await ledger.take_turn(connection)
        await ledger.append(connection, own.log, turn, [entry])
        row = ("ro", digest, "discarded", DISCARDED, NOW, "Ana", "a poem")
        await rows.insert(connection, {"quarantine_decision": [row]})
        await connection.execute(text("DELETE FROM quarantine_content"))
        await ledger.take_turn(connection)
        await registrar.publish_roster(connection, own.log, (), own.log.signer.key)
    await own.append(engine, 296)
    await own.append(engine, 4)


@pytest.fixture(scope="module")
def filled(services: Services, tmp_path_factory: pytest.TempPathFactory, first_hub: Path) -> tuple[OwnHub, bytes]:
    """A hub with 310 entries, of which there is a copy; and its lock store."""
    own = OwnHub(tmp_path_factory.mktemp("erasing"), services.postgres, first_hub)

    async def work() -> None:
        engine = database.engine_of(own.url)
        await _fill(own, engine)
        await engine.dispose()

    asyncio.run(work())
    own.back_up()
    return own, own.log.store.path.read_bytes()


@pytest.fixture
def own(filled: tuple[OwnHub, bytes]) -> OwnHub:
    """The same hub, as it was when it was filled."""
    own, kept = filled
    own.restore()
    own.log.store.path.write_bytes(kept)
    return own


async def _erase(own: OwnHub, engine: AsyncEngine, *indices: int) -> int:
    async with writing(engine, own.log) as connection:
        return await erasure.erase(connection, own.log, indices, DECISION)


async def _rows(connection: AsyncConnection) -> Rows:
    """All rows of all tables, each as one JSON text."""
    return {
        table: set((await connection.execute(text(f"SELECT to_jsonb(t)::text FROM {table} t"))).scalars())  # noqa: S608
        for table in tables.metadata.tables
    }


async def _dump(engine: AsyncEngine) -> Rows:
    async with engine.connect() as connection:
        return await _rows(connection)


async def _proven(own: OwnHub, engine: AsyncEngine, indices: Iterable[int]) -> Receipts:
    async with engine.connect() as connection:
        found = await ledger.prove(connection, own.log, list(indices))
    return Receipts(checkpoint=found.note, receipts=found.receipts)


async def test_nothing_changes_but_what_is_erased(own: OwnHub, own_engine: AsyncEngine) -> None:
    before = await _dump(own_engine)
    commitments = {
        receipt.index: commitment_of(receipt.salt, receipt.entry)
        for receipt in (await _proven(own, own_engine, ALL)).receipts
    }
    by = await _erase(own, own_engine, *ALL)
    after = await _dump(own_engine)
    gone = {table: [json.loads(row) for row in before[table] - after[table]] for table in before}
    new = {table: [json.loads(row) for row in after[table] - before[table]] for table in after}
    new["erasure"].sort(key=lambda row: int(row["leaf_index"]))
    assert sorted(row["leaf_index"] for row in gone.pop("ledger_content")) == list(ALL)
    (entry,) = new.pop("ledger_content")
    (leaf,) = new.pop("ledger_leaf")
    (checkpoint,) = new.pop("ledger_checkpoint")
    assert (entry["event"], entry["leaf_index"], leaf["leaf_index"], checkpoint["size"]) == ("erased", by, by, by + 1)
    said = Entry.from_bytes(bytes.fromhex(entry["entry"][2:]))
    assert (said.node, said.detail, said.erased) == ("seci", "Ana: court order 7/2026", ALL)
    assert new.pop("erasure") == [
        {"leaf_index": index, "erased_by": by, "commitment": "\\x" + commitments[index].hex()} for index in ALL
    ]
    assert [len(gone.pop(table)) for table in ("acknowledgement_document", "deadline")] == [1, 1]
    blank = {
        "message": {
            "thread": str(FIXED_ID), "task_force": "", "priority": "", "recipients": [],
            "in_reply_to": None, "remind_at": None, "reply_by": None,
        },
        "refusal": {"message": None},
        "quarantine_decision": {"operator": "", "reason": ""},
    }  # fmt: skip
    for table, values in blank.items():
        (old,), (left,) = gone.pop(table), new.pop(table)
        assert (table, left) == (table, old | values)
    assert not any(gone.values()), gone
    assert not any(new.values()), new


async def test_proofs_of_all_entries_verify_as_before(own: OwnHub, own_engine: AsyncEngine) -> None:
    earlier = await _proven(own, own_engine, range(10))
    by = await _erase(own, own_engine, *ALL)
    origin, hub = own.log.origin, own.log.signer.verifier
    old = verify_receipts(earlier, origin, hub)[0].checkpoint
    left = [index for index in (*range(12), 255, 256, by) if index not in ALL]
    proven = verify_receipts(await _proven(own, own_engine, left), origin, hub)
    assert [item.index for item in proven] == left
    root = proven[0].checkpoint.root
    async with own_engine.connect() as connection:
        links = await tilestore.consistency(connection, (1, 5, 9, 10, 255, 256, 257, by), by + 1)
        merkle.verify_consistency(old.size, by + 1, list(links[old.size]), old.root, root)
        for size, link in links.items():
            merkle.verify_consistency(size, by + 1, list(link), await tilestore.root_at(connection, size), root)
        assert (await ledger.head(connection)).range.size == by + 1
        proofs = await tilestore.inclusion(connection, [receipt.index for receipt in earlier.receipts], by + 1)
        for receipt in earlier.receipts:
            leaf = leaf_of(receipt.salt, receipt.entry)
            merkle.verify_inclusion(receipt.index, by + 1, leaf, proofs[receipt.index], root)
    for index in ALL:
        with pytest.raises(EntryErased, match=f"entry {index} was erased, as entry {by} says"):
            await _proven(own, own_engine, [index])
    with pytest.raises(EntryUnknown):
        await _proven(own, own_engine, [by + 1])


def _plausible() -> list[bytes]:
    """All that the refusal may have been: whoever sent it, for whatever reason, in one of two minutes."""
    envelope = ledger.evidence(STRANGE)
    return [
        Entry(
            event=Event.REFUSED, at=NOW + minute * 60_000, node=node, message=STRANGE_ID, envelope=envelope, code=code,
            detail=f"{node} is not a member of fraud",
        ).to_bytes()
        for node in {*NAMES, "ro"}
        for code in RefusalCode
        for minute in range(2)
    ]  # fmt: skip


def _guess(left: Sequence[bytes], entries: Iterable[bytes], salts: Sequence[bytes]) -> set[bytes]:
    """The entries of which, under one of the salts, a value that is left is commitment or leaf."""
    tried = ((entry, commitment_of(salt, entry)) for entry in entries for salt in salts)
    return {entry for entry, found in tried if found in left or merkle.leaf_hash(found) in left}


async def test_what_is_erased_cannot_be_guessed_from_what_is_left(own: OwnHub, own_engine: AsyncEngine) -> None:
    (receipt,) = (await _proven(own, own_engine, [REFUSED])).receipts
    kept = (commitment_of(receipt.salt, receipt.entry), leaf_of(receipt.salt, receipt.entry))
    await _erase(own, own_engine, REFUSED)
    left = "\n".join(row for found in (await _dump(own_engine)).values() for row in found)
    # Every value of the database, whole and in pieces as long as a salt, is tried as the salt.
    values = [bytes.fromhex(part.split('"')[0]) for part in left.split('"\\\\x')[1:]]
    pieces = {value[at : at + 32] for value in values for at in range(0, len(value), 32)}
    salts = [b"", bytes(32), *{piece for piece in pieces if len(piece) == 32}]
    assert set(kept) <= set(salts)
    assert receipt.salt.hex() not in left
    plausible = _plausible()
    assert receipt.entry in plausible
    assert _guess(kept, plausible, salts) == set()
    for value in kept:
        assert _guess([value], plausible, [*salts, receipt.salt]) == {receipt.entry}


async def test_a_signed_acknowledgement_goes_with_the_last_entry_that_rests_on_it(
    own: OwnHub, own_engine: AsyncEngine
) -> None:
    for index, left in ((DELIVERED, 1), (DELIVERED_TOO, 0)):
        await _erase(own, own_engine, index)
        assert len((await _dump(own_engine))["acknowledgement_document"]) == left


async def test_what_comes_again_is_known_and_gets_a_receipt(own: OwnHub, own_engine: AsyncEngine) -> None:
    await _erase(own, own_engine, *ALL)
    before = await _dump(own_engine)
    late = NOW + OLDEST_MS + HOUR
    first = await _come(own, own_engine, _envelopes(), late)
    # The second message is not erased; its envelope goes again to nobody, for its recipient has it.
    assert [(entry.event, entry.code) for entry in first.entries] == [
        (Event.REFUSED, RefusalCode.CREATED_TOO_OLD),
        (Event.REFUSED, RefusalCode.CREATED_TOO_OLD),
        (Event.QUARANTINED, None),
    ]
    assert {(item.node, item.type) for item in first.publications} == {("ro", MessageType.RECEIPTS)}
    again = await _come(own, own_engine, _envelopes()[:1], late)
    assert (again.entries, len(again.publications)) == ((), 1)
    word = await _come(own, own_engine, [Arrival("bg", MessageType.ACKNOWLEDGEMENT, _acknowledged(), 0)])
    assert [entry.event for entry in word.entries] == [Event.DELIVERED, Event.DELIVERED]
    assert {item.node for item in word.publications} == {"bg", "ro"}
    after = await _dump(own_engine)
    for table in ("message", "acknowledgement", "quarantine", "quarantine_content"):
        assert after[table] == before[table]


async def test_an_erased_step_of_a_trace_is_told(own: OwnHub, own_engine: AsyncEngine) -> None:
    await _erase(own, own_engine, ACCEPTED, DELIVERED)
    async with own_engine.connect() as connection:
        steps = await watch.trace(connection, FIXED_ID)
        found = await search.search(connection, Sought(event="erased"))
    assert [step["event"] for step in steps] == ["erased", "erased", "expired", "expired"]
    assert steps[0]["detail"] == found[0]["detail"] == "Ana: court order 7/2026"
    assert [item["index"] for item in found] == [310]


async def test_all_of_them_are_erased_or_none(own: OwnHub, own_engine: AsyncEngine) -> None:
    own.sql(f"UPDATE message SET expires = {1 << 50} WHERE id = '{OTHER_ID}'")  # noqa: S608 ours
    before = await _dump(own_engine)
    refused: list[tuple[type[Exception], int]] = [
        (NotErasable, ROSTER), (NotErasable, ACCEPTED_TOO), (NotErasable, DELIVERED_TOO), (EntryUnknown, 999)
    ]  # fmt: skip
    for error, index in refused:
        with pytest.raises(error):
            await _erase(own, own_engine, REFUSED, index)
    own.sql(f"UPDATE ledger_content SET entry = entry || '\\x00' WHERE leaf_index = {EXPIRED}")  # noqa: S608 ours
    with pytest.raises(LedgerBroken, match=f"entry {EXPIRED} is not what its leaf commits to"):
        await _erase(own, own_engine, REFUSED, EXPIRED)
    assert (await _dump(own_engine))["erasure"] == before["erasure"] == set()
    by = await _erase(own, own_engine, REFUSED)
    for index, error in ((REFUSED, EntryErased), (by, NotErasable)):
        with pytest.raises(error):
            await _erase(own, own_engine, index)


async def test_the_hubs_own_role_may_erase_nothing_else(own: OwnHub, own_engine: AsyncEngine) -> None:
    by = await _erase(own, own_engine, 11)
    before = await _dump(own_engine)
    for statement in (
        "DELETE FROM ledger_content WHERE leaf_index = 12",
        "UPDATE ledger_content SET salt = sha256('x')",
        "INSERT INTO erasure VALUES (12, 0)",
        "DELETE FROM erasure",
        "UPDATE erasure SET commitment = NULL",
        "UPDATE message SET recipients = NULL",
        "SELECT erase_entries(0, ARRAY[12], NULL)",
        "SELECT erase_entries({by}, ARRAY[12], NULL)",
        "SELECT erase_entries({by}, ARRAY[11], NULL)",
    ):
        with pytest.raises(DBAPIError, match=r"permission denied|no entry of this transaction"):
            async with own_engine.begin() as connection:
                await connection.execute(text(statement.format(by=by)))
    assert await _dump(own_engine) == before


# What an entry names, what the database is told to erase under it, and why it does not; None: it does.
FAR = (11, 65_535, 65_536, 2**32 - 1, 2**32, 2**63 - 1)
NAMED: list[tuple[tuple[int, ...], list[int], str | None]] = [
    ((11, 13), [11], "no entry of this transaction"),
    ((11,), [11, 13], "no entry of this transaction"),
    ((11, 13), [13, 11], "no entry of this transaction"),
    ((11, 500), [11, 500], "one of these is not there"),
    (FAR, list(FAR), "one of these is not there"),
    ((ROSTER,), [ROSTER], "must stay"),
    ((13,), [13], None),
    ((0, 23, 24, 255, 256, 299), [0, 23, 24, 255, 256, 299], None),
    (tuple(range(25, 255)), list(range(25, 255)), None),
]


async def test_the_database_erases_what_the_entry_names_and_only_that(own: OwnHub, own_engine: AsyncEngine) -> None:
    for named, erased, words in NAMED:
        before = len((await _dump(own_engine))["ledger_content"])
        entry = Entry(event=Event.ERASED, at=NOW, node="seci", erased=named)
        with pytest.raises(DBAPIError, match=words) if words else nullcontext():
            async with writing(own_engine, own.log) as connection:
                turn = await ledger.take_turn(connection)
                by = (await ledger.append(connection, own.log, turn, [entry])).receipts[0].index
                await connection.execute(erasure._ERASE, {"by": by, "indices": erased, "ids": []})
        after = len((await _dump(own_engine))["ledger_content"])
        assert (named, after) == (named, before if words else before + 1 - len(erased))


async def test_an_operator_types_it_and_a_kill_leaves_all_or_nothing(own: OwnHub, own_engine: AsyncEngine) -> None:
    typed = ("ledger", "erase", "11", "13", "--reason", "court order 7/2026")
    for moment, by in ((("hub.erasure:record", "--after"), []), (("hub.ledger:settle",), [310, 310])):
        assert own.type(*typed, "--yes", crash_at=moment)[0] == -9
        async with own_engine.connect() as connection:
            found = await audit.audit(connection, own.log, lambda *_: None)
            assert (found.size, found.erased) == (310 + len(by) // 2, len(by))
            assert (await connection.execute(text("SELECT erased_by FROM erasure"))).scalars().all() == by
    code, said = own.type("ledger", "erase", "12", "--reason", "old", "--yes")
    assert (code, said["erased"], said["erased_by"]) == (0, [12], 311)


async def test_a_dry_run_says_what_would_go_and_changes_nothing(own: OwnHub, own_engine: AsyncEngine) -> None:
    before = await _dump(own_engine)
    code, said = own.type("ledger", "erase", "13", "11", "--dry-run")
    assert (code, said["dry_run"], said["erased"], said["erased_by"]) == (0, True, [], None)
    assert [(item["index"], item["event"]) for item in said["would_erase"]] == [(11, "refused"), (13, "refused")]
    code, said = own.type("ledger", "erase", "13", str(ROSTER), "--dry-run")
    assert (code, said["code"]) == (4, "not_erasable")
    assert await _dump(own_engine) == before
