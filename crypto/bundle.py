"""Evidence bundles as files: JSON that holds all it takes to show a third party what became of one message.

What is in it: the envelope (or only its digest), the ledger entries about it, each in a proof that stands alone, the
recipients' signed acknowledgements, the signed rosters that say whose the signatures are and, if its owner wants to
show it, the content. A recipient's bundle names the recipient, and has its own answer only. Here it is taken apart;
what it proves, `evidence` says. Format: docs/protocol.md, "Evidence".
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from crypto.canonical import exact_base64
from crypto.envelope import digest_of
from crypto.errors import EvidenceMalformed, ProofMalformed
from crypto.proof import LogProof
from schemas.header import NONCE_SIZE
from schemas.participants import NODE_ID

FORMAT: Final = "seci.exchange/evidence@v1"
SUFFIX: Final = ".evidence.json"
# The largest envelope and 64 of the largest acknowledgements, in base64, and as much again for rosters.
MAX_EVIDENCE: Final = 40 * 1024 * 1024
_MOST: Final = 200
_FIELDS: Final = frozenset(
    ("format", "recipient", "envelope", "digest", "proofs", "acknowledgements", "rosters", "content", "handovers")
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A bundle taken apart; nothing in it is verified.

    `stated` is the envelope's digest where the envelope itself is left out, else None. `content` is nonce and body.
    `recipient` is the node whose side is shown, if it is a recipient's: it has no proof of the hub's decision.
    `handovers` lead from the hub's key of one time to that of another, where it has been replaced.
    """

    proofs: tuple[LogProof, ...]
    envelope: bytes | None = None
    stated: bytes | None = None
    acknowledgements: tuple[bytes, ...] = ()
    rosters: tuple[bytes, ...] = ()
    content: bytes | None = None
    recipient: str | None = None
    handovers: tuple[bytes, ...] = ()

    @property
    def digest(self) -> bytes:
        """SHA-256 of the envelope. 32 bytes."""
        return digest_of(self.envelope) if self.envelope is not None else self.stated or b""

    def to_bytes(self) -> bytes:
        """The bundle as a JSON file."""
        fields: dict[str, Any] = {"format": FORMAT}
        if self.recipient is not None:
            fields["recipient"] = self.recipient
        if self.envelope is not None:
            fields["envelope"] = _text(self.envelope)
        else:
            fields["digest"] = _text(self.digest)
        fields["proofs"] = [str(proof) for proof in self.proofs]
        fields["acknowledgements"] = [_text(item) for item in self.acknowledgements]
        fields["rosters"] = [_text(item) for item in self.rosters]
        if self.handovers:
            fields["handovers"] = [_text(item) for item in self.handovers]
        if self.content is not None:
            fields["content"] = {
                "nonce": _text(self.content[:NONCE_SIZE]),
                "body": _text(self.content[NONCE_SIZE:]),
            }
        return json.dumps(fields, indent=1, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """What `to_bytes` wrote. Raises EvidenceMalformed, which names the field."""
        fields = _object(data)
        unknown = fields.keys() - _FIELDS
        if fields.get("format") != FORMAT:
            raise EvidenceMalformed(f"format: an evidence bundle says {FORMAT!r} here")
        if unknown:
            raise EvidenceMalformed(f"{min(unknown)[:60]!r}: a bundle has no such field")
        if ("envelope" in fields) == ("digest" in fields):
            raise EvidenceMalformed("envelope: a bundle has either the envelope or its digest")
        stated = _bytes(fields["digest"], "digest") if "digest" in fields else None
        if stated is not None and len(stated) != hashlib.sha256().digest_size:
            raise EvidenceMalformed("digest: the envelope's SHA-256 has 32 bytes")
        return cls(
            proofs=tuple(_proof(item) for item in _list(fields, "proofs")),
            envelope=_bytes(fields["envelope"], "envelope") if "envelope" in fields else None,
            stated=stated,
            acknowledgements=tuple(_bytes(item, "acknowledgements") for item in _list(fields, "acknowledgements")),
            rosters=tuple(_bytes(item, "rosters") for item in _list(fields, "rosters")),
            content=_content(fields["content"]) if "content" in fields else None,
            recipient=_node(fields["recipient"]) if "recipient" in fields else None,
            handovers=tuple(_bytes(item, "handovers") for item in _list(fields, "handovers"))
            if "handovers" in fields
            else (),
        )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Readers differ in which of two fields of one name they take: a bundle must say the same to all.
    found = dict(pairs)
    if len(found) != len(pairs):
        raise EvidenceMalformed("a field stands there twice")
    return found


def _object(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_EVIDENCE:
        raise EvidenceMalformed(f"a bundle has at most {MAX_EVIDENCE} bytes")
    try:
        found = json.loads(data.decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise EvidenceMalformed("the bundle is not JSON in UTF-8") from error
    if not isinstance(found, dict):
        raise EvidenceMalformed("a bundle is one JSON object")
    return found


def _list(fields: Mapping[str, Any], name: str) -> list[Any]:
    found = fields.get(name)
    if not isinstance(found, list) or len(found) > _MOST:
        raise EvidenceMalformed(f"{name}: a list of at most {_MOST} is wanted")
    return found


def _bytes(value: Any, name: str) -> bytes:
    found = exact_base64(value) if isinstance(value, str) else None
    if found is None:
        raise EvidenceMalformed(f"{name}: base64 is wanted")
    return found


def _proof(value: Any) -> LogProof:
    try:
        return LogProof.parse(value if isinstance(value, str) else "")
    except ProofMalformed as error:
        raise EvidenceMalformed(f"proofs: {error}") from error


def _node(value: Any) -> str:
    if isinstance(value, str) and NODE_ID.fullmatch(value):
        return value
    raise EvidenceMalformed("recipient: the id of a node is wanted")


def _content(value: Any) -> bytes:
    match value:
        case {"nonce": nonce, "body": body, **rest} if not rest:
            found = _bytes(nonce, "content.nonce")
            if len(found) == NONCE_SIZE:
                return found + _bytes(body, "content.body")
    raise EvidenceMalformed(f"content: a nonce of {NONCE_SIZE} bytes and a body are wanted, no more")
