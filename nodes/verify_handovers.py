"""The handovers of an exported ledger: which key signed when, and each one against its entry. Part of `seci-verify`."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from crypto.errors import CryptoError, LedgerFault, LedgerUnproven, NoteInvalid
from crypto.export import HANDOVERS, handover_file, handover_of
from crypto.handover import MAX_HANDOVER, detail_of, open_handover
from crypto.history import HandoverEntry, Part
from crypto.hubkeys import MOST_HANDOVERS
from crypto.note import Checkpoint, Note
from schemas.control import ControlRefused
from schemas.handover import Handover


@dataclass
class Handovers:
    """What the folder has of them, in order: the signed documents, and what they say."""

    documents: tuple[bytes, ...]
    found: tuple[Handover, ...]
    _entries: list[HandoverEntry] = field(default_factory=list)

    @property
    def sizes(self) -> list[int]:
        """Those of the trees of which they name the root."""
        return [item.size for item in self.found]

    def take(self, part: Part) -> None:
        """Takes in the entries of a file."""
        self._entries += part.handovers

    def finish(self, roots: Mapping[int, bytes]) -> None:
        """Holds each against its entry, and the tree before it. Raises LedgerUnproven."""
        named = {item.index: item for item in self._entries}
        for document, said in zip(self.documents, self.found, strict=True):
            entry = named.pop(said.size, None)
            if entry is None or (entry.digest, entry.detail) != (hashlib.sha256(document).digest(), detail_of(said)):
                raise _wrong(said.size, "is not the one that its entry names")
            if roots.get(said.size) != said.root:
                raise _wrong(said.size, "names another tree than that of the entries before it")
        if named:
            raise _wrong(min(named), "is missing")


def read_handovers(folder: Path, newest: str) -> Handovers:
    """Those of an export that ends with that checkpoint, which is not verified yet. Raises LedgerUnproven, OSError."""
    try:
        size = Checkpoint.parse(Note.parse(newest).text).size
    except NoteInvalid:
        # It is told of where the checkpoint is verified.
        return Handovers((), ())
    place = folder / HANDOVERS
    names = [file.name for file in place.iterdir()] if place.is_dir() else []
    # What an interrupted export has left is beyond its checkpoint.
    indices = sorted(index for name in names if (index := handover_of(name)) is not None and index < size)
    if len(indices) > MOST_HANDOVERS:
        raise _wrong(indices[MOST_HANDOVERS], "is one too many")
    documents = [(index, _read(folder / handover_file(index))) for index in indices]
    return Handovers(tuple(data for _, data in documents), tuple(_opened(index, data) for index, data in documents))


def _opened(index: int, data: bytes) -> Handover:
    try:
        found = open_handover(data)
    except (CryptoError, ControlRefused) as error:
        raise _wrong(index, f"does not hold: {error}") from error
    if found.size != index:
        raise _wrong(index, "is of another place")
    return found


def _read(path: Path) -> bytes:
    with path.open("rb") as opened:
        return opened.read(MAX_HANDOVER + 1)


def _wrong(index: int, words: str) -> LedgerUnproven:
    text = f"the handover of entry {index} {words}"
    return LedgerUnproven(LedgerFault.HANDOVER_WRONG, text, file=handover_file(index), index=index)
