"""Every parser of what comes from outside."""

from pathlib import Path

from tests.fuzz.agent import agent
from tests.fuzz.exports import exports
from tests.fuzz.joining import joining
from tests.fuzz.proofs import proofs
from tests.fuzz.target import Target
from tests.fuzz.timestamps import timestamps
from tests.fuzz.wire import wire


def targets(folder: Path) -> tuple[Target, ...]:
    """All of them; `folder` is an empty one, for nodes' files."""
    return (*wire(), *proofs(), *joining(folder), *agent(folder), *timestamps(folder), *exports())
