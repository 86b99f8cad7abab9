"""A JSON text that two parsers may read in two ways is refused, however it is written."""

import json

import pytest

from schemas.names import NameRepeated, once, refuse_repeated

REPEATED = [
    '{"a": 1, "a": 1}',
    '{"a": 1, "b": 2, "\\u0061": 3}',
    '{"x": [{"y": {"a": 1, "a": null}}]}',
    '[{"": 0, "": 1}]',
    '{"\\ud83d\\ude94": 1, "\N{ONCOMING POLICE CAR}": 2}',
]
ALONE = [
    "{}",
    "[]",
    "7",
    '{"a": {"a": {"a": 1}}, "A": 2}',
    '[{"a": 1}, {"a": 2}]',
    '{"n": 1e400, "m": %s}' % ("9" * 5000),
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-le"])
@pytest.mark.parametrize("text", REPEATED)
def test_a_name_twice_in_one_object_is_refused(text: str, encoding: str) -> None:
    with pytest.raises(NameRepeated, match="more than once"):
        refuse_repeated(text.encode(encoding))
    with pytest.raises(NameRepeated):
        json.loads(text, object_pairs_hook=once)


@pytest.mark.parametrize("text", ALONE)
def test_a_name_in_several_objects_is_not(text: str) -> None:
    refuse_repeated(text.encode())


def test_an_object_is_read_as_ever() -> None:
    text = '{"a": {"b": [1, 2.5, null]}, "c": "d"}'
    assert json.loads(text, object_pairs_hook=once) == json.loads(text)


def test_what_a_stranger_wrote_is_told_short_and_in_ascii() -> None:
    name = "\N{RIGHT-TO-LEFT OVERRIDE}" + "n" * 1000
    with pytest.raises(NameRepeated) as refused:
        refuse_repeated(json.dumps({"x": 1})[:-1].encode() + f', "{name}": 1, "{name}": 2}}'.encode())
    assert str(refused.value).isascii()
    assert len(str(refused.value)) < 120
