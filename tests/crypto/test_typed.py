"""What all programs say of an error that is not ours."""

import pytest

from crypto.typed import why


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connect call failed"), "[Errno 111] Connect call failed"),
        (TimeoutError(), "no answer in time"),
        (EOFError(), "it broke off"),
    ],
)
def test_an_error_is_told_in_words_even_if_it_has_none(error: Exception, words: str) -> None:
    assert why(error) == words
