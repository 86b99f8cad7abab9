"""Another COSE implementation, pycose, takes our signatures, and we take its.

pycose 1.1.0 was written for cbor2 5, whose tags held lists and dicts; since cbor2 6 they hold tuples and frozen
ones, which `Sign1Message.decode` refuses. So the tag is taken off here and its four parts handed over; the
protected header, the Sig_structure and the signature are pycose's own work.
"""

from typing import Any

import cbor2
import pytest
from pycose.algorithms import EdDSA
from pycose.headers import KID, Algorithm, ContentType
from pycose.keys.ec2 import EC2Key
from pycose.keys.okp import OKPKey
from pycose.messages.sign1message import Sign1Message

from crypto import cose
from crypto.envelope import CONTENT_TYPE, seal, verify
from crypto.errors import EnvelopeMalformed
from crypto.keys import SignatureAlgorithm, SigningKey, VerifyKey
from tests.crypto.people import BG, RO, routing, trust
from tests.vectors.generate import read

P256 = SigningKey.from_private_bytes(b"\x02" + bytes(range(1, 33)))
BOTH = pytest.mark.parametrize("signer", [RO.signing, P256], ids=["Ed25519", "P-256"])


def their_key(key: VerifyKey) -> Any:
    raw = key.public_bytes()[1:]
    if key.algorithm is SignatureAlgorithm.EDDSA:
        return OKPKey(crv="ED25519", x=raw)
    return EC2Key(crv="P_256", x=raw[1:33], y=raw[33:])


def their_message(data: bytes) -> Any:
    tag = cbor2.loads(data)
    assert tag.tag == Sign1Message.cbor_tag == 18
    protected, unprotected, payload, signature = tag.value
    return Sign1Message.from_cose_obj([protected, dict(unprotected), payload, signature], False)


@BOTH
def test_pycose_verifies_our_envelope(signer: SigningKey) -> None:
    _, envelope = seal(routing(), b"body", {"bg": BG.encryption.public}, signer)
    message = their_message(envelope)
    message.key = their_key(signer.public)
    assert message.verify_signature()
    assert message.phdr[Algorithm].identifier == int(signer.public.algorithm)
    assert message.phdr[ContentType] == CONTENT_TYPE
    assert message.phdr[KID] == signer.public.key_id
    assert message.uhdr == {}


@BOTH
def test_pycose_refuses_what_we_refuse(signer: SigningKey) -> None:
    signed = cose.sign1(b"payload", "text/plain", signer)
    for altered in (signed.replace(b"payload", b"Payload"), signed.replace(b"plain", b"Plain")):
        message = their_message(altered)
        message.key = their_key(signer.public)
        assert not message.verify_signature()


def test_pycose_verifies_our_vectors() -> None:
    vectors = [*read("envelope.json")["vectors"], read("roster.json"), read("acknowledgement.json")]
    for vector in vectors:
        signer = SigningKey.from_private_bytes(bytes.fromhex(vector["signing_private"]))
        message = their_message(bytes.fromhex(vector.get("envelope") or vector["signed"]))
        message.key = their_key(signer.public)
        assert message.verify_signature()


def made_by_pycose(payload: bytes, content_type: str, **unprotected: Any) -> bytes:
    key = OKPKey(crv="ED25519", x=RO.signing.public.public_bytes()[1:], d=RO.signing.private_bytes()[1:])
    protected = {Algorithm: EdDSA, ContentType: content_type, KID: RO.signing.public.key_id}
    message = Sign1Message(phdr=protected, uhdr=unprotected.get("uhdr"), payload=payload)
    message.key = key
    encoded: bytes = message.encode()
    return encoded


def test_what_pycose_signs_is_byte_for_byte_what_we_sign() -> None:
    assert made_by_pycose(b"payload", "text/plain") == cose.sign1(b"payload", "text/plain", RO.signing)


def test_an_envelope_signed_by_pycose_verifies_here() -> None:
    _, envelope = seal(routing(), b"body", {"bg": BG.encryption.public}, RO.signing)
    payload = cose.parse_sign1(envelope, CONTENT_TYPE).payload
    assert verify(made_by_pycose(payload, CONTENT_TYPE), trust().signer_of).header.sender == "ro"


def test_an_unprotected_parameter_that_cose_would_allow_is_refused_here() -> None:
    with pytest.raises(EnvelopeMalformed, match="unprotected"):
        cose.parse_sign1(made_by_pycose(b"payload", "text/plain", uhdr={KID: b"x"}), "text/plain")
