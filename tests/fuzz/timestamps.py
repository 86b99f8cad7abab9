"""What a TSA answers, and the order in which it puts certificates."""

from pathlib import Path

from crypto.der import with_sorted_certificates
from crypto.errors import TimestampInvalid
from crypto.timestamp import ask, read_roots, verify_timestamp
from tests.crypto.tsa import Tsa
from tests.fuzz.target import OF_TEXT, Target


def timestamps(folder: Path) -> tuple[Target, ...]:
    """Answers with one certificate and with two."""
    data = b"a checkpoint"
    return tuple(
        _target(Tsa.create(folder / name, intermediate=intermediate), data)
        for name, intermediate in (("one", False), ("two", True))
    )


def _target(tsa: Tsa, data: bytes) -> Target:
    roots = read_roots(tsa.roots.read_bytes())

    def judged(response: bytes) -> object:
        assert len(with_sorted_certificates(response)) == len(response)
        return verify_timestamp(response, data, roots)

    response = tsa.reply(ask(data).request)
    return Target(f"timestamp, {tsa.folder.name}", (response,), OF_TEXT, judged, (TimestampInvalid,))
