"""Writes the test vectors of this folder: `python -m tests.vectors.generate` at the root of the repository.

Everything follows from the seeds of `fixed.py`, except what is random by its nature: HPKE wraps, ECDSA and
ML-DSA signatures. Those are kept from the files that exist as long as they still fit, so that writing the
vectors again changes nothing. README.md says what each field is.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import cbor2

from crypto import cose
from crypto.envelope import CONTENT_TYPE, assemble, digest_of, wrap_info
from crypto.errors import DecryptionFailed, SignatureInvalid
from crypto.keys import EncryptionKey, SignatureAlgorithm, SigningKey
from schemas import cbor
from schemas.codes import Agency, Handling, Priority
from schemas.header import Attachment, Header, Suite
from tests.vectors.fixed import CREATED, ENCRYPTION, HOUR, SIGNERS, Document, identifier, material, readable
from tests.vectors.ledger import acknowledgements, merkle_trees, receipts, rosters
from tests.vectors.proofs import proofs
from tests.vectors.witness import witness

FOLDER: Final = Path(__file__).parent


def keys(_: Document) -> Document:
    """`keys.json`."""
    return {
        "signing": [
            {
                "node": node,
                "algorithm": key.public.algorithm.name,
                "private": key.private_bytes().hex(),
                "public": key.public.public_bytes().hex(),
                "key_id": key.public.key_id.hex(),
            }
            for node, key in SIGNERS.items()
        ],
        "encryption": [
            {
                "node": node,
                "seed": key.seed.hex(),
                "public": key.public.public_bytes().hex(),
                "key_id": key.public.key_id.hex(),
            }
            for node, key in ENCRYPTION.items()
        ],
    }


def _header(number: int, plaintext: bytes, sender: str, recipients: tuple[str, ...], **changes: Any) -> Header:
    algorithm = SIGNERS[sender].public.algorithm
    suite: Suite = "SECI1-EdDSA" if algorithm is SignatureAlgorithm.EDDSA else "SECI1-ES256"
    fields: Document = {
        "id": identifier(number),
        "thread": identifier(number),
        "sender": sender,
        "agency": Agency.POLICE,
        "task_force": "drugs",
        "recipients": recipients,
        "kind": "alert",
        "kind_version": 1,
        "priority": Priority.NORMAL,
        "handling": Handling.H0,
        "created": CREATED,
        "expires": CREATED + 24 * HOUR,
    }
    digest = hashlib.sha256(plaintext).digest()
    return Header(**fields | changes, suite=suite, digest=digest, size=len(plaintext))


def _vector(name: str, header: Header, nonce: bytes, body: bytes, before: Document) -> Document:
    header_bytes = header.to_bytes()
    content_key, iv = material(f"{name}: content key"), material(f"{name}: iv", 12)
    kept = {entry["node"]: bytes.fromhex(entry["wrapped"]) for entry in before.get("recipients", ())}
    recipients = []
    for node in header.recipients:
        key = ENCRYPTION[node]
        info = wrap_info(header_bytes, node, key.public.key_id)
        wrapped = _kept_wrap(kept.get(node, b""), key, info, content_key)
        recipients.append(
            {
                "node": node,
                "encryption_seed": key.seed.hex(),
                "key_id": key.public.key_id.hex(),
                "info": info.hex(),
                "wrapped": (wrapped or key.public.wrap(content_key, info)).hex(),
            }
        )
    wraps = [bytes.fromhex(entry["wrapped"]) for entry in recipients]
    key_ids = [ENCRYPTION[node].public.key_id for node in header.recipients]
    signer = SIGNERS[header.sender]
    envelope = assemble(header_bytes, nonce + body, content_key, iv, key_ids, wraps, signer)
    signed = cose.parse_sign1(envelope, CONTENT_TYPE)
    if signer.public.algorithm is SignatureAlgorithm.ES256:
        envelope = _kept_signature(bytes.fromhex(before.get("envelope", "")), signed, signer) or envelope
    protected = cbor.encode({cose.ALG: 3})
    return {
        "name": name,
        "signing_private": signer.private_bytes().hex(),
        "header": readable(header.model_dump(exclude_none=True)),
        "header_bytes": header_bytes.hex(),
        "nonce": nonce.hex(),
        "body": body.hex(),
        "content_key": content_key.hex(),
        "iv": iv.hex(),
        "content_aad": cbor.encode(["Encrypt", protected, header_bytes]).hex(),
        "recipients": recipients,
        "protected": signed.protected.hex(),
        "payload": signed.payload.hex(),
        "envelope": envelope.hex(),
        "envelope_digest": digest_of(envelope).hex(),
    }


def _kept_wrap(wrapped: bytes, key: EncryptionKey, info: bytes, content_key: bytes) -> bytes | None:
    try:
        return wrapped if key.unwrap(wrapped, info) == content_key else None
    except DecryptionFailed:
        return None


def _kept_signature(before: bytes, signed: cose.Signed, signer: SigningKey) -> bytes | None:
    if not before:
        return None
    old = cose.parse_sign1(before, CONTENT_TYPE)
    try:
        old.verify(signer.public)
    except SignatureInvalid:
        return None
    return before if (old.protected, old.payload) == (signed.protected, signed.payload) else None


def envelopes(before: Document) -> Document:
    """`envelope.json`."""
    one, two, three = (material(f"nonce {number}") for number in (1, 2, 3))
    alert = b'{"title":"New route","text":"Trucks by way of Giurgiu."}'
    reply = b'{"result":"no_hit","text":"Nothing known."}'
    full = _header(
        2,
        two + reply,
        "ro",
        ("bg", "hu", "seci"),
        thread=identifier(1),
        in_reply_to=identifier(1),
        agency=Agency.CUSTOMS,
        kind="reply",
        operation="Containment 2003",
        priority=Priority.URGENT,
        handling=Handling.H3,
        reply_by=CREATED + HOUR,
        attachments=(Attachment(digest=material("attachment"), size=123_456),),
    )
    made: list[tuple[str, Header, bytes, bytes]] = [
        ("one recipient", _header(1, one + alert, "ro", ("bg",)), one, alert),
        ("every field, three recipients", full, two, reply),
        ("P-256 signer, empty body", _header(3, three, "tr", ("bg",)), three, b""),
    ]
    old = {vector["name"]: vector for vector in before.get("vectors", ())}
    return {"vectors": [_vector(name, header, nonce, body, old.get(name, {})) for name, header, nonce, body in made]}


def refused(_: Document) -> Document:
    """`refused.json`: envelopes that must not verify, made from the first of `envelope.json`."""
    source = json.loads((FOLDER / "envelope.json").read_text())["vectors"][0]
    envelope = bytes.fromhex(source["envelope"])
    header_bytes, encrypt = cbor.decode(bytes.fromhex(source["payload"]))
    fields = cbor.decode(header_bytes)
    parts = list(encrypt.value)

    def signed(header: bytes = header_bytes, **changes: Any) -> bytes:
        places = {"protected": 0, "unprotected": 1, "content": 2, "recipients": 3}
        inner = list(parts)
        for name, value in changes.items():
            inner[places[name]] = value
        tagged = cbor2.CBORTag(cose.TAG_ENCRYPT, inner)
        return cose.sign1(cbor.encode([header, tagged]), CONTENT_TYPE, SIGNERS["ro"])

    ((recipient_protected, ek, wrapped),) = parts[3]
    kid = cbor.decode(recipient_protected)[cose.KID]
    cases = [
        ("last bit of the signature altered", "signature_invalid", envelope[:-1] + bytes([envelope[-1] ^ 1])),
        ("a byte after the envelope", "envelope_malformed", envelope + b"\x00"),
        ("not tagged", "envelope_malformed", envelope[1:]),
        ("protocol version 2", "version_unsupported", signed(cbor.encode({**fields, "v": 2}))),
        ("suite of another signature", "algorithm_refused", signed(cbor.encode({**fields, "suite": "SECI1-ES256"}))),
        ("unknown field in the header", "header_malformed", signed(cbor.encode({**fields, "colour": "red"}))),
        ("null for an absent field", "header_malformed", signed(cbor.encode({**fields, "operation": None}))),
        ("AES-128-GCM for the content", "algorithm_refused", signed(protected=cbor.encode({1: 1}))),
        ("IV under a float key", "envelope_malformed", signed(unprotected={5.0: bytes(12)})),
        (
            "another key encryption",
            "algorithm_refused",
            signed(recipients=[[cbor.encode({1: -25, 4: kid}), ek, wrapped]]),
        ),
        ("wrapped key too short", "envelope_malformed", signed(recipients=[[recipient_protected, ek, wrapped[:32]]])),
        ("no wrapped key", "recipients_mismatch", signed(recipients=[])),
        ("content too short", "size_mismatch", signed(content=parts[2][1:])),
    ]
    return {"vectors": [{"name": name, "code": code, "envelope": data.hex()} for name, code, data in cases]}


FILES: Final[dict[str, Callable[[Document], Document]]] = {
    "keys.json": keys,
    "envelope.json": envelopes,
    "refused.json": refused,
    "roster.json": rosters,
    "acknowledgement.json": acknowledgements,
    "receipts.json": receipts,
    "merkle/trees.json": merkle_trees,
    "proofs.json": proofs,
    "witness.json": witness,
}


def read(name: str) -> Document:
    """A file of vectors as it stands; empty if there is none."""
    path = FOLDER / name
    found: Document = json.loads(path.read_text()) if path.exists() else {}
    return found


def write(name: str) -> str:
    """The text of a file of vectors, made anew."""
    return json.dumps(FILES[name](read(name)), indent=1, ensure_ascii=True) + "\n"


def main() -> None:
    """Writes all files."""
    for name in FILES:
        path = FOLDER / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(write(name))
        print(path.relative_to(FOLDER), path.stat().st_size)


if __name__ == "__main__":
    main()
