"""Whom a verifier trusts: the file format C2SP tlog-policy, and whether a checkpoint meets a policy.

A policy lists logs and witnesses by their keys, groups of witnesses, and the quorum: the witness or
group that must have cosigned. In one point we ask for more than the format does: where it lists keys of
both types for one log, one of each must have signed, so that a checkpoint holds as long as Ed25519 or
ML-DSA-44 does. Of several keys of one type, as there are while a log renews its key, one will do.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Self

from crypto.canonical import decimal
from crypto.cosignature import CosignatureType, CosignerKey, time_of
from crypto.errors import NoteInvalid, NotWitnessed, PolicyInvalid
from crypto.note import Checkpoint, Note, NoteVerifier

MAX_POLICY_SIZE: Final = 1 << 20
NONE: Final = "none"
_BLANK: Final = re.compile(r"[ \t]+")
_CONTROL: Final = re.compile(rb"[^\t\n\x20-\x7e\x80-\xff]")

LogKey = NoteVerifier | CosignerKey
# A log's CosignerKey is of no other kind: see `log_key`.
_ALGORITHMS: Final[dict[type, str]] = {NoteVerifier: "Ed25519", CosignerKey: "ML-DSA-44"}


@dataclass(frozen=True, slots=True)
class Log:
    """A key of a log; its name is the log's origin."""

    key: LogKey
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness by its name in this policy."""

    name: str
    key: CosignerKey
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Has witnessed what `threshold` of its members (witnesses or groups) have."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """As a file says it; make one with `from_bytes` or `of`, which check it. `quorum` is a name or `none`."""

    logs: tuple[Log, ...]
    witnesses: tuple[Witness, ...]
    groups: tuple[Group, ...]
    quorum: str

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """A policy file. Raises PolicyInvalid, which names the line."""
        if len(data) > MAX_POLICY_SIZE:
            raise PolicyInvalid(f"a policy has at most {MAX_POLICY_SIZE} bytes")
        draft = _Draft()
        for number, line in enumerate(data.split(b"\n"), 1):
            try:
                draft.take(line)
            except (PolicyInvalid, NoteInvalid) as error:
                raise PolicyInvalid(f"line {number} of the policy: {error}") from error
        if draft.quorum is None:
            raise PolicyInvalid("the policy has no line `quorum`; write `quorum none` to ask for no witness")
        return cls(tuple(draft.logs), tuple(draft.witnesses), tuple(draft.groups), draft.quorum)

    @classmethod
    def of(cls, logs: Iterable[LogKey], witnesses: Sequence[CosignerKey], quorum: int) -> Self:
        """Any `quorum` of the witnesses, each under its key's name; 0 asks for none. Raises PolicyInvalid."""
        group = "witnesses"
        lines = [f"log {key.vkey()}" for key in logs] + [f"witness {key.name} {key.vkey()}" for key in witnesses]
        if quorum:
            lines.append(f"group {group} {quorum} {' '.join(key.name for key in witnesses)}")
        lines.append(f"quorum {group if quorum else NONE}")
        return cls.from_bytes("".join(f"{line}\n" for line in lines).encode())

    def to_bytes(self) -> bytes:
        """The file, without comments."""
        lines = [
            *(("log", log.key.vkey(), log.url) for log in self.logs),
            *(("witness", witness.name, witness.key.vkey(), witness.url) for witness in self.witnesses),
            *(("group", group.name, str(group.threshold), *group.members) for group in self.groups),
            ("quorum", self.quorum),
        ]
        text = "".join(" ".join(item for item in line if item) + "\n" for line in lines)
        return text.encode(errors="surrogateescape")

    def unwitnessed(self) -> Self:
        """The same without a quorum: the log's word alone will do."""
        return replace(self, quorum=NONE)

    def is_met_by(self, names: Iterable[str]) -> bool:
        """Whether these witnesses together make the quorum."""
        met = {NONE, *names}
        # In a file's order: members come before the groups they are in.
        for group in self.groups:
            if sum(member in met for member in group.members) >= group.threshold:
                met.add(group.name)
        return self.quorum in met


@dataclass
class _Draft:
    # What the lines so far have defined.
    logs: list[Log] = field(default_factory=list)
    witnesses: list[Witness] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    quorum: str | None = None
    names: set[str] = field(default_factory=set)
    grouped: set[str] = field(default_factory=set)
    keys: set[tuple[str, bytes]] = field(default_factory=set)

    def take(self, line: bytes) -> None:
        if _CONTROL.search(line):
            raise PolicyInvalid("control characters other than tab and newline are not allowed")
        # Names are octets, whatever they mean: what is not UTF-8 stays distinct.
        text = line.decode(errors="surrogateescape").strip(" \t")
        if not text or text.startswith("#"):
            return
        match _BLANK.split(text):
            case ["log", vkey, *url] if len(url) < 2:
                log = Log(log_key(vkey), *url)
                self._see("log", log.key)
                self.logs.append(log)
            case ["witness", name, vkey, *url] if len(url) < 2:
                witness = Witness(name, CosignerKey.parse(vkey), *url)
                self._define(name)
                self._see("witness", witness.key)
                self.witnesses.append(witness)
            case ["group", name, threshold, *members] if members:
                self._group(name, threshold, tuple(members))
            case ["quorum", name]:
                self._quorum(name)
            case [word, *_]:
                raise PolicyInvalid(f"{word[:20]!a} with these words is not a line of a policy")

    def _define(self, name: str) -> None:
        if name == NONE or name in self.names:
            raise PolicyInvalid(f"the name {name!a} is taken")
        self.names.add(name)

    def _see(self, kind: str, key: LogKey) -> None:
        seen = kind, key.key.public_bytes()
        if seen in self.keys:
            raise PolicyInvalid(f"the key is that of another {kind}")
        self.keys.add(seen)

    def _group(self, name: str, threshold: str, members: tuple[str, ...]) -> None:
        for member in members:
            if member not in self.names:
                raise PolicyInvalid(f"{member!a} is not defined above")
            if member in self.grouped:
                raise PolicyInvalid(f"{member!a} is a member already")
            self.grouped.add(member)
        needed = {"all": len(members), "any": 1}.get(threshold, decimal(threshold))
        if needed is None or not 1 <= needed <= len(members):
            raise PolicyInvalid(f"the group's threshold is all, any, or 1 to {len(members)}")
        self._define(name)
        self.groups.append(Group(name, needed, members))

    def _quorum(self, name: str) -> None:
        if self.quorum is not None:
            raise PolicyInvalid("there is one quorum")
        if name != NONE and name not in self.names:
            raise PolicyInvalid(f"{name!a} is not defined above")
        self.quorum = name


def log_key(vkey: str) -> LogKey:
    """The key of a log, of either type. Raises NoteInvalid, PolicyInvalid."""
    try:
        return NoteVerifier.parse(vkey)
    except NoteInvalid:
        key = CosignerKey.parse(vkey)
    if key.type is not CosignatureType.MLDSA44:
        raise PolicyInvalid("a log's key is Ed25519 (type 1) or ML-DSA-44 (type 6)")
    return key


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A checkpoint that its log has signed, who has cosigned it and when (seconds), and whether that is a quorum.

    `algorithms` are those of the log's keys in the policy.
    """

    checkpoint: Checkpoint
    witnesses: tuple[tuple[str, int], ...]
    quorum: bool
    algorithms: tuple[str, ...]


def read_checkpoint(note: str, policy: Policy) -> Cosigned:
    """What a checkpoint is worth under a policy, with or without a quorum.

    Raises NoteInvalid if it is malformed, of a log that the policy does not list, not signed by a key of
    each type that the policy lists for that log, or has a wrong signature of a key that the policy lists.
    """
    parsed = Note.parse(note)
    checkpoint = Checkpoint.parse(parsed.text)
    keys = [log.key for log in policy.logs if log.key.name == checkpoint.origin]
    _check_log(parsed, keys)
    found = tuple(
        (witness.name, time_of(parsed.check(witness.key).value))
        for witness in policy.witnesses
        if parsed.is_signed_by(witness.key)
    )
    algorithms = tuple(sorted({_ALGORITHMS[type(key)] for key in keys}))
    return Cosigned(checkpoint, found, policy.is_met_by(name for name, _ in found), algorithms)


def _check_log(note: Note, keys: Sequence[LogKey]) -> None:
    signed = {type(key) for key in keys if note.is_signed_by(key)}
    if not keys or signed != {type(key) for key in keys}:
        raise NoteInvalid("the checkpoint is not signed by a log that the policy lists, with each type of its keys")
    for key in keys:
        if note.is_signed_by(key):
            note.check(key)


def witnessed(note: str, policy: Policy) -> Cosigned:
    """As `read_checkpoint`, of a checkpoint that the policy's quorum has cosigned. Raises NotWitnessed too."""
    found = read_checkpoint(note, policy)
    if not found.quorum:
        names = ", ".join(name for name, _ in found.witnesses) or "none"
        raise NotWitnessed(f"the quorum {policy.quorum!a} has not cosigned the checkpoint; valid cosignatures: {names}")
    return found
