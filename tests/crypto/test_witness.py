"""A witness follows a log: it cosigns what continues what it cosigned, and nothing else."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import merkle
from crypto.cosignature import sign_checkpoint
from crypto.errors import LogForked, NoteInvalid, OldSizeWrong, ProofInvalid, ProofMalformed
from crypto.note import Checkpoint, sign_note
from crypto.policy import Policy
from crypto.witness import AddCheckpoint, follow
from tests.crypto.cosigners import AT, LOG, LOG_PQ, ORIGIN, RO, Ledger

POLICY = Policy.of([LOG.verifier, LOG_PQ.verifier], [RO.verifier], 1)
LARGEST = Ledger(20)


def request(old: int, size: int) -> AddCheckpoint:
    proof = merkle.consistency_proof(old, size, LARGEST.nodes()) if old else []
    return AddCheckpoint(old, tuple(proof), Ledger(size).checkpoint())


def seen(size: int) -> Checkpoint | None:
    return Ledger(size).text() if size else None


def test_every_step_of_a_growing_log_is_followed() -> None:
    for old in range(0, 21, 3):
        for size in range(old, 21):
            assert follow(request(old, size), seen(old), POLICY) == Ledger(size).text()


def test_the_empty_log_is_followed_from_nothing_and_from_itself() -> None:
    for before in (None, Ledger(0).text()):
        assert follow(request(0, 0), before, POLICY).size == 0
        assert follow(request(0, 7), before, POLICY).size == 7
    with pytest.raises(LogForked):
        follow(replace(request(0, 0), checkpoint=forked(0)), None, POLICY)


def forked(size: int) -> str:
    """The log's word on another tree of that size."""
    return sign_checkpoint(Checkpoint(ORIGIN, size, b"\1" * 32), LOG, LOG_PQ, AT)


def test_another_root_of_a_size_that_was_cosigned_is_a_fork() -> None:
    with pytest.raises(LogForked, match=ORIGIN):
        follow(AddCheckpoint(5, (), forked(5)), seen(5), POLICY)


def test_what_another_log_has_signed_is_neither_followed_nor_a_fork() -> None:
    other = Checkpoint("other.example.org", 5, b"\1" * 32)
    for asked in (request(5, 5), request(5, 9)):
        with pytest.raises(NoteInvalid, match=r"other\.example\.org"):
            follow(asked, other, POLICY)
    # Only the name tells them apart here: the tree seen is the one that this goes on from.
    with pytest.raises(NoteInvalid, match=r"other\.example\.org"):
        follow(request(5, 9), replace(Ledger(5).text(), origin=other.origin), POLICY)


def test_a_tree_that_does_not_begin_with_the_one_seen_is_refused() -> None:
    for wrong in (
        replace(request(5, 9), checkpoint=forked(9)),
        replace(request(5, 9), hashes=request(5, 9).hashes[:-1]),
        replace(request(5, 9), hashes=()),
        replace(request(5, 5), hashes=(bytes(32),)),
        replace(request(5, 9), checkpoint=Ledger(4).checkpoint()),
    ):
        with pytest.raises(ProofInvalid):
            follow(wrong, seen(5), POLICY)
    with pytest.raises(ProofInvalid):
        follow(replace(request(0, 9), hashes=(bytes(32),)), None, POLICY)


def test_a_proof_from_another_size_is_answered_with_the_right_one() -> None:
    for old, before in ((4, 5), (6, 5), (0, 5), (5, 0)):
        with pytest.raises(OldSizeWrong) as caught:
            follow(request(old, 9), seen(before), POLICY)
        assert caught.value.size == before


def test_a_checkpoint_that_the_log_has_not_signed_with_both_keys_is_refused() -> None:
    text = Ledger(9).text().text()
    for note in (sign_note(text, LOG), f"{text}\n{LOG_PQ.sign(text, AT).line()}", text, ""):
        with pytest.raises(NoteInvalid):
            follow(replace(request(5, 9), checkpoint=note), seen(5), POLICY)


@given(st.integers(0, 10**19 - 1), st.lists(st.binary(min_size=32, max_size=32), max_size=63))
@settings(max_examples=30, deadline=None)
def test_a_request_comes_back_as_it_was(old: int, hashes: list[bytes]) -> None:
    asked = AddCheckpoint(old, tuple(hashes), "checkpoint\n")
    assert AddCheckpoint.parse(str(asked)) == asked


def test_a_request_is_the_text_of_the_specification() -> None:
    text = "old 20852014\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\nexample.com/behind-the-sofa\n"
    asked = AddCheckpoint.parse(text)
    assert (asked.old, len(asked.hashes), asked.checkpoint) == (20852014, 1, "example.com/behind-the-sofa\n")
    assert str(asked) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "old 1\n", "old 1\nc\n", "new 1\n\nc\n", "old\n\nc\n", "old 01\n\nc\n", "old -1\n\nc\n", "old  1\n\nc\n"),
        *("old 1\nAAAA\n\nc\n", "old 1 \n\nc\n", "old 1\r\n\r\nc\r\n", "\n\nc\n"),
        "old 1\n" + "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n" * 64 + "\nc\n",
    ],
)
def test_a_malformed_request_is_refused(text: str) -> None:
    with pytest.raises(ProofMalformed):
        AddCheckpoint.parse(text)
