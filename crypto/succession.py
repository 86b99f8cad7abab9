"""A policy's keys of a log, and what handovers make of them: each checkpoint is judged by the keys of its time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Self

from crypto.hubkeys import HubKeys
from crypto.note import Checkpoint, Note, NoteVerifier
from crypto.policy import Log, LogKey, Policy
from schemas.handover import Handover


@dataclass(frozen=True)
class Succession:
    """A policy, and of each log that it lists the Ed25519 keys with all that they lead to.

    Without handovers it is the policy alone. With one, a key that the policy lists is good for its time only.
    """

    policy: Policy
    _keys: Mapping[str, tuple[HubKeys, ...]]

    @classmethod
    def of(cls, policy: Policy, handovers: Iterable[Handover]) -> Self:
        """Raises HandoverForked."""
        known, keys = tuple(handovers), dict[str, tuple[HubKeys, ...]]()
        for log in policy.logs:
            if isinstance(log.key, NoteVerifier):
                found = HubKeys.of(log.key, known)
                keys[found.origin] = (*keys.get(found.origin, ()), found)
        return cls(policy, keys)

    def hub_keys(self, origin: str) -> tuple[HubKeys, ...]:
        """What the policy's Ed25519 keys of that log lead to: with these the hub signs rosters, too."""
        return self._keys.get(origin, ())

    def at(self, origin: str, size: int) -> tuple[LogKey, ...]:
        """The keys of a log, of either type, that a tree of that size may be signed with."""
        others = [log.key for log in self.policy.logs if log.key.name == origin and not _is_first(log)]
        return (*dict.fromkeys(key for keys in self.hub_keys(origin) for key in keys.at(size)), *others)

    def policy_for(self, note: str) -> Policy:
        """The policy for that checkpoint. Raises NoteInvalid."""
        checkpoint = Checkpoint.parse(Note.parse(note).text)
        origin = checkpoint.origin
        if not self.hub_keys(origin):
            return self.policy
        elsewhere = tuple(log for log in self.policy.logs if log.key.name != origin)
        return replace(self.policy, logs=(*elsewhere, *map(Log, self.at(origin, checkpoint.size))))


def _is_first(log: Log) -> bool:
    return isinstance(log.key, NoteVerifier)
