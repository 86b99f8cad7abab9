"""Proof that whoever asks to be enrolled holds the keys: the request is signed with the signing key."""

import base64
import hashlib

from crypto.errors import KeyUnusable
from crypto.keys import EncryptionPublicKey, SigningKey, VerifyKey
from schemas import cbor
from schemas.enrolment import EnrolmentRequest


def sign_request(node: str, signing: SigningKey, encryption: EncryptionPublicKey, csr_pem: bytes) -> EnrolmentRequest:
    """A request for `node` with its public keys, signed."""
    signing_key, encryption_key = signing.public.public_bytes(), encryption.public_bytes()
    proof = signing.sign(_signed_bytes(node, signing_key, encryption_key, csr_pem))
    return EnrolmentRequest(
        node=node,
        signing_key=base64.b64encode(signing_key).decode(),
        encryption_key=base64.b64encode(encryption_key).decode(),
        csr_pem=csr_pem.decode(),
        proof=base64.b64encode(proof).decode(),
    )


def verify_request(request: EnrolmentRequest) -> None:
    """Raises SignatureInvalid, KeyUnusable unless the request is signed by its own signing key."""
    try:
        signing_key, encryption_key = base64.b64decode(request.signing_key), base64.b64decode(request.encryption_key)
        proof = base64.b64decode(request.proof)
    except ValueError as error:
        raise KeyUnusable("a key or the proof in the request is not base64") from error
    data = _signed_bytes(request.node, signing_key, encryption_key, request.csr_pem.encode())
    VerifyKey.from_public_bytes(signing_key).verify(proof, data)


def _signed_bytes(node: str, signing_key: bytes, encryption_key: bytes, csr_pem: bytes) -> bytes:
    return cbor.encode(["SECI1 enrolment", node, signing_key, encryption_key, hashlib.sha256(csr_pem).digest()])
