"""What a witness sees to before it cosigns a log's checkpoint (C2SP tlog-witness), and the text that asks it.

The text is that of `add-checkpoint`, whatever carries it. Of a log a witness keeps the checkpoint that it cosigned
last. It must store the new one where it found the old one, in one transaction, before the cosignature goes out.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from crypto import merkle
from crypto.canonical import decimal, exact_base64
from crypto.cosignature import CosignerKey
from crypto.errors import LogForked, NoteInvalid, OldSizeWrong, ProofInvalid, ProofMalformed
from crypto.merkle import EMPTY_ROOT, HASH_SIZE
from crypto.note import Checkpoint, NoteVerifier
from crypto.policy import Policy, read_checkpoint

MAX_HASHES: Final = 63


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A request: a checkpoint, and the proof (hashes of 32 bytes) that its tree begins with that of `old` leaves."""

    old: int
    hashes: tuple[bytes, ...]
    checkpoint: str

    def __str__(self) -> str:
        lines = [f"old {self.old}", *(base64.b64encode(item).decode() for item in self.hashes)]
        return "".join(f"{line}\n" for line in lines) + f"\n{self.checkpoint}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """What `str` wrote. Raises ProofMalformed."""
        head, separator, checkpoint = text.partition("\n\n")
        first, *lines = head.split("\n")
        old = decimal(first.removeprefix("old ")) if first.startswith("old ") else None
        if old is None or not separator:
            raise ProofMalformed("a request begins with `old` and a size, and an empty line is before the checkpoint")
        hashes = [exact_base64(line) for line in lines[: MAX_HASHES + 1]]
        found = tuple(item for item in hashes if item is not None and len(item) == HASH_SIZE)
        if len(found) != len(lines) or len(found) > MAX_HASHES:
            raise ProofMalformed(f"a request has at most {MAX_HASHES} hashes, a line of base64 each")
        return cls(old, found, checkpoint)


def majority(log: NoteVerifier, witnesses: Sequence[CosignerKey]) -> Policy:
    """More than half of the witnesses must have cosigned, so that any two quorums have a witness in common.

    Without any witness, none is asked for.
    """
    return Policy.of([log], witnesses, len(witnesses) // 2 + 1 if witnesses else 0)


def follow(request: AddCheckpoint, seen: Checkpoint | None, policy: Policy) -> Checkpoint:
    """The request's checkpoint, to be stored and cosigned: it continues `seen`, the last one of this log (None: none).

    Raises NoteInvalid for a checkpoint of another log than `seen`, or that its log has not signed as the policy asks,
    OldSizeWrong if the proof is from another size, LogForked for another root of a size that was cosigned, and
    ProofInvalid.
    """
    new = read_checkpoint(request.checkpoint, policy.unwitnessed()).checkpoint
    # With several logs in a policy, one must not be accused of a fork by what another has signed.
    if seen and seen.origin != new.origin:
        raise NoteInvalid(f"the checkpoint is of log {new.origin!r}, and the one seen last of {seen.origin!r}")
    size = seen.size if seen else 0
    if request.old != size:
        raise OldSizeWrong(size)
    if new.size == size and new.root != (seen.root if seen else EMPTY_ROOT):
        raise LogForked(f"{new.origin} has signed two roots for its first {size} leaves; keep both and alarm")
    if seen is None or size == 0:
        if request.hashes:
            raise ProofInvalid("from the empty tree there is nothing to prove")
        return new
    merkle.verify_consistency(size, new.size, request.hashes, seen.root, new.root)
    return new
