"""What a file is that was given to `seci-verify` in place of evidence, and what to type for it."""

from dataclasses import dataclass
from typing import Final

from crypto.errors import NoteInvalid
from crypto.note import Checkpoint, Note
from crypto.proof import HEADER as PROOF

# The first byte of any DER sequence, and how its length follows in all that are longer than 127 bytes.
_DER: Final = (b"\x30\x81", b"\x30\x82", b"\x30\x83")


@dataclass(frozen=True, slots=True)
class Other:
    """What it is, and what to do with it."""

    what: str
    next_step: str


def other_kind(data: bytes) -> Other | None:
    """Of a file that is something else than evidence and is known; else None."""
    if data.startswith(_DER):
        what = "DER, as a TSA's answer is, and no evidence"
        return Other(what, "name the checkpoint that it is of, with --timestamp THIS_FILE --tsa-roots ROOTS")
    text = data.decode(errors="replace")
    if text.startswith(f"{PROOF}\n"):
        step = "name what `seci-node receipt` wrote: it has the proofs in it, and whose they are"
        return Other("one proof of an entry (C2SP tlog-proof), and no evidence", step)
    try:
        checkpoint = Checkpoint.parse(Note.parse(text).text)
    except NoteInvalid:
        return None
    what = f"a checkpoint, over {checkpoint.size} entries of the log {checkpoint.origin[:100]}, and no evidence"
    step = "add --timestamp FILE --tsa-roots ROOTS to see when it existed"
    return Other(what, f"{step}; or name the folder of an export, and this file with --known")
