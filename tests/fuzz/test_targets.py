"""A short run over every parser; `make fuzz` is the long one."""

from random import Random

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.fuzz.bounds import MOST_BYTES, TooSlow, bounded_memory, bounded_time
from tests.fuzz.target import Target
from tests.fuzz.targets import targets


@pytest.fixture(scope="module")
def every_target(tmp_path_factory: pytest.TempPathFactory) -> tuple[Target, ...]:
    return targets(tmp_path_factory.mktemp("fuzz"))


def test_what_a_target_begins_with_is_valid(every_target: tuple[Target, ...]) -> None:
    # Else all that follows would be refused at the door.
    for target in every_target:
        for seed in target.seeds:
            target.parse(seed)


def test_an_input_that_costs_too_much_is_found_out() -> None:
    with pytest.raises(TooSlow), bounded_time():
        while True:
            pass
    with pytest.raises(MemoryError), bounded_memory():
        bytearray(2 * MOST_BYTES)


def test_hostile_bytes_are_refused_with_an_error_that_is_documented(every_target: tuple[Target, ...]) -> None:
    for target in every_target:
        with bounded_memory():
            _try(target)


def _try(target: Target) -> None:
    @given(st.randoms(use_true_random=False))
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    def run(random: Random) -> None:
        data = random.choice(target.mutations)(random.choice(target.seeds), random)
        note(f"{target.name}: {data.hex()}")
        with bounded_time():
            try:
                target.parse(data)
            except target.refusals:
                return

    run()
