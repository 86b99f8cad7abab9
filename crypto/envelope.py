"""The envelope: seal at the sender, verify at the hub (which cannot open), open at a recipient.

    COSE_Sign1 by the sender, over  [ header, COSE_Encrypt ]
    COSE_Encrypt: AES-256-GCM under a fresh key; that key wrapped with HPKE for each recipient.

The header's bytes are the additional data of the cipher and go into each HPKE `info`, so a
content cannot be moved under another header nor a wrapped key to another recipient. The wire
format is specified byte for byte in docs/protocol.md.

Advice: call `open_envelope` only on what `verify` returned. Nothing in an envelope may be
believed before its signature is checked, except which key claims to have made it.
"""

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crypto import cose
from crypto.errors import (
    AlgorithmRefused,
    DecryptionFailed,
    DigestMismatch,
    EnvelopeMalformed,
    HeaderMalformed,
    NotAddressed,
    RecipientsMismatch,
    SizeMismatch,
    TooLarge,
    VersionUnsupported,
)
from crypto.keys import WRAP_ENC_SIZE, EncryptionKey, EncryptionPublicKey, SignatureAlgorithm, SigningKey, VerifyKey
from schemas import cbor
from schemas.header import MAX_BODY, NONCE_SIZE, PROTOCOL_VERSION, Header, HeaderRefused, Routing, Suite

CONTENT_TYPE: Final = "application/vnd.seci.envelope+cbor"
AES_256_GCM: Final = 3
# Private use (RFC 9052 section 16.4): HPKE with MLKEM768-X25519, HKDF-SHA256, AES-256-GCM, as key encryption.
HPKE_HYBRID: Final = -65601
CONTENT_KEY_SIZE: Final = 32
IV_SIZE: Final = 12
TAG_SIZE: Final = 16
MAX_ENVELOPE: Final = MAX_BODY + 256 * 1024
# 64 wrapped keys make 394; room for some too many, which are refused as such.
_PAYLOAD_ITEMS: Final = 1_000
_SUITE_OF: Final[dict[SignatureAlgorithm, Suite]] = {
    SignatureAlgorithm.EDDSA: "SECI1-EdDSA",
    SignatureAlgorithm.ES256: "SECI1-ES256",
}

_CONTENT_PROTECTED: Final = cbor.encode({cose.ALG: AES_256_GCM})

SignerLookup = Callable[[Header, bytes], VerifyKey]
"""From a header and a key id to the sender's key; raises what is to be said when there is none."""


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """The content key as wrapped for one recipient; `kid` (16 bytes) names the recipient's key."""

    kid: bytes
    protected: bytes
    enc: bytes
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class Verified:
    """An envelope whose signature and structure hold. Still closed. `digest` is SHA-256 of all its bytes."""

    header: Header
    header_bytes: bytes
    signer: bytes
    recipient_keys: tuple[WrappedKey, ...]
    protected: bytes
    iv: bytes
    ciphertext: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class Opened:
    """A message's content; `nonce` (32 bytes) is what proves to a third party that `body` was said.

    `content_key` (32 bytes) opens the same envelope again: see `reopen`.
    """

    header: Header
    nonce: bytes
    body: bytes
    content_key: bytes = field(repr=False)


def digest_of(envelope: bytes) -> bytes:
    """SHA-256 of an envelope's bytes, by which receipts and acknowledgements name it. 32 bytes."""
    return hashlib.sha256(envelope).digest()


def seal(
    routing: Routing,
    body: bytes,
    recipients: Mapping[str, EncryptionPublicKey],
    signer: SigningKey,
    nonce: bytes | None = None,
) -> tuple[Header, bytes]:
    """The header and envelope of `body` (at most 1 MiB), signed, closed to the routing's recipients.

    A sender who wants to prove later what it said gives the `nonce`: 32 random bytes, drawn anew for each message.

    Raises RecipientsMismatch unless `recipients` holds the keys of exactly the routing's
    recipients, SizeMismatch for a body that is too large or a nonce of another size.
    """
    if set(recipients) != set(routing.recipients):
        raise RecipientsMismatch("keys must be given for exactly the header's recipients")
    if len(body) > MAX_BODY:
        raise SizeMismatch(f"the body has {len(body)} bytes; the limit inline is {MAX_BODY} (1 MiB)")
    nonce = secrets.token_bytes(NONCE_SIZE) if nonce is None else nonce
    if len(nonce) != NONCE_SIZE:
        raise SizeMismatch(f"a nonce has {NONCE_SIZE} bytes")
    plaintext = nonce + body
    header = _header_of(routing, plaintext, signer.public.algorithm)
    header_bytes = header.to_bytes()
    content_key = secrets.token_bytes(CONTENT_KEY_SIZE)
    wrapped = [
        recipients[node].wrap(content_key, wrap_info(header_bytes, node, recipients[node].key_id))
        for node in routing.recipients
    ]
    key_ids = [recipients[node].key_id for node in routing.recipients]
    iv = secrets.token_bytes(IV_SIZE)
    return header, assemble(header_bytes, plaintext, content_key, iv, key_ids, wrapped, signer)


def assemble(
    header_bytes: bytes,
    plaintext: bytes,
    content_key: bytes,
    iv: bytes,
    key_ids: list[bytes],
    wrapped: list[bytes],
    signer: SigningKey,
) -> bytes:
    """The envelope of given parts: `seal` without its randomness. For test vectors; senders call `seal`."""
    protected = _CONTENT_PROTECTED
    ciphertext = AESGCM(content_key).encrypt(iv, plaintext, _content_aad(protected, header_bytes))
    recipients = [
        [_recipient_protected(kid), {cose.EK: bytes(wrap[:-48])}, bytes(wrap[-48:])]
        for kid, wrap in zip(key_ids, wrapped, strict=True)
    ]
    encrypt = cbor2.CBORTag(cose.TAG_ENCRYPT, [protected, {cose.IV: iv}, ciphertext, recipients])
    return cose.sign1(cbor.encode([header_bytes, encrypt]), CONTENT_TYPE, signer)


def verify(envelope: bytes, signer_of: SignerLookup) -> Verified:
    """The envelope's parts, once its signature by the key that `signer_of` returns is checked.

    Raises EnvelopeMalformed, TooLarge, HeaderMalformed, VersionUnsupported, AlgorithmRefused,
    SignatureInvalid, RecipientsMismatch, SizeMismatch, and whatever `signer_of` raises.
    Whether the sender may say this to these recipients is policy, not checked here.
    """
    signed, header_bytes, encrypt = _parse(envelope)
    header = _read_header(header_bytes)
    if header.suite != _SUITE_OF[signed.algorithm]:
        raise AlgorithmRefused("the header's suite is not that of the signature")
    signed.verify(signer_of(header, signed.kid))
    protected, iv, ciphertext, recipient_keys = _parse_encrypt(encrypt)
    if len(recipient_keys) != len(header.recipients):
        raise RecipientsMismatch(
            f"{len(recipient_keys)} wrapped keys for {len(header.recipients)} recipients; there must be one each"
        )
    if len(ciphertext) != header.size + TAG_SIZE:
        raise SizeMismatch("the content does not have the size that the header states")
    return Verified(header, header_bytes, signed.kid, recipient_keys, protected, iv, ciphertext, digest_of(envelope))


def claimed_id(envelope: bytes) -> tuple[UUID, str] | None:
    """Id and sender that an envelope claims, unverified; None if there are none. For refusals and logs only."""
    try:
        header = _read_header(_parse(envelope)[1])
    except (EnvelopeMalformed, TooLarge, HeaderMalformed, VersionUnsupported, AlgorithmRefused):
        return None
    return header.id, header.sender


def open_envelope(verified: Verified, node: str, keys: tuple[EncryptionKey, ...]) -> Opened:
    """The content, opened with whichever of this node's keys it was closed to.

    Raises NotAddressed, DecryptionFailed, DigestMismatch.
    """
    if node not in verified.header.recipients:
        raise NotAddressed(f"the message is not addressed to {node}")
    wrapped = verified.recipient_keys[verified.header.recipients.index(node)]
    key = next((key for key in keys if key.public.key_id == wrapped.kid), None)
    if key is None:
        raise NotAddressed(f"the message was closed to a key that {node} does not have (any more)")
    info = wrap_info(verified.header_bytes, node, wrapped.kid)
    content_key = key.unwrap(wrapped.enc + wrapped.ciphertext, info)
    aad = _content_aad(verified.protected, verified.header_bytes)
    plaintext = _decrypt(content_key, verified.iv, verified.ciphertext, aad)
    if hashlib.sha256(plaintext).digest() != verified.header.digest:
        raise DigestMismatch("the content is not what the header's digest states")
    return Opened(verified.header, plaintext[:NONCE_SIZE], plaintext[NONCE_SIZE:], content_key)


def reopen(envelope: bytes, content_key: bytes) -> bytes:
    """Nonce and body of an envelope that was verified and opened before, whatever became of the node's own key.

    Raises EnvelopeMalformed, DecryptionFailed.
    """
    _, header_bytes, encrypt = _parse(envelope)
    protected, iv, ciphertext, _ = _parse_encrypt(encrypt)
    return _decrypt(content_key, iv, ciphertext, _content_aad(protected, header_bytes))


def _decrypt(content_key: bytes, iv: bytes, ciphertext: bytes, aad: bytes) -> bytes:
    try:
        return AESGCM(content_key).decrypt(iv, ciphertext, aad)
    except (InvalidTag, ValueError) as error:
        raise DecryptionFailed("the content does not open under its content key") from error


def wrap_info(header_bytes: bytes, node: str, kid: bytes) -> bytes:
    """The HPKE `info` of one recipient: the protocol's label, the header, the recipient and its key."""
    return cbor.encode(["SECI1 content key", header_bytes, node, _recipient_protected(kid)])


def _recipient_protected(kid: bytes) -> bytes:
    return cbor.encode({cose.ALG: HPKE_HYBRID, cose.KID: kid})


def _content_aad(protected: bytes, header_bytes: bytes) -> bytes:
    return cbor.encode(["Encrypt", protected, header_bytes])


def _header_of(routing: Routing, plaintext: bytes, algorithm: SignatureAlgorithm) -> Header:
    fields: dict[str, Any] = dict(routing)
    digest = hashlib.sha256(plaintext).digest()
    return Header(**fields, suite=_SUITE_OF[algorithm], digest=digest, size=len(plaintext))


def _parse(envelope: bytes) -> tuple[cose.Signed, bytes, Any]:
    if len(envelope) > MAX_ENVELOPE:
        raise TooLarge(f"an envelope has at most {MAX_ENVELOPE} bytes; this one has {len(envelope)}")
    signed = cose.parse_sign1(envelope, CONTENT_TYPE)
    match cose.strict(signed.payload, "payload", _PAYLOAD_ITEMS):
        case [bytes(header_bytes), cbor2.CBORTag() as encrypt]:
            return signed, header_bytes, encrypt
        case _:
            raise EnvelopeMalformed("the payload must be [header, COSE_Encrypt]")


def _read_header(data: bytes) -> Header:
    try:
        return Header.from_bytes(data)
    except HeaderRefused as error:
        if error.field == "v":
            raise VersionUnsupported(f"this program speaks protocol version {PROTOCOL_VERSION} only") from error
        if error.field == "suite":
            raise AlgorithmRefused("the header's suite is not on the list of this protocol version") from error
        raise HeaderMalformed(str(error)) from error


def _parse_encrypt(encrypt: Any) -> tuple[bytes, bytes, bytes, tuple[WrappedKey, ...]]:
    match encrypt.tag, encrypt.value:
        case (96, [bytes(protected), {5: bytes(iv), **rest}, bytes(ciphertext), [*recipients]]) if not rest:
            pass
        case _:
            raise EnvelopeMalformed("not a tagged COSE_Encrypt of this protocol (RFC 9052 section 5.1)")
    if protected != _CONTENT_PROTECTED:
        raise AlgorithmRefused("the content must be encrypted with AES-256-GCM and nothing else")
    if len(iv) != IV_SIZE:
        raise EnvelopeMalformed(f"the IV must have {IV_SIZE} bytes")
    return protected, iv, ciphertext, tuple(_parse_recipient(item) for item in recipients)


def _parse_recipient(item: Any) -> WrappedKey:
    match item:
        case [bytes(protected), {-4: bytes(enc), **rest}, bytes(ciphertext)] if not rest:
            pass
        case _:
            raise EnvelopeMalformed("a recipient must be [protected, {ek}, wrapped key]")
    if len(protected) > cose.MAX_PROTECTED:
        raise EnvelopeMalformed(f"a protected header has at most {cose.MAX_PROTECTED} bytes")
    kid = _read_recipient_protected(protected)
    if (len(enc), len(ciphertext)) != (WRAP_ENC_SIZE, CONTENT_KEY_SIZE + TAG_SIZE):
        raise EnvelopeMalformed("a wrapped key has 1120 bytes of ek and 48 of ciphertext")
    return WrappedKey(kid, protected, enc, ciphertext)


@lru_cache(maxsize=1024)
def _read_recipient_protected(protected: bytes) -> bytes:
    # The same for all messages to one key. What is malformed raises, and is not kept.
    match cose.strict(protected, "recipient"):
        case {1: int(algorithm), 4: bytes(kid), **rest} if not rest and len(kid) == 16:
            pass
        case _:
            raise EnvelopeMalformed("a recipient's protected header holds alg and a 16-byte kid, no more")
    if algorithm != HPKE_HYBRID:
        raise AlgorithmRefused(f"key encryption algorithm {algorithm} is not on the list of this protocol")
    return kid
