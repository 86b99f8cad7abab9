"""The exit codes that the documents promise are those that the programs end with."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from hub.errors import HubError
from nodes.errors import NodeError

DOCS: Final = Path(__file__).parents[2] / "docs"
# Raised in the agent alone; who types gets it from the agent's API, as a refusal.
IN_THE_AGENT: Final = frozenset({"id_reused"})


def _errors(root: type[HubError] | type[NodeError]) -> Iterator[tuple[str, int]]:
    for error in root.__subclasses__():
        yield error.code, error.exit_code
        yield from _errors(error)


def _promised(page: str) -> Iterator[tuple[str, int]]:
    """In the one table of all codes; in other pages where a table has an error's code with the exit code behind it."""
    for row in re.findall(r"^\| (.+) \|$", page, flags=re.M):
        if listed := re.match(r"(\d) \|", row):
            yield from ((code, int(listed[1])) for code in re.findall(r"`(\w+)`", row.split(" | ")[-1]))
        for codes, number in re.findall(r"((?:`\w+`, )*`\w+`) \((\d)\)", row):
            yield from ((code, int(number)) for code in re.findall(r"`(\w+)`", codes))


@pytest.mark.parametrize("name", ["exit-codes.md", "node.md", "operations.md"])
def test_what_a_document_promises_is_what_the_program_ends_with(name: str) -> None:
    known = {*_errors(HubError), *_errors(NodeError)}
    codes = {code for code, _ in known} - IN_THE_AGENT
    promised = {pair for pair in _promised((DOCS / name).read_text()) if pair[0] in codes}
    assert len(promised) > 10
    assert promised - known == set()
