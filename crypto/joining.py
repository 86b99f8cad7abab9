"""How a node proves that it holds a token and its keys, and what both sides compare by telephone.

The token's secret is the seed of an Ed25519 key, by HKDF-SHA256 (RFC 5869). The request is signed with it, so that the
token itself is never sent, and nobody on the way can put other keys in the place of the node's. The encryption key,
which cannot sign, is proven by opening what the hub closes to it (RFC 4211 section 4.2, "indirect" and "direct").
"""

import base64
import hashlib
import hmac
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import Encoding

from crypto import certificates
from crypto.enrolment import request_digest
from crypto.errors import CryptoError, DecryptionFailed, SignatureInvalid
from crypto.keys import WRAP_ENC_SIZE, EncryptionKey, EncryptionPublicKey, SigningKey, VerifyKey
from crypto.words import words_of
from schemas import cbor
from schemas.enrolment import EnrolmentRequest, Welcome
from schemas.joining import ID_SIZE, PIN_SIZE, SECRET_SIZE, HubIdentity, JoinRequest, JoinToken

WORDS: Final = 12
CHALLENGE_SIZE: Final = 32
_KEY_SIZE: Final = 32
# A wrapped content key: what HPKE adds to it is `enc` and the tag.
_WRAPPED_SIZE: Final = WRAP_ENC_SIZE + _KEY_SIZE + 16
# Each key is used once: there is no second nonce.
_NONCE: Final = bytes(12)


def new_token(node: str, pin: bytes) -> JoinToken:
    """A fresh one."""
    return JoinToken(node, secrets.token_bytes(ID_SIZE), secrets.token_bytes(SECRET_SIZE), pin)


def token_key(token: JoinToken) -> SigningKey:
    """The key that a node signs its request with; the hub has the public half."""
    info = b"SECI1 join token " + token.node.encode()
    return SigningKey.from_seed(HKDF(hashes.SHA256(), _KEY_SIZE, token.id, info).derive(token.secret))


def pin_of(hub: HubIdentity) -> bytes:
    """By which a node knows its hub: 16 bytes of SHA-256 over its authorities' certificates and its keys.

    Over all certificates: whoever is pinned with one of them is believed with each. Raises CertificateRefused.
    """
    authorities = [found.public_bytes(Encoding.DER) for found in certificates.read_authorities(hub.ca_pem.encode())]
    known = [authorities, hub.hub_key, hub.log_origin, hub.log_vkey, hub.log_vkey_mldsa or ""]
    return hashlib.sha256(cbor.encode(["SECI1 hub", *known])).digest()[:PIN_SIZE]


def identity_in(welcome: Welcome) -> HubIdentity:
    """The hub that a welcome file makes a node believe."""
    return HubIdentity(
        ca_pem=welcome.ca_pem,
        hub_key=welcome.hub_key,
        log_origin=welcome.log_origin,
        log_vkey=welcome.log_vkey,
        log_vkey_mldsa=welcome.log_vkey_mldsa,
    )


def sign_join(token: JoinToken, request: EnrolmentRequest) -> JoinRequest:
    """The request under that invitation."""
    proof = token_key(token).sign(_signed(token.id, token.pin, request))
    return JoinRequest(
        invitation=token.id.hex(), pin=token.pin.hex(), request=request, token_proof=base64.b64encode(proof).decode()
    )


def verify_token(join: JoinRequest, known: VerifyKey) -> None:
    """Raises SignatureInvalid unless the request was signed with the token, whose public key is `known`."""
    try:
        data = _signed(bytes.fromhex(join.invitation), bytes.fromhex(join.pin), join.request)
        proof = base64.b64decode(join.token_proof)
    except (ValueError, CryptoError) as error:
        raise SignatureInvalid("the request's proofs are not base64") from error
    known.verify(proof, data)


def join_words(join: JoinRequest) -> tuple[str, ...]:
    """12 words over all keys in the request, the node's id, the invitation, and the hub's keys.

    By scrypt: who looks for two requests with the same words, to stand between node and hub, needs 2^66 of these,
    some 50 ms and 32 MB each. Raises KeyUnusable.
    """
    data = _signed(bytes.fromhex(join.invitation), bytes.fromhex(join.pin), join.request)
    digest = Scrypt(salt=b"SECI1 join words", length=17, n=2**15, r=8, p=1).derive(data)
    return words_of(digest, WORDS)


def close_challenge(join: JoinRequest, challenge: bytes) -> str:
    """The challenge, base64, for the owner of the request's encryption key. Raises KeyUnusable."""
    return base64.b64encode(_encryption_key(join).wrap(challenge, _info("challenge", join))).decode()


def open_challenge(join: JoinRequest, closed: str, key: EncryptionKey) -> JoinRequest:
    """The request with the opened challenge in it. Raises DecryptionFailed."""
    opened = key.unwrap(base64.b64decode(closed), _info("challenge", join))
    return join.model_copy(update={"opened": base64.b64encode(opened).decode()})


def is_opened(join: JoinRequest, challenge: bytes) -> bool:
    """Whether the request has the hub's challenge in it."""
    return join.opened is not None and hmac.compare_digest(base64.b64decode(join.opened), challenge)


def seal_welcome(join: JoinRequest, welcome: Welcome) -> str:
    """The welcome, base64, for the owner of the request's encryption key: a fresh key wrapped, then AES-256-GCM.

    Raises KeyUnusable.
    """
    key = secrets.token_bytes(_KEY_SIZE)
    wrapped = _encryption_key(join).wrap(key, _info("welcome", join))
    content = welcome.model_dump_json(exclude_none=True).encode()
    return base64.b64encode(wrapped + AESGCM(key).encrypt(_NONCE, content, wrapped)).decode()


def open_welcome(join: JoinRequest, sealed: str, key: EncryptionKey) -> bytes:
    """The welcome file. Raises DecryptionFailed."""
    try:
        data = base64.b64decode(sealed)
        wrapped = data[:_WRAPPED_SIZE]
        content_key = key.unwrap(wrapped, _info("welcome", join))
        return AESGCM(content_key).decrypt(_NONCE, data[_WRAPPED_SIZE:], wrapped)
    except (InvalidTag, ValueError) as error:
        raise DecryptionFailed("the welcome does not open with this node's key") from error


def _encryption_key(join: JoinRequest) -> EncryptionPublicKey:
    return EncryptionPublicKey.from_public_bytes(base64.b64decode(join.request.encryption_key))


def _info(what: str, join: JoinRequest) -> bytes:
    return cbor.encode([f"SECI1 join {what}", join.request.node, join.invitation])


def _signed(invitation: bytes, pin: bytes, request: EnrolmentRequest) -> bytes:
    return cbor.encode(["SECI1 join", invitation, pin, request_digest(request)])
