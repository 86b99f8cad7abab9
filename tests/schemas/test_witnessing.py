"""The messages of witnesses: what is in them has its bounds, and one form."""

import base64
from typing import Any

import pytest

from schemas import cbor
from schemas.control import ControlRefused, Wire
from schemas.witnessing import (
    CheckpointRequest,
    Link,
    TileHashes,
    TilePlace,
    TileRequest,
    Tiles,
    WitnessCheckpoint,
    WitnessCosignature,
)

DIGEST = bytes(32)
LINK = Link(size=4, proof=(DIGEST,))
PLACE, HASHES = TilePlace(level=7, index=2**63 - 1), TileHashes(level=0, index=0, hashes=bytes(8192))
LARGEST: tuple[Wire, ...] = (
    CheckpointRequest(old=2**63 - 1, claims=(0, 1, 2, 3), roster=2**31 - 1),
    WitnessCheckpoint(old=0, proof=(DIGEST,) * 63, checkpoint="x" * 20_000, links=(LINK,) * 4, others=("x",) * 4),
    WitnessCosignature(checkpoint="x" * 20_000),
    TileRequest(size=2**63 - 1, tiles=(PLACE,) * 2),
    Tiles(size=1, tiles=(HASHES,) * 2),
)
BEYOND: dict[str, tuple[type[Wire], dict[str, Any]]] = {
    "a version to come": (CheckpointRequest, {"v": 2, "old": 0, "claims": []}),
    "a size too large": (CheckpointRequest, {"v": 1, "old": 2**63, "claims": []}),
    "a size below nothing": (CheckpointRequest, {"v": 1, "old": -1, "claims": []}),
    "no claims, not even an empty list": (CheckpointRequest, {"v": 1, "old": 1}),
    "too many claims": (CheckpointRequest, {"v": 1, "old": 1, "claims": [1] * 5}),
    "a field more": (CheckpointRequest, {"v": 1, "old": 1, "claims": [], "x": 1}),
    "a roster before the first": (CheckpointRequest, {"v": 1, "old": 1, "claims": [], "roster": 0}),
    "a roster after the last": (CheckpointRequest, {"v": 1, "old": 1, "claims": [], "roster": 2**31}),
    "a roster as nothing": (CheckpointRequest, {"v": 1, "old": 1, "claims": [], "roster": None}),
    "a size as a truth": (CheckpointRequest, {"v": 1, "old": True, "claims": []}),
    "a hash too short": (Link, {"size": 1, "proof": [bytes(31)]}),
    "too many hashes": (Link, {"size": 1, "proof": [DIGEST] * 64}),
    "too long a note": (WitnessCosignature, {"v": 1, "checkpoint": "x" * 20_001}),
    "no note": (WitnessCosignature, {"v": 1, "checkpoint": ""}),
    "no tiles": (TileRequest, {"v": 1, "size": 1, "tiles": []}),
    "too many tiles": (TileRequest, {"v": 1, "size": 1, "tiles": [{"level": 0, "index": 0}] * 3}),
    "tiles of nothing": (TileRequest, {"v": 1, "size": 0, "tiles": [{"level": 0, "index": 0}]}),
    "a level too high": (TilePlace, {"level": 8, "index": 0}),
    "too wide a tile": (TileHashes, {"level": 0, "index": 0, "hashes": bytes(8193)}),
}


@pytest.mark.parametrize("message", LARGEST, ids=lambda message: type(message).__name__)
def test_the_largest_there_can_be_is_read_as_it_was_written(message: Wire) -> None:
    data = message.to_bytes()
    assert type(message).from_bytes(data) == message
    # Far below the broker's limit for a message, 2 MiB.
    assert len(data) < 300_000


def test_a_note_with_both_signatures_of_the_hub_and_as_many_cosignatures_as_it_may_have_fits() -> None:
    signed = [("seci.exchange/ledger", 4 + 64), ("seci.exchange/ledger", 4 + 8 + 2420)]
    signed += [("seci.exchange/witness/abcdefgh", 4 + 8 + 64)] * 98
    lines = [f"\N{EM DASH} {name} {base64.b64encode(bytes(size)).decode()}\n" for name, size in signed]
    note = f"seci.exchange/ledger\n{2**63 - 1}\n{base64.b64encode(DIGEST).decode()}\n\n{''.join(lines)}"
    told = WitnessCheckpoint(old=0, proof=(), checkpoint=note, others=(note,) * 4)
    assert WitnessCheckpoint.from_bytes(told.to_bytes()) == told


def test_an_answer_with_a_checkpoint_is_small_enough_for_a_bad_line() -> None:
    # Thirteen witnesses; one checkpoint besides and three contradictions; proofs in a ledger of a million entries.
    def note(*sizes: int) -> str:
        return "x" * (100 + sum(40 + size * 4 // 3 for size in sizes))

    whole, contradicting = note(68, 2432, *[76] * 13), note(68, 76)
    links = (Link(size=4, proof=(DIGEST,) * 21),) * 4
    others = (whole, *[contradicting] * 3)
    told = WitnessCheckpoint(old=4, proof=(DIGEST,) * 21, checkpoint=whole, links=links, others=others)
    assert len(told.to_bytes()) < 17_000


def test_a_question_of_a_program_before_rosters_were_proven_is_read() -> None:
    data = cbor.encode({"v": 1, "old": 7, "claims": [9]})
    assert CheckpointRequest.from_bytes(data) == CheckpointRequest(old=7, claims=(9,))
    assert CheckpointRequest(old=7, claims=(9,)).to_bytes() == data


def test_an_answer_with_tiles_is_small_enough_for_a_bad_line() -> None:
    assert len(LARGEST[-1].to_bytes()) < 17_000


@pytest.mark.parametrize("name", BEYOND)
def test_what_is_beyond_is_refused(name: str) -> None:
    kind, fields = BEYOND[name]
    with pytest.raises(ControlRefused):
        kind.from_bytes(cbor.encode(fields))
