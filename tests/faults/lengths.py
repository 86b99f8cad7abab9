"""A fault's two lengths: seconds for every run of the tests, and the full one that `make faults` adds."""

import pytest


def lengths(quick: float, full: float) -> pytest.MarkDecorator:
    """Parametrises a test by `seconds`."""
    return pytest.mark.parametrize(
        "seconds",
        [
            pytest.param(quick, id=f"{quick:.0f}_s"),
            pytest.param(full, id=f"{full:.0f}_s", marks=pytest.mark.long),
        ],
    )
