"""Reading many entries at once: a reader judges each as `Entry.from_bytes` does, whatever it has read before."""

import random
from typing import Any
from uuid import UUID

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import cbor, entries, entrybytes
from schemas.control import ControlRefused, Entry, Event
from schemas.entries import EntryReader
from schemas.header import LAST_MILLI
from schemas.refusals import RefusalCode

DIGEST, ID = bytes(32), bytes(16)
GOOD: dict[str, Any] = {
    "v": 1,
    "event": "accepted",
    "at": 1_700_000_000_000,
    "node": "ro",
    "message": ID,
    "recipients": ["bg", "hu"],
    "kind_version": 1,
    "task_force": "drugs",
    "created": 5,
    "envelope": DIGEST,
    "code": "expired",
    "detail": "too late",
}
BAD = [
    *({"v": 2}, {"v": True}, {"v": "1"}, {"event": "accept"}, {"event": 1}, {"at": -1}, {"at": 2**60}, {"at": 1.0}),
    *({"at": True}, {"at": "1"}, {"node": "RO"}, {"node": b"ro"}, {"node": ["ro"]}, {"message": bytes(15)}),
    *({"message": "ab" * 16}, {"message": None}, {"recipients": "bg"}, {"recipients": ["bg", "BG"]}),
    *({"recipients": [["bg"]]}, {"recipients": {"bg": 1}}, {"recipients": ["bg", b"hu"]}, {"envelope": bytes(31)}),
    *({"envelope": "x" * 32}, {"code": "late"}, {"detail": 5}, {"detail": None}, {"extra": 1}, {"kind_version": "1"}),
    *({"kind_version": 1.5}, {"created": -1}, {"node": {}}, {"task_force": b"drugs"}, {"task_force": ["drugs"]}),
]


def _both(reader: EntryReader, data: bytes) -> bool:
    """Whether it passes: by the reader as by the definition."""
    try:
        Entry.from_bytes(data)
    except ControlRefused:
        with pytest.raises(ControlRefused):
            reader.read(data)
        return False
    assert reader.read(data) == cbor.decode(data)
    return True


@pytest.mark.parametrize("change", BAD, ids=str)
def test_what_is_no_entry_is_none_before_and_after_its_like(change: dict[str, Any]) -> None:
    reader = EntryReader()
    bad = cbor.encode(GOOD | change)
    for data in (bad, cbor.encode(GOOD), bad):
        assert _both(reader, data) == (data != bad)
    for name in GOOD:
        _both(reader, cbor.encode({key: value for key, value in (GOOD | change).items() if key != name}))


def test_the_encoding_is_the_one_that_there_is() -> None:
    reader, data = EntryReader(), cbor.encode(GOOD)
    assert _both(reader, data)
    unsorted = cbor2.dumps(dict(reversed(cbor2.loads(data).items())))
    for other in (data + b"\0", data[:-1], unsorted, b"\xbf" + data[1:] + b"\xff", b"", cbor2.dumps(1), b"\xc0" + data):
        assert not _both(reader, other)
    long = cbor.encode(GOOD | {"detail": "x" * 5000})
    assert _both(reader, long)
    assert not _both(reader, long + b"\0")


@given(
    st.lists(st.tuples(st.sampled_from(sorted(GOOD)), st.sampled_from(BAD), st.booleans()), max_size=8), st.randoms()
)
@settings(max_examples=60, deadline=None)
def test_a_reader_that_has_read_anything_judges_as_the_definition(
    steps: list[tuple[str, dict[str, Any], bool]], chance: random.Random
) -> None:
    reader = EntryReader()
    for name, change, flip in steps:
        fields = GOOD | change
        fields.pop(name, None)
        data = bytearray(cbor.encode(fields))
        if flip:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        _both(reader, bytes(data))
        _both(reader, cbor.encode(GOOD))


def test_indices_are_judged_all_together() -> None:
    reader = EntryReader()
    good = [cbor.encode(GOOD | {"erased": found}) for found in ([3, 5], [5, 9], [7])]
    bad = [cbor.encode(GOOD | {"erased": found}) for found in ([5, 3], [3, 3], [], [-1], ["3"], 3, [2**63])]
    for data in (*good, *bad, *good):
        assert _both(reader, data) == (data in good)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "MOST_SEEN", 50)
    monkeypatch.setattr(entries, "MOST_CAST", 50)
    reader, terse = EntryReader(), {name: value for name, value in GOOD.items() if name != "detail"}
    for number in range(400):
        for one in (GOOD, terse):
            assert _both(reader, cbor.encode(one | {"kind_version": number}))
        # Of one length, with what is each one's own at ever other places.
        assert _both(reader, cbor.encode(terse | {"kind": "k" * (number % 20), "operation": "o" * (20 - number % 20)}))
        assert len(reader._seen) + len(reader._shapes) < 100
        moulds = [mould for found in reader._moulds.values() for mould in found]
        assert sum(len(mould.cast) for mould in moulds) <= 50
        assert max(map(len, reader._moulds.values()), default=0) <= 8


def _entry(chance: random.Random, **fields: Any) -> bytes:
    own = {name: chance.randbytes(len(value)) for name, value in GOOD.items() if type(value) is bytes}
    times = {"at": chance.randrange(2**32, LAST_MILLI), "created": chance.randrange(2**32, LAST_MILLI)}
    return cbor.encode({name: value for name, value in (GOOD | own | times).items() if name != "detail"} | fields)


@pytest.mark.parametrize(
    "value",
    [
        *({"kind_version": number} for number in (0, 23, 24, 255, 256, 2**16, 2**32, -1, -24, -25, -500, -(2**32))),
        *({"kind": "k" * length} for length in (0, 1, 23, 24, 255, 256, 300)),
        *({"kind": "\N{SNOWMAN}" * length} for length in (1, 7, 8, 50)),
        *({"recipients": ["ro"] * length} for length in (0, 1, 23, 24, 60)),
        *({"at": at, "created": at} for at in (0, 23, 2**32 - 1, 2**32, LAST_MILLI)),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_mould_is_where_the_bytes_are(value: dict[str, Any]) -> None:
    chance, reader = random.Random(7), EntryReader()
    data = _entry(chance, **value)
    assert _both(reader, data)
    [[mould]] = reader._moulds.values()
    assert mould.cast
    assert mould.read(data) == cbor.decode(data)
    for place in range(len(data)):
        changed = data[:place] + bytes((data[place] ^ 1 << chance.randrange(8),)) + data[place + 1 :]
        _both(reader, changed)


def test_what_is_in_the_same_mould_is_judged_as_the_definition_judges() -> None:
    chance, reader = random.Random(7), EntryReader()
    assert _both(reader, _entry(chance))
    [[mould]] = reader._moulds.values()
    for _ in range(50):
        data = _entry(chance)
        assert mould.read(data) == cbor.decode(data)
        assert _both(reader, data)
    for at in (2**32, 2**32 - 1, LAST_MILLI, LAST_MILLI + 1, 2**63):
        _both(reader, _entry(chance, at=at))
        # Not as the encoder writes it: a small time in eight bytes.
        data = _entry(chance).replace(b"bat\x1b", b"bat\x1b" + at.to_bytes(8))
        _both(reader, data)
        place = data.index(b"bat\x1b") + 4
        _both(reader, data[:place] + (at & 0xFFFF).to_bytes(8) + data[place + 16 :])
    for bit in range(8 * len(data := _entry(chance))):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        _both(reader, bytes(changed))


def _in_bytes(value: Any) -> Any:
    return value.bytes if isinstance(value, UUID) else list(value) if isinstance(value, tuple) else value


_TIMES = st.sampled_from((0, 23, 2**16, 2**32 - 1, 2**32, 1_700_000_000_000, LAST_MILLI))
_IDS, _DIGESTS = st.uuids(), st.binary(min_size=32, max_size=32)
# Few of each, so that what was remembered of one entry is met in the next.
_NODES, _TEXT = st.sampled_from(("ro", "bg")), st.sampled_from(("", "drugs", "ab" * 200, "\N{SNOWMAN}"))
_OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("message", "thread"), _IDS),
    "sender": _NODES,
    "recipients": st.lists(_NODES, max_size=30).map(tuple),
    **dict.fromkeys(("task_force", "kind", "operation", "priority", "handling", "detail"), _TEXT),
    "kind_version": st.sampled_from((1, 2, 300)),
    "created": _TIMES,
    **dict.fromkeys(("envelope", "evidence"), _DIGESTS),
    "code": st.sampled_from(RefusalCode),
    "erased": st.sets(st.integers(0, 2**63 - 1), min_size=1, max_size=5).map(lambda found: tuple(sorted(found))),
}
_REQUIRED = {"event": st.sampled_from(Event), "at": _TIMES, "node": _NODES}


@given(fields=st.fixed_dictionaries(_REQUIRED, optional=_OPTIONAL))
@settings(max_examples=150)
def test_an_entry_is_written_as_the_encoder_writes_it(fields: dict[str, Any]) -> None:
    entry = Entry.model_construct(**fields)
    data = entry.to_bytes()
    assert data == cbor.encode({"v": 1} | {name: _in_bytes(value) for name, value in fields.items()})
    assert Entry.from_bytes(data) == Entry(**fields)


def test_every_field_of_an_entry_is_written() -> None:
    assert set(entrybytes.FIELDS) == set(Entry.model_fields) == {"v", *_REQUIRED, *_OPTIONAL}
