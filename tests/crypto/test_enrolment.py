"""An enrolment request proves that its maker holds the signing key, and that nothing in it was exchanged."""

import base64

import pytest

from crypto.certificates import create_csr, new_tls_key, to_pem
from crypto.enrolment import sign_request, verify_request
from crypto.errors import KeyUnusable, SignatureInvalid
from crypto.keys import SignatureAlgorithm, SigningKey
from schemas.enrolment import EnrolmentRequest
from tests.crypto.people import RO, TR

CSR = to_pem(create_csr("node-ro", new_tls_key()))
REQUEST = sign_request("ro", RO.signing, RO.encryption.public, CSR)
OTHER = sign_request("tr", TR.signing, TR.encryption.public, to_pem(create_csr("node-tr", new_tls_key())))


def test_a_request_is_good_as_it_was_made_and_after_its_way_as_a_file() -> None:
    verify_request(REQUEST)
    verify_request(EnrolmentRequest.model_validate_json(REQUEST.model_dump_json()))
    assert base64.b64decode(REQUEST.signing_key) == RO.signing.public.public_bytes()
    assert base64.b64decode(REQUEST.encryption_key) == RO.encryption.public.public_bytes()


def test_a_witness_key_is_signed_for_too() -> None:
    own, other = SigningKey.generate().public, SigningKey.generate().public
    asked = sign_request("ro", RO.signing, RO.encryption.public, CSR, own)
    verify_request(EnrolmentRequest.model_validate_json(asked.model_dump_json()))
    for key in (None, base64.b64encode(other.public_bytes()).decode()):
        with pytest.raises(SignatureInvalid):
            verify_request(asked.model_copy(update={"witness_key": key}))
    with pytest.raises(SignatureInvalid):
        verify_request(REQUEST.model_copy(update={"witness_key": asked.witness_key}))


def test_a_p256_key_can_ask_too() -> None:
    verify_request(sign_request("ro", SigningKey.generate(SignatureAlgorithm.ES256), RO.encryption.public, CSR))


@pytest.mark.parametrize("field", ["node", "signing_key", "encryption_key", "csr_pem", "proof"])
def test_a_part_exchanged_for_another_request_s_is_refused(field: str) -> None:
    with pytest.raises(SignatureInvalid):
        verify_request(REQUEST.model_copy(update={field: getattr(OTHER, field)}))


@pytest.mark.parametrize("field", ["signing_key", "encryption_key", "proof"])
@pytest.mark.parametrize("value", ["A", "AAAAA", "====", ""])
def test_broken_base64_is_refused_and_not_a_crash(field: str, value: str) -> None:
    with pytest.raises((KeyUnusable, SignatureInvalid)):
        verify_request(REQUEST.model_copy(update={field: value}))


def test_a_signing_key_that_is_none_is_refused() -> None:
    junk = base64.b64encode(b"\x09" + bytes(32)).decode()
    with pytest.raises(KeyUnusable):
        verify_request(REQUEST.model_copy(update={"signing_key": junk}))


def test_a_request_holds_no_secret() -> None:
    text = REQUEST.model_dump_json()
    for secret in (RO.signing.private_bytes()[1:], RO.encryption.seed):
        assert base64.b64encode(secret).decode().rstrip("=") not in text
        assert secret.hex() not in text
    assert "PRIVATE" not in text
