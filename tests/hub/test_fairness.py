"""The division of a batch between nodes, and the allowance of each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.fairness import Allowance, place_of, share

READY = st.dictionaries(st.sampled_from(["al", "bg", "ro", "tr", "hr"]), st.integers(0, 400))


def test_a_flood_leaves_the_others_their_place() -> None:
    assert share({"hr": 400, "ro": 1, "bg": 2}, 50, 50, turn=0) == {"hr": 47, "ro": 1, "bg": 2}
    assert share({"hr": 400, "ro": 400}, 100, 100, turn=0) == {"hr": 50, "ro": 50}
    assert share({"hr": 400, "ro": 400}, 200, 50, turn=0) == {"hr": 50, "ro": 50}


def test_who_comes_first_changes_from_turn_to_turn() -> None:
    ready = {"bg": 5, "hr": 5, "ro": 5}
    first = [next(iter(share(ready, 1, 1, turn))) for turn in range(6)]
    assert first == ["bg", "hr", "ro", "bg", "hr", "ro"]


@given(READY, st.integers(1, 300), st.integers(1, 300), st.integers(0, 9))
def test_all_that_fits_is_given_and_nobody_gets_more_than_asked(
    ready: dict[str, int], total: int, each: int, turn: int
) -> None:
    got = share(ready, total, each, turn)
    assert all(0 < count <= min(ready[node], each) for node, count in got.items())
    assert sum(got.values()) == min(total, sum(min(count, each) for count in ready.values()))


@given(READY, st.integers(1, 300), st.integers(0, 9))
def test_nobody_gets_less_while_another_gets_more(ready: dict[str, int], total: int, turn: int) -> None:
    got = share(ready, total, total, turn)
    for node, count in ready.items():
        if got.get(node, 0) < count:
            assert max(got.values(), default=0) <= got.get(node, 0) + 1


def test_an_allowance_is_used_up_and_grows_again() -> None:
    allowance = Allowance(rate=10.0, burst=100)
    assert allowance.grant(400, now=5.0) == 100
    allowance.spend(100, now=5.0)
    assert allowance.grant(400, now=5.0) == 0
    assert allowance.grant(400, now=6.5) == 15
    allowance.spend(15, now=6.5)
    assert allowance.grant(400, now=6.5) == 0
    assert allowance.grant(400, now=1000.0) == 100


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.1", "192.0.2.1"),
        # What a socket for IPv6 calls who comes by IPv4.
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.2", "192.0.2.2"),
        ("2001:db8::1:2", "2001:db8::/64"),
        ("2001:db8::ffff:ffff:3", "2001:db8::/64"),
        ("", ""),
    ],
)
def test_one_caller_is_an_address_of_ipv4_or_a_network_of_ipv6(address: str, place: str) -> None:
    assert place_of(address) == place
