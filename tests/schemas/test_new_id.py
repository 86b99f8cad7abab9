"""Identifiers are UUIDs of version 7 (RFC 9562): time first, then chance."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.header import new_id


@given(st.integers(0, 2**48 - 1))
def test_an_id_is_of_version_7_and_holds_its_time(millis: int) -> None:
    found = new_id(millis)
    assert found.version == 7
    assert found.variant == "specified in RFC 4122"
    assert found.int >> 80 == millis


def test_an_id_without_a_time_holds_the_present() -> None:
    before = time.time_ns() // 1_000_000
    assert before <= new_id().int >> 80 <= time.time_ns() // 1_000_000


def test_ids_of_later_milliseconds_sort_later() -> None:
    ids = [new_id(millis) for millis in range(1_700_000_000_000, 1_700_000_000_200)]
    assert ids == sorted(ids)


def test_ids_of_one_millisecond_differ_in_all_74_free_bits() -> None:
    ids = [new_id(5).int for _ in range(500)]
    assert len(set(ids)) == 500
    seen_one = seen_zero = 0
    for value in ids:
        seen_one |= value
        seen_zero |= ~value
    free = (1 << 80) - 1 & ~(0xF << 76) & ~(0x3 << 62)
    assert free.bit_count() == 74
    assert seen_one & seen_zero & ((1 << 128) - 1) == free


@pytest.mark.parametrize("millis", [2**48, 2**60])
def test_a_time_past_the_year_10889_does_not_spill_into_other_bits(millis: int) -> None:
    assert new_id(millis).int >> 80 == millis & (2**48 - 1)
