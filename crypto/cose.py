"""COSE_Sign1 and COSE_Encrypt (RFC 9052), the parts of them that this protocol uses and no more.

Structures are strict: deterministic CBOR, exactly the header parameters named here, no
unprotected ones where they could be altered unseen. What is verified is the bytes as they came.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import cbor2

from crypto.errors import AlgorithmRefused, EnvelopeMalformed
from crypto.keys import SignatureAlgorithm, SigningKey, VerifyKey
from schemas import cbor

TAG_SIGN1: Final = 18
TAG_ENCRYPT: Final = 96
ALG: Final = 1
CONTENT_TYPE: Final = 3
KID: Final = 4
IV: Final = 5
EK: Final = -4
MAX_PROTECTED: Final = 256
# Tag, array and its four parts are 6; room for what is refused with a reason of its own.
_ITEMS: Final = 50


@dataclass(frozen=True, slots=True)
class Signed:
    """A parsed COSE_Sign1, not yet verified. `kid` is 16 bytes."""

    protected: bytes
    payload: bytes
    signature: bytes
    algorithm: SignatureAlgorithm
    kid: bytes

    def verify(self, key: VerifyKey) -> None:
        """Raises SignatureInvalid, or AlgorithmRefused if the key is of another algorithm than stated."""
        if key.algorithm != self.algorithm:
            raise AlgorithmRefused("the signature's algorithm is not that of the signer's key")
        key.verify(self.signature, _to_be_signed(self.protected, self.payload))


def _to_be_signed(protected: bytes, payload: bytes) -> bytes:
    return cbor.encode(["Signature1", protected, b"", payload])


def sign1(payload: bytes, content_type: str, key: SigningKey) -> bytes:
    """A tagged COSE_Sign1 over `payload`. The content type keeps one kind of document from passing for another."""
    protected = cbor.encode({ALG: int(key.public.algorithm), CONTENT_TYPE: content_type, KID: key.public.key_id})
    signature = key.sign(_to_be_signed(protected, payload))
    return cbor.encode(cbor2.CBORTag(TAG_SIGN1, [protected, {}, payload, signature]))


def parse_sign1(data: bytes, content_type: str) -> Signed:
    """The COSE_Sign1 in `data`, of the content type wanted. Raises EnvelopeMalformed, AlgorithmRefused."""
    fields = strict(data, "COSE_Sign1", _ITEMS)
    if not isinstance(fields, cbor2.CBORTag) or fields.tag != TAG_SIGN1:
        raise EnvelopeMalformed("not a tagged COSE_Sign1 (RFC 9052 section 4.2)")
    match fields.value:
        case [bytes(protected), {**unprotected}, bytes(payload), bytes(signature)] if not unprotected:
            pass
        case _:
            raise EnvelopeMalformed("a COSE_Sign1 has four parts, of which the unprotected header is empty")
    if len(protected) > MAX_PROTECTED:
        raise EnvelopeMalformed(f"a protected header has at most {MAX_PROTECTED} bytes")
    number, stated, kid = _read_protected(protected)
    if stated != content_type:
        raise EnvelopeMalformed(f"a document of type {stated[:60]!r} where {content_type!r} is wanted")
    try:
        algorithm = SignatureAlgorithm(number)
    except ValueError as error:
        raise AlgorithmRefused(f"signature algorithm {number} is not on the list of this protocol") from error
    return Signed(protected, payload, signature, algorithm, kid)


@lru_cache(maxsize=1024)
def _read_protected(protected: bytes) -> tuple[int, str, bytes]:
    # A key's messages all have the same protected header. What is malformed raises, and is not kept.
    match strict(protected, "protected header"):
        case {1: int(number), 3: str(stated), 4: bytes(kid), **rest} if not rest and len(kid) == 16:
            return number, stated, kid
        case _:
            raise EnvelopeMalformed("the protected header holds alg, content type and a 16-byte kid, no more")


def strict(data: bytes, what: str, most_items: int = cbor.MOST_ITEMS) -> Any:
    """One deterministic CBOR item. Raises EnvelopeMalformed."""
    try:
        return cbor.decode(data, most_items)
    except cbor.EncodingRefused as error:
        raise EnvelopeMalformed(f"{what}: {error}") from error
