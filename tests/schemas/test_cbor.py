"""The one encoding: what decodes is exactly what the encoder would have written, and nothing else."""

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import cbor
from tests.schemas.strategies import cbor_values

# Every tag of which the library would build something: dates, bignums, regular expressions, cyclic lists.
TAGS_WITH_MEANING = (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)

NOT_DETERMINISTIC = {
    "an integer longer than need be": "1801",
    "a length longer than need be": "580161",
    "an array of indefinite length": "9f01ff",
    "a byte string of indefinite length": "5f4161ff",
    "a map of indefinite length": "bf0102ff",
    "a map out of order": "a202010101",
    "a map with a key twice": "a201010102",
    "a float longer than need be": "fb3ff0000000000000",
    "an item followed by another": "0101",
}
NOT_AN_ITEM = {
    "nothing": "",
    "half an item": "18",
    "a break alone": "ff",
    "a reserved length": "1c",
    "text that is not UTF-8": "61ff",
    "a map with a list as key": "a1810102",
    "a map with a float as key": "a1f93c0002",
    "a map with a boolean as key": "a1f502",
    "arrays nested too deep": "81" * 5000 + "01",
    "an array said to be larger than memory": "9bffffffffffffffff",
}


def refused_by(data: bytes) -> list[str]:
    found = []
    for decoder in (cbor.decode, cbor.decode_item):
        try:
            decoder(data)
        except cbor.EncodingRefused:
            found.append(decoder.__name__)
    return found


@given(cbor_values)
@settings(max_examples=150, deadline=None)
def test_every_value_of_the_protocol_decodes_to_itself(value: object) -> None:
    assert cbor.decode(cbor.encode(value)) == value
    assert cbor.decode_item(cbor.encode(value)) == value


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_whatever_decodes_encodes_to_the_same_bytes(data: bytes) -> None:
    try:
        value = cbor.decode(data)
    except cbor.EncodingRefused:
        return
    assert cbor.encode(value) == data


@pytest.mark.parametrize("data", NOT_DETERMINISTIC.values(), ids=NOT_DETERMINISTIC)
def test_a_second_way_of_writing_is_refused(data: str) -> None:
    assert "decode" in refused_by(bytes.fromhex(data))


@pytest.mark.parametrize("data", NOT_AN_ITEM.values(), ids=NOT_AN_ITEM)
def test_what_is_no_item_of_the_protocol_is_refused_by_both_decoders(data: str) -> None:
    assert refused_by(bytes.fromhex(data)) == ["decode", "decode_item"]


@pytest.mark.parametrize("tag", TAGS_WITH_MEANING)
@pytest.mark.parametrize("inner", [0, 2**30, b"\x01", "2001-01-01", "a+", [1, 2], b"\x00" * 16, {1: 2}], ids=repr)
def test_a_tag_never_chooses_what_is_built(tag: int, inner: object) -> None:
    assert refused_by(cbor2.dumps(cbor2.CBORTag(tag, inner))) == ["decode", "decode_item"]


def test_tags_that_mean_nothing_to_the_library_stay_tags() -> None:
    found = cbor.decode(bytes.fromhex("d28101"))
    assert isinstance(found, cbor2.CBORTag)
    assert (found.tag, list(found.value)) == (18, [1])


def test_a_single_item_may_be_written_in_another_way_but_nothing_may_follow_it() -> None:
    assert cbor.decode_item(bytes.fromhex("1801")) == 1
    with pytest.raises(cbor.EncodingRefused, match="follow"):
        cbor.decode_item(bytes.fromhex("0101"))


def test_maps_are_written_shortest_key_first() -> None:
    assert cbor.encode({"bb": 1, "a": 2, 9: 3}).hex() == "a30903616102626262" + "01"


@pytest.mark.parametrize("item", ["a0", "80", "f6", "d280", "4100", "1818", "9fff"])
def test_more_items_than_any_message_has_are_refused_before_they_are_built(item: str) -> None:
    many = bytes.fromhex("9a00010000" + 0x10000 * item)
    for decoder in (cbor.decode, cbor.decode_item):
        with pytest.raises(cbor.EncodingRefused, match="more than 12000"):
            decoder(many)


@given(cbor_values)
@settings(max_examples=100, deadline=None)
def test_a_limit_counts_every_item_and_key(value: object) -> None:
    data = cbor.encode(value)
    assert cbor.decode(data, _items(value)) == value
    with pytest.raises(cbor.EncodingRefused, match="more than"):
        cbor.decode(data, _items(value) - 1)


def _items(value: object) -> int:
    match value:
        case dict():
            return 1 + sum(1 + _items(item) for item in value.values())
        case list():
            return 1 + sum(map(_items, value))
        case _:
            return 1
