"""What all programs say of an error that is not ours, and of what strangers wrote."""

from collections.abc import Callable
from typing import Any

import pytest

from crypto.typed import why
from hub import shell as of_hub
from nodes import shell as of_node


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


@pytest.mark.parametrize("speak", [of_hub.answer, of_node.answer])
def test_what_strangers_wrote_does_not_steer_the_terminal(
    speak: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    speak({}, False, "admit hu: ok\x1b[2K\u202e\r\nЖ ő")
    assert capsys.readouterr().out == "admit hu: ok\\x1b[2K\\u202e\\r\nЖ ő\n"
