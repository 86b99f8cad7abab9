"""Proof that whoever asks to be enrolled holds the keys: the request is signed with the signing key."""

import base64
import hashlib

from crypto.errors import KeyUnusable
from crypto.keys import EncryptionPublicKey, SigningKey, VerifyKey
from schemas import cbor
from schemas.enrolment import EnrolmentRequest


def sign_request(
    node: str, signing: SigningKey, encryption: EncryptionPublicKey, csr_pem: bytes, witness: VerifyKey | None = None
) -> EnrolmentRequest:
    """A request for `node` with its public keys, signed."""
    signing_key, encryption_key = signing.public.public_bytes(), encryption.public_bytes()
    witness_key = None if witness is None else witness.public_bytes()
    proof = signing.sign(_signed_bytes(node, signing_key, encryption_key, csr_pem, witness_key))
    return EnrolmentRequest(
        node=node,
        signing_key=base64.b64encode(signing_key).decode(),
        encryption_key=base64.b64encode(encryption_key).decode(),
        witness_key=None if witness_key is None else base64.b64encode(witness_key).decode(),
        csr_pem=csr_pem.decode(),
        proof=base64.b64encode(proof).decode(),
    )


def verify_request(request: EnrolmentRequest) -> None:
    """Raises SignatureInvalid, KeyUnusable unless the request is signed by its own signing key."""
    try:
        signing_key, encryption_key = base64.b64decode(request.signing_key), base64.b64decode(request.encryption_key)
        proof = base64.b64decode(request.proof)
        witness_key = None if request.witness_key is None else base64.b64decode(request.witness_key)
    except ValueError as error:
        raise KeyUnusable("a key or the proof in the request is not base64") from error
    data = _signed_bytes(request.node, signing_key, encryption_key, request.csr_pem.encode(), witness_key)
    VerifyKey.from_public_bytes(signing_key).verify(proof, data)


def request_digest(request: EnrolmentRequest) -> bytes:
    """SHA-256 over all that the request says, its proof too, however its base64 is written. Raises KeyUnusable."""
    try:
        signing_key, encryption_key = base64.b64decode(request.signing_key), base64.b64decode(request.encryption_key)
        witness = None if request.witness_key is None else base64.b64decode(request.witness_key)
        proof = base64.b64decode(request.proof)
    except ValueError as error:
        raise KeyUnusable("a key or the proof in the request is not base64") from error
    signed = _signed_bytes(request.node, signing_key, encryption_key, request.csr_pem.encode(), witness)
    return hashlib.sha256(cbor.encode([signed, proof])).digest()


def _signed_bytes(
    node: str, signing_key: bytes, encryption_key: bytes, csr_pem: bytes, witness_key: bytes | None
) -> bytes:
    signed = ["SECI1 enrolment", node, signing_key, encryption_key, hashlib.sha256(csr_pem).digest()]
    return cbor.encode(signed if witness_key is None else [*signed, witness_key])
