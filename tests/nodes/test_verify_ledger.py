"""An exported ledger before `seci-verify`: what holds, and each thing that somebody may do to it."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crypto.cosignature import Cosigner, add_cosignatures, cosign
from crypto.errors import CryptoError, LedgerFault, LedgerUnproven, NoteInvalid, NotWitnessed
from crypto.export import Kind, entry_record, record, stamp_file, stamped_file
from crypto.keys import SigningKey
from crypto.mldsa import MlDsaKey
from crypto.note import Checkpoint, Note, NoteSigner, open_note, sign_note
from crypto.policy import Policy
from crypto.timestamp import ask, read_roots
from nodes import verify_ledger as auditing
from nodes.verify_ledger import Audit, verify_ledger
from nodes.verify_words import ledger_fields, ledger_lines
from schemas.control import Entry, Event
from tests.crypto.exhibits import LOG, ORIGIN, POLICY, salt, signed_roster
from tests.crypto.exported import BATCHES, CHUNK, ROSTERS_AT, SIZE, Ledger, edit, entry
from tests.crypto.people import BG, NOW
from tests.crypto.tsa import Tsa
from tests.nodes.test_verify import _typed

OTHER = NoteSigner(ORIGIN, SigningKey.generate())
FIRST, SECOND, LAST = "entries/00000000", "entries/00000001", "entries/00000002.p6"
F = LedgerFault


def _verified(folder: Path, policy: Policy | None = POLICY, *known: Path, signed: bool = True) -> Audit:
    return verify_ledger(folder, policy, known, lambda *_: None, signed=signed)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process is enough for files of eight entries."""
    monkeypatch.setattr(auditing, "_FEW", 1000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound export."""
    return Ledger().write(tmp_path / "export")


@pytest.mark.parametrize("signed", [True, False])
def test_a_sound_export_proves_every_entry(folder: Path, signed: bool) -> None:
    found = _verified(folder, signed=signed)
    assert (found.cosigned.checkpoint.size, found.checkpoints) == (SIZE, len(BATCHES))
    assert found.cosigned.checkpoint.root == _root(SIZE)
    assert found.tally.events == {"accepted": SIZE - 2, "roster": 2}
    assert (found.tally.first_at, found.tally.last_at) == (NOW, NOW + SIZE - 1)
    # The second roster's entry says an earlier time than the one before it.
    assert (found.tally.back, found.tally.back_first, found.tally.back_most) == (1, 11, 10)
    assert found.roster is not None
    assert (found.rosters, found.roster.version, len(found.roster.nodes)) == (2, 2, 2)


def _root(size: int) -> bytes:
    return Checkpoint.parse(open_note(Ledger().note(size))).root


@pytest.mark.parametrize("size", [*range(1, 20), 32, 33])
@pytest.mark.parametrize("chunk", [1, 2, 8, 16])
def test_of_every_size_in_files_of_every_size(tmp_path: Path, size: int, chunk: int) -> None:
    found = _verified(Ledger([1] * size, chunk=chunk).write(tmp_path))
    assert (found.cosigned.checkpoint.size, found.checkpoints) == (size, size)


def _erasing(erased: tuple[int, ...], *named: tuple[int, tuple[int, ...]]) -> Ledger:
    """A ledger without the content of `erased`, in which entries say of others that they are erased."""
    entries = [entry(index).to_bytes() for index in range(SIZE)]
    for index, others in named:
        entries[index] = Entry(event=Event.ERASED, at=NOW, node="seci", detail="Ana: old", erased=others).to_bytes()
    return Ledger(erased=erased, entries=entries)


@pytest.mark.parametrize("named", [[(21, (3, 7, 20))], [(8, (3, 7)), (21, (20,))], [(9, (3, 4, 7)), (21, (7, 20))]])
def test_what_is_erased_is_proven_by_its_leaf_alone(tmp_path: Path, named: list[tuple[int, tuple[int, ...]]]) -> None:
    found = _verified(_erasing((3, 7, 20), *named).write(tmp_path))
    assert (found.tally.erasures, found.tally.erased, found.tally.events["erased"]) == (3, [3, 7, 20], len(named))


@pytest.mark.parametrize(("erased", "last"), [((0,), 0), ((0, 3), 0), ((11,), 1)])
def test_no_erasure_takes_a_roster_away_before_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, erased: tuple[int, ...], last: int
) -> None:
    monkeypatch.setitem(ROSTERS_AT, 18, signed_roster(3, BG))
    folder = _erasing(erased, (21, erased)).write(tmp_path)
    assert _fault(folder)[0] == F.ROSTER_WRONG
    with pytest.raises(LedgerUnproven, match=f"its version is {last + 2}, and that of the one before {last}"):
        _verified(folder)


def test_two_rosters_of_one_version_in_one_log_are_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ROSTERS_AT, 18, signed_roster(2, BG))
    entries = [entry(index).to_bytes() for index in range(SIZE)]
    entries[18] = entry(18).model_copy(update={"detail": "version 2"}).to_bytes()
    folder = Ledger(entries=entries).write(tmp_path)
    assert _fault(folder) == (F.ROSTER_WRONG, "rosters/00000002", 18)


@pytest.mark.parametrize(
    ("erased", "named", "index", "file"),
    [
        ((3,), [], 3, FIRST),
        ((3, 12), [(21, (3,))], 12, SECOND),
        ((3, 12), [(2, (3,)), (21, (12,))], 3, FIRST),
        ((12, 21), [(21, (12,))], 12, SECOND),
        ((12, 13), [(13, (12,)), (21, (13,))], 12, SECOND),
    ],
)
def test_what_no_erasure_names_must_be_there(
    tmp_path: Path, erased: tuple[int, ...], named: list[tuple[int, tuple[int, ...]]], index: int, file: str
) -> None:
    with pytest.raises(LedgerUnproven, match=f"entry {index} is there by its leaf hash alone") as caught:
        _verified(_erasing(erased, *named).write(tmp_path))
    assert (caught.value.fault, caught.value.index, caught.value.file) == (F.CONTENT_MISSING, index, file)


def _swap(first: int, second: int) -> Callable[[list[bytes]], None]:
    def change(found: list[bytes]) -> None:
        found[first], found[second] = found[second], found[first]

    return change


def _put(place: int, *items: bytes) -> Callable[[list[bytes]], None]:
    def change(found: list[bytes]) -> None:
        found[place : place + 1] = items

    return change


def _insert(place: int, item: bytes) -> Callable[[list[bytes]], None]:
    return lambda found: found.insert(place, item)


def _drop(place: int) -> Callable[[list[bytes]], None]:
    return lambda found: found.__delitem__(place)


_STRANGE = entry_record(salt(99), entry(5).to_bytes())
_OTHER = Ledger(log=OTHER)
# Records of the first file: 0, its checkpoint, 1 to 3, theirs, 4, its, 5, 6, 7. Of the second: 8 to 11, theirs,
# 12 to 15. Of the last: 16 to 21, theirs.
CHANGES: dict[str, tuple[str, Callable[[list[bytes]], None], LedgerFault, int, str]] = {
    "an entry changed": (FIRST, _put(3, _STRANGE), F.ENTRIES_CHANGED, 1, "one of the entries 1 to 3 is not what"),
    "an entry changed, alone": (FIRST, _put(6, _STRANGE), F.ENTRIES_CHANGED, 4, "entry 4 is not what was signed"),
    "changed over the end of a file": (FIRST, _put(9, _STRANGE), F.ENTRIES_CHANGED, 5, "one of the entries 5 to 11"),
    "a salt changed": (
        *(FIRST, _put(6, entry_record(bytes(32), entry(4).to_bytes())), F.ENTRIES_CHANGED, 4),
        "entry 4 is not what was signed: the checkpoint of 5 entries has another root",
    ),
    "two swapped": (FIRST, _swap(2, 3), F.ENTRIES_CHANGED, 1, "one of the entries 1 to 3"),
    "two swapped between batches": (FIRST, _swap(0, 2), F.ENTRIES_CHANGED, 0, "entry 0 is not"),
    "one dropped": (FIRST, _drop(3), F.ENTRIES_MISSING, 1, "a checkpoint of 4 entries stands behind 3"),
    "one dropped before a file's end": (FIRST, _drop(8), F.ENTRIES_MISSING, 7, "1 entries are missing"),
    "the last dropped": (LAST, _drop(5), F.ENTRIES_MISSING, 16, "a checkpoint of 22 entries stands behind 21"),
    "one put in": (FIRST, _insert(3, _STRANGE), F.ENTRIES_ADDED, 1, "a checkpoint of 4 entries stands behind 5"),
    "one put behind the last": (LAST, lambda found: found.append(_STRANGE), F.ENTRIES_ADDED, 22, "more than its 6"),
    "erased without being so": (FIRST, _put(6, record(Kind.LEAF, bytes(32))), F.ENTRIES_CHANGED, 4, "entry 4 is not"),
    "no leaf hash": (FIRST, _put(6, record(Kind.LEAF, bytes(31))), F.RECORD_MALFORMED, 4, "where entry 4 should be"),
    "no entry": (FIRST, _put(6, record(Kind.ENTRY, bytes(32))), F.RECORD_MALFORMED, 4, "where entry 4 should be"),
    "of no kind": (FIRST, _put(6, b"X\0\0\0\1x"), F.RECORD_MALFORMED, 4, "where entry 4 should be"),
    "not an entry": (
        *(FIRST, _put(6, entry_record(salt(4), b"\xa0")), F.ENTRY_MALFORMED, 4),
        "entry 4 is not a ledger entry: entry, event",
    ),
    "a checkpoint moved": (FIRST, _swap(1, 2), F.ENTRIES_ADDED, 0, "a checkpoint of 1 entries stands behind 2"),
    "a checkpoint before all": (FIRST, _swap(0, 1), F.RECORD_MALFORMED, 0, "behind no entry"),
    "a checkpoint twice": (
        *(FIRST, _insert(1, record(Kind.CHECKPOINT, Ledger().note(1).encode())), F.RECORD_MALFORMED, 1),
        "behind no entry",
    ),
    "a checkpoint of another key": (
        *(FIRST, _put(5, record(Kind.CHECKPOINT, _OTHER.note(4).encode())), F.CHECKPOINT_UNSIGNED, 1),
        "the checkpoint behind entry 3, at byte ",
    ),
    "a checkpoint that is none": (
        *(FIRST, _put(5, record(Kind.CHECKPOINT, b"\xff")), F.CHECKPOINT_UNSIGNED, 1),
        "the checkpoint behind entry 3, at byte ",
    ),
    "a roster's entry that names none": (
        FIRST,
        _put(6, entry_record(salt(4), entry(0).model_copy(update={"detail": "version x"}).to_bytes())),
        *(F.ROSTER_WRONG, 4, "does not say which roster"),
    ),
}


@pytest.mark.parametrize(("file", "change", "fault", "index", "words"), CHANGES.values(), ids=CHANGES)
def test_each_change_is_named_by_its_first_entry(
    folder: Path, file: str, change: Callable[[list[bytes]], None], fault: LedgerFault, index: int, words: str
) -> None:
    edit(folder / file, change)
    with pytest.raises(LedgerUnproven) as found:
        _verified(folder)
    assert (found.value.fault, found.value.index) == (fault, index)
    assert words in str(found.value)


def test_a_file_that_ends_too_early_is_told(folder: Path) -> None:
    data = (folder / SECOND).read_bytes()
    for end, fault in ((len(data) - 1, F.FILE_TRUNCATED), (3, F.FILE_TRUNCATED), (0, F.ENTRIES_MISSING)):
        (folder / SECOND).write_bytes(data[:end])
        with pytest.raises(LedgerUnproven) as found:
            _verified(folder)
        assert (found.value.fault, found.value.file) == (fault, SECOND)
    assert found.value.index == 8


def test_files_that_are_missing_or_too_many_are_told(folder: Path) -> None:
    shutil.copy(folder / SECOND, folder / "entries" / "00000003")
    assert _fault(folder) == (F.UNFINISHED, "entries/00000003", SIZE)
    (folder / "entries" / "00000003").rename(folder / "entries" / "00000002")
    assert _fault(folder) == (F.UNFINISHED, "entries/00000002", SIZE)
    (folder / "entries" / "00000002").rename(folder / "entries" / "README")
    _verified(folder)
    (folder / SECOND).unlink()
    assert _fault(folder) == (F.FILE_MISSING, SECOND, 8)


def test_an_older_checkpoint_does_not_pass(folder: Path) -> None:
    for size in (12, 16):
        (folder / "checkpoint").write_text(Ledger().note(size))
        assert _fault(folder)[0] in (F.FILE_MISSING, F.UNFINISHED)


def _fault(folder: Path, *known: Path) -> tuple[LedgerFault, str, int | None]:
    with pytest.raises(LedgerUnproven) as found:
        _verified(folder, POLICY, *known)
    return found.value.fault, found.value.file, found.value.index


def test_without_a_checkpoint_an_export_is_unfinished(folder: Path) -> None:
    (folder / "checkpoint").unlink()
    assert _fault(folder) == (F.UNFINISHED, "checkpoint", None)


def test_two_histories_are_proof_against_the_log(folder: Path, tmp_path: Path) -> None:
    lie = Ledger(entries=[entry(0 if index == 2 else index).to_bytes() for index in range(SIZE)])
    edit(folder / FIRST, _put(5, record(Kind.CHECKPOINT, lie.note(4).encode())))
    assert _fault(folder) == (F.HISTORY_FORKED, FIRST, 1)
    with pytest.raises(LedgerUnproven, match="there are two histories"):
        _verified(folder, signed=False)
    Ledger().write(folder)
    (tmp_path / "held").write_text(lie.note(4))
    assert _fault(folder, tmp_path / "held")[0] is F.HISTORY_FORKED


def test_without_signatures_a_checkpoint_that_does_not_fit_is_looked_at_all_the_same(folder: Path) -> None:
    edit(folder / FIRST, _put(5, record(Kind.CHECKPOINT, _OTHER.note(4).encode())))
    _verified(folder, signed=False)
    lie = Ledger(entries=[entry(4).to_bytes()] * SIZE, log=OTHER)
    edit(folder / FIRST, _put(5, record(Kind.CHECKPOINT, lie.note(4).encode())))
    with pytest.raises(LedgerUnproven) as found:
        _verified(folder, signed=False)
    assert found.value.fault is F.CHECKPOINT_UNSIGNED


def test_a_checkpoint_that_somebody_holds_is_one_of_this_history(folder: Path, tmp_path: Path) -> None:
    # Of 6 entries the export itself has no checkpoint.
    for size in (4, 6, 8, 16, SIZE):
        (tmp_path / f"{size}").write_text(Ledger().note(size))
        assert [item.cosigned.checkpoint.size for item in _verified(folder, POLICY, tmp_path / f"{size}").known] == [
            size
        ]
    (tmp_path / "later").write_text(Ledger([*BATCHES, 1]).note(SIZE + 1))
    assert _fault(folder, tmp_path / "later") == (F.EXPORT_OLDER, "checkpoint", SIZE)
    (tmp_path / "strange").write_text(_OTHER.note(4))
    with pytest.raises(CryptoError, match="not signed by any"):
        _verified(folder, POLICY, tmp_path / "strange")


def test_another_key_does_not_pass_even_if_the_export_names_it(tmp_path: Path) -> None:
    folder = _OTHER.write(tmp_path)
    with pytest.raises(CryptoError, match="not signed by any of the log's keys"):
        _verified(folder)
    # It is the rosters that are still signed with the true one.
    with pytest.raises(LedgerUnproven, match="not signed with the log's Ed25519 key"):
        _verified(folder, None)
    with pytest.raises(CryptoError, match="of which the policy lists no key"):
        _verified(folder, Policy.of([NoteSigner("other.example.org", SigningKey.generate()).verifier], [], 0))


def test_rosters_are_those_that_the_entries_name(folder: Path) -> None:
    roster = folder / "rosters" / "00000002"
    data = roster.read_bytes()
    roster.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert _fault(folder) == (F.ROSTER_WRONG, "rosters/00000002", 11)
    roster.write_bytes(signed_roster(2, BG))
    assert _fault(folder) == (F.ROSTER_WRONG, "rosters/00000002", 11)
    roster.unlink()
    assert _fault(folder) == (F.ROSTER_WRONG, "rosters/00000002", 11)


def test_a_quorum_of_witnesses_is_found_at_the_checkpoint_or_at_one_that_is_known(folder: Path, tmp_path: Path) -> None:
    witness = Cosigner("ro.example.org", SigningKey.generate())
    policy = Policy.of([LOG.verifier], [witness.verifier], 1)
    with pytest.raises(NotWitnessed):
        _verified(folder, policy)
    held = tmp_path / "held"
    note = Ledger().note(12)
    held.write_text(add_cosignatures(note, cosign(note, witness, 1_700_000_000), [witness.verifier]))
    found = _verified(folder, policy, held)
    assert (found.witnessed.checkpoint.size, len(found.witnessed.witnesses)) == (12, 1)
    held.rename(folder / "witnessed")
    found = _verified(folder, policy)
    assert (found.witnessed.checkpoint.size, found.known) == (12, ())
    (folder / "witnessed").rename(held)
    note = Ledger().note(SIZE)
    (folder / "checkpoint").write_text(add_cosignatures(note, cosign(note, witness, 1), [witness.verifier]))
    assert _verified(folder, policy, held).witnessed.checkpoint.size == SIZE


def test_with_both_keys_of_the_log_in_the_policy_one_checkpoint_has_both_signatures(
    folder: Path, tmp_path: Path
) -> None:
    second, witness = Cosigner(ORIGIN, MlDsaKey.generate()), Cosigner("ro.example.org", SigningKey.generate())
    both = [LOG.verifier, second.verifier]
    policy, asked = Policy.of(both, [], 0), Policy.of(both, [witness.verifier], 1)
    held, older = tmp_path / "held", tmp_path / "older"
    older.write_text(Ledger().note(4))
    for wanted in (policy, asked):
        with pytest.raises(NotWitnessed):
            _verified(folder, wanted, older)
    note = Ledger().note(12) + second.sign(Note.parse(Ledger().note(12)).text, 1).line()
    (folder / "witnessed").write_text(note)
    found = _verified(folder, policy, older)
    assert (found.witnessed.checkpoint.size, found.cosigned.checkpoint.size) == (12, SIZE)
    assert any(f"up to 12 entries, the {SIZE - 12} behind" in words for words in ledger_lines(found))
    assert ledger_fields(found)["policy_met_at"] == 12
    with pytest.raises(NotWitnessed):
        _verified(folder, asked)
    held.write_text(add_cosignatures(note, cosign(note, witness, 1), [witness.verifier]))
    assert _verified(folder, asked, held).witnessed.checkpoint.size == 12
    # Cosigned, but not signed by the log with both keys, it is no quorum's; with a wrong signature it is nothing.
    alone = Ledger().note(16)
    held.write_text(add_cosignatures(alone, cosign(alone, witness, 1), [witness.verifier]))
    with pytest.raises(NotWitnessed):
        _verified(folder, asked, held)
    (folder / "witnessed").write_text(Ledger().note(12) + second.sign(Note.parse(alone).text, 1).line())
    with pytest.raises(NoteInvalid):
        _verified(folder, policy)


def test_no_bit_of_an_export_can_be_turned_unseen(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    chance = random.Random(20)
    for path in files:
        data = path.read_bytes()
        places = range(len(data)) if len(data) < 400 else chance.sample(range(len(data)), 250)
        for place in places:
            changed = bytearray(data)
            changed[place] ^= 1 << chance.randrange(8)
            path.write_bytes(changed)
            with pytest.raises((CryptoError, OSError)):
                _verified(folder)
        path.write_bytes(data)
    _verified(folder)


def test_a_signature_has_one_form(folder: Path) -> None:
    # The last letter before the `=` has two bits that mean nothing.
    note = Ledger().note(SIZE)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = note[-3]
    assert note.endswith(f"{last}=\n")
    (folder / "checkpoint").write_text(f"{note[:-3]}{letters[letters.index(last) ^ 1]}=\n")
    with pytest.raises(CryptoError, match="not in its one form"):
        _verified(folder)


def test_processes_find_what_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = 4
    folder = Ledger([7] * 40).write(tmp_path)
    assert few < 280 / CHUNK
    monkeypatch.setattr(auditing, "_FEW", few)
    many = _verified(folder)
    edit(folder / "entries" / "00000020", _put(3, _STRANGE))
    faults = [_fault(folder)]
    monkeypatch.setattr(auditing, "_FEW", 1000)
    faults.append(_fault(folder))
    assert faults[0] == faults[1]
    Ledger([7] * 40).write(tmp_path)
    one = _verified(folder)
    assert (one.tally, one.checkpoints, one.roster) == (many.tally, many.checkpoints, many.roster)


def _said(*arguments: str | Path) -> tuple[int, Any]:
    code, out, _ = _typed(*arguments, "--json")
    return code, json.loads(out)


def test_as_an_auditor_types_it(folder: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    policy.write_bytes(POLICY.to_bytes())
    code, out, err = _typed(folder, "--policy", policy)
    assert (code, err) == (0, "")
    assert out.startswith(
        f"PROVEN under the policy, the ledger of the log {ORIGIN}:\n  entries     {SIZE}, each computed"
    )
    assert "none of the policy's: the log's word alone" in out
    code, out, err = _typed(folder)
    assert (code, err) == (0, "")
    assert out.startswith("PROVEN if its key is the log's")
    assert LOG.verifier.vkey() in out
    code, said = _said(folder, "--policy", policy)
    assert (code, said["ok"], said["size"], said["root"]) == (0, True, SIZE, _root(SIZE).hex())
    assert said["entries_per_s"] > 0
    assert _said(folder, "--policy", policy, "--quick")[1]["signatures"] is False
    edit(folder / FIRST, _put(6, _STRANGE))
    code, said = _said(folder, "--policy", policy)
    assert (code, said.pop("detail")[:17]) == (1, "entry 4 is not wh")
    assert "another" in said.pop("next")
    place = {"fault": "entries_changed", "file": FIRST, "index": 4}
    assert said == {"ok": False, "code": "ledger_unproven", **place, "errors": []}
    code, out, err = _typed(folder, "--policy", policy)
    assert (code, out) == (1, "")
    assert err.startswith("NOT PROVEN: entry 4 is not what was signed")
    assert f"[ledger_unproven: entries_changed, {FIRST}]\nnext: do not rely on this export" in err


def test_a_folder_that_is_no_export_ends_with_2(tmp_path: Path) -> None:
    assert _said(tmp_path)[1]["code"] == "file_unreadable"
    assert _said(tmp_path)[0] == 2
    (tmp_path / "ledger.json").write_text("{}")
    code, said = _said(tmp_path)
    assert (code, said["fault"]) == (1, "manifest_malformed")


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Tsa:
    """The one that the auditor trusts."""
    return Tsa.create(tmp_path_factory.mktemp("tsa") / "good")


def _stamp(folder: Path, tsa: Tsa, size: int, place: int, note: str | None = None) -> None:
    written = (Ledger().notes[size] if note is None else note).encode()
    (folder / "timestamps").mkdir(exist_ok=True)
    (folder / stamped_file(size)).write_bytes(written)
    (folder / stamp_file(size, place)).write_bytes(tsa.reply(ask(written).request))


def test_timestamps_say_when_a_part_of_it_existed(folder: Path, tsa: Tsa, tmp_path: Path) -> None:
    assert _verified(folder).stamps.count == 0
    for size, place in ((4, 1), (12, 2), (12, 7)):
        _stamp(folder, tsa, size, place)
    (folder / "timestamps" / "notes.txt").write_text("ours")
    policy, roots = tmp_path / "policy", tsa.roots
    policy.write_bytes(POLICY.to_bytes())
    # Whose they are, nobody but the auditor says.
    code, out, _ = _typed(folder, "--policy", policy)
    assert (code, "  timestamps  3 in the export, not verified: add --tsa-roots" in out) == (0, True)
    code, out, _ = _typed(folder, "--policy", policy, "--tsa-roots", roots)
    assert (code, "  timestamps  3 by a TSA hold, over checkpoints of this ledger;" in out) == (0, True)
    assert ["the first 4 entries existed by " in out, "the first 12 entries existed by " in out] == [True, True]
    assert out.count("says CN=TSA of good") == 2
    # Another TSA of years ago, whose root he has not, takes nothing away; alone it proves nothing.
    _stamp(folder, Tsa.create(tmp_path / "other"), 1, 9)
    said = json.loads(_typed(folder, "--policy", policy, "--tsa-roots", roots, "--json")[1])["timestamps"]
    assert (said["count"], said["verified"], said["first"]["size"], said["newest"]["size"]) == (4, 3, 4, 12)
    assert said["not_held"] == [{"file": "timestamps/checkpoint-1.9.tsr", "code": "timestamp_untrusted"}]
    for size, place in ((4, 1), (12, 2), (12, 7)):
        (folder / stamp_file(size, place)).unlink()
    code, _, err = _typed(folder, "--policy", policy, "--tsa-roots", roots)
    assert (code, "timestamps/checkpoint-1.9.tsr: " in err, "[timestamp_untrusted]" in err) == (1, True, True)


def test_a_timestamp_is_of_this_ledger_or_it_is_told(folder: Path, tsa: Tsa) -> None:
    roots = read_roots(tsa.roots.read_bytes())

    def fault() -> str:
        with pytest.raises(CryptoError) as found:
            verify_ledger(folder, POLICY, (), lambda *_: None, roots=roots)
        return str(found.value.fault) if isinstance(found.value, LedgerUnproven) else found.value.code

    other = Checkpoint(ORIGIN, 4, bytes(32)).text()
    _stamp(folder, tsa, 4, 1, sign_note(other, LOG))
    assert fault() == "history_forked"
    _stamp(folder, tsa, 4, 1, sign_note(other, OTHER))
    assert fault() == "note_invalid"
    _stamp(folder, tsa, 4, 1)
    (folder / stamped_file(4)).write_text(Ledger().notes[12])
    assert fault() == "timestamp_foreign"
    # It is the note that counts, whatever its file is called.
    _stamp(folder, tsa, 4, 1, Ledger().notes[12])
    assert [item.size for item in verify_ledger(folder, POLICY, (), lambda *_: None, roots=roots).stamps.held] == [12]
