"""The pages of the customer's document (`seed.txt`), where it lies beside the repository."""

import re
from functools import cache
from pathlib import Path

import pytest

SEED = Path(__file__).parents[2].parent / "shared" / "seed.txt"
needs_seed = pytest.mark.skipif(not SEED.exists(), reason="the customer's document is not beside the repository")


@cache
def page(number: int) -> str:
    """The text of one page, in one line, bullets kept."""
    text = SEED.read_text()
    begin = re.search(rf"^{number}$", text, re.MULTILINE)
    assert begin is not None
    end = re.search(rf"^{number + 1}$", text[begin.end() :], re.MULTILINE)
    body = text[begin.end() :][: end.start()] if end is not None else text[begin.end() :]
    return " ".join(body.split())


def bullets(number: int) -> list[str]:
    """The bulleted lines of one page."""
    return [item.strip() for item in page(number).split("\N{BULLET}")[1:]]
