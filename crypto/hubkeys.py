"""The hub's signing keys, each of its time: one takes the place of another by a handover (crypto/handover.py).

    old key: trees up to `size` + 1, rosters up to `roster` | new key: trees from `size` + 1 on, rosters behind `roster`

Whoever knows one of the keys goes from it to the others: forwards by the word of the older key, backwards by that of
the younger. What a key signs outside its time counts for nothing: a thief of the old one can sign no more than what
everybody has. The one tree that both sign is that with the handover's own entry.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from crypto.errors import HandoverForked, HubKeyForeign, NoteInvalid
from crypto.keys import VerifyKey
from crypto.note import Checkpoint, Note, NoteVerifier
from schemas.handover import Handover

# So many times a key may have been replaced, in what strangers wrote.
MOST_HANDOVERS: Final = 100


@dataclass(frozen=True, slots=True)
class Term:
    """A key and its time: trees of `first` to `last` entries, rosters of versions behind `after` up to `until`."""

    key: NoteVerifier
    first: int = 0
    last: int | None = None
    after: int = 0
    until: int | None = None

    def has_tree(self, size: int) -> bool:
        """Whether a tree of that size is of this key's time."""
        return self.first <= size and (self.last is None or size <= self.last)

    def has_roster(self, version: int) -> bool:
        """Whether a roster of that version is of this key's time."""
        return self.after < version and (self.until is None or version <= self.until)


@dataclass(frozen=True, slots=True)
class HubKeys:
    """All keys of a log that are known, the one of today last."""

    terms: tuple[Term, ...]

    @classmethod
    def of(cls, known: NoteVerifier, handovers: Iterable[Handover] = ()) -> Self:
        """From one key and handovers of its log, in any order; those that lead nowhere are passed over.

        Raises HandoverForked if two are by one key, or to one.
        """
        ours = list({item.to_bytes(): item for item in handovers if item.origin == known.name}.values())
        by_old, by_new = {item.old: item for item in ours}, {item.new: item for item in ours}
        if not len(by_old) == len(by_new) == len(ours):
            raise HandoverForked("the hub's key has handed over twice: keep both handovers, one is a thief's")
        chain: list[Handover] = []
        seen = {known.key.public_bytes()}
        while (step := by_old.get(chain[-1].new if chain else known.key.public_bytes())) and step.new not in seen:
            seen.add(step.new)
            chain.append(step)
        while (step := by_new.get(chain[0].old if chain else known.key.public_bytes())) and step.old not in seen:
            seen.add(step.old)
            chain.insert(0, step)
        return cls(_terms(known, chain))

    @property
    def origin(self) -> str:
        """The log's name."""
        return self.terms[-1].key.name

    @property
    def newest(self) -> NoteVerifier:
        """The key of today."""
        return self.terms[-1].key

    @property
    def first(self) -> NoteVerifier:
        """The oldest key that is known."""
        return self.terms[0].key

    @property
    def boundaries(self) -> tuple[int, ...]:
        """The sizes of the trees that two keys have signed, in order."""
        return tuple(term.last for term in self.terms if term.last is not None)

    def at(self, size: int) -> tuple[NoteVerifier, ...]:
        """The keys whose time a tree of that size is of, the newer first."""
        return tuple(term.key for term in reversed(self.terms) if term.has_tree(size))


# Who has no handover to know of may give the one key.
LedgerKeys = NoteVerifier | HubKeys


def _terms(known: NoteVerifier, chain: Sequence[Handover]) -> tuple[Term, ...]:
    if not chain:
        return (Term(known),)
    terms, first, after = [], 0, 0
    for step in chain:
        terms.append(Term(_verifier(known.name, step.old), first, step.size + 1, after, step.roster))
        first, after = step.size + 1, step.roster
    return (*terms, Term(_verifier(known.name, chain[-1].new), first, None, after, None))


def _verifier(origin: str, public: bytes) -> NoteVerifier:
    return NoteVerifier(origin, VerifyKey.from_public_bytes(public))


def signer_of(note: Note, keys: LedgerKeys) -> NoteVerifier:
    """Of the log's keys, the one of this checkpoint's time that says to have signed it; the signature is not verified.

    Raises HubKeyForeign if only another key under the log's name does, NoteInvalid if none does.
    """
    size = Checkpoint.parse(note.text).size
    candidates = (keys,) if isinstance(keys, NoteVerifier) else keys.at(size)
    found = next((key for key in candidates if note.is_signed_by(key)), None)
    if found is not None:
        return found
    name = candidates[0].name if candidates else ""
    if any(signature.name == name for signature in note.signatures):
        raise HubKeyForeign("a checkpoint of the ledger is signed with a key that is not the hub's, or not any more")
    raise NoteInvalid(f"the note is not signed by {name}")


def open_checkpoint(note: str, keys: LedgerKeys) -> Checkpoint:
    """The checkpoint of a note that the hub has signed, with the key of its time. Raises NoteInvalid, HubKeyForeign."""
    parsed = Note.parse(note)
    parsed.check(signer_of(parsed, keys))
    return Checkpoint.parse(parsed.text)
