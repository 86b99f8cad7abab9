"""A roster is proven by its own entry of the ledger and by nothing else."""

import hashlib
from typing import Any

import pytest

from crypto import merkle
from crypto.errors import CryptoError, NoteInvalid, ProofInvalid, ReceiptInvalid, RosterUnlogged, SignatureInvalid
from crypto.note import Checkpoint, NoteSigner, sign_note
from crypto.receipt import leaf_of
from crypto.rosternews import Logged, open_news
from crypto.trust import sign_roster
from schemas.control import ControlRefused, Entry, Event, Receipt
from schemas.roster import RosterNews
from tests.crypto.people import HUB, NOW, RO, roster_key, roster_node, roster_of

ORIGIN = "ledger.example.org"
LEDGER = NoteSigner(ORIGIN, HUB.signing)
ROSTER = roster_of(roster_node("ro", roster_key(RO.signing)))
SIGNED = sign_roster(ROSTER, HUB.signing)
OTHER = sign_roster(ROSTER.model_copy(update={"at": NOW + 1}), HUB.signing)
ENTRY = Entry(event=Event.ROSTER, at=NOW, node="seci", evidence=hashlib.sha256(SIGNED).digest(), detail="version 1")
BEFORE = leaf_of(bytes(32), b"the entry before it")


def news(entry: bytes = ENTRY.to_bytes(), signer: NoteSigner = LEDGER, origin: str = ORIGIN, **more: Any) -> RosterNews:
    """The roster with the proof of that entry."""
    root = merkle.node_hash(BEFORE, leaf_of(bytes(32), entry))
    checkpoint = sign_note(Checkpoint(origin, 2, root).text(), signer)
    receipt = Receipt(index=1, entry=entry, salt=bytes(32), proof=(BEFORE,))
    return RosterNews(**{"roster": SIGNED, "receipt": receipt, "checkpoint": checkpoint} | more)


def opened(told: RosterNews) -> Logged:
    return open_news(told, HUB.signing.public, ORIGIN, LEDGER.verifier)


def test_a_roster_is_opened_with_the_checkpoint_that_proves_it() -> None:
    found = opened(RosterNews.from_bytes(news().to_bytes()))
    assert found.roster == ROSTER
    assert (found.checkpoint.size, found.checkpoint.origin) == (2, ORIGIN)


@pytest.mark.parametrize(
    "changes",
    [
        {"event": Event.RELEASED},
        {"evidence": hashlib.sha256(OTHER).digest()},
        {"evidence": None},
        {"detail": "version 2"},
        {"detail": "version 01"},
        {"detail": None},
    ],
)
def test_an_entry_that_is_not_the_roster_s_proves_nothing(changes: dict[str, Any]) -> None:
    with pytest.raises(RosterUnlogged, match="entry 1 is not that of roster version 1"):
        opened(news(ENTRY.model_copy(update=changes).to_bytes()))


WRONG: dict[str, tuple[RosterNews, type[Exception]]] = {
    "another roster": (news(roster=OTHER), RosterUnlogged),
    "altered": (news(roster=SIGNED[:-1] + bytes([SIGNED[-1] ^ 1])), SignatureInvalid),
    "signed by a member": (news(roster=sign_roster(ROSTER, RO.signing)), SignatureInvalid),
    "in no tree": (news(checkpoint=sign_note(Checkpoint(ORIGIN, 2, bytes(32)).text(), LEDGER)), ProofInvalid),
    "in a tree signed by a member": (news(signer=NoteSigner(ORIGIN, RO.signing)), NoteInvalid),
    "in another log": (news(origin="another.example"), ReceiptInvalid),
    "no entry": (news(b"no entry"), ControlRefused),
    "no roster": (news(roster=b"none"), CryptoError),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_told_by_its_error(wrong: str) -> None:
    told, error = WRONG[wrong]
    with pytest.raises(error):
        opened(told)
