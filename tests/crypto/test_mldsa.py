"""ML-DSA-44 as `crypto.mldsa` uses it, against the known answers of FIPS 204 that `cryptography_vectors` holds."""

from pathlib import Path

import cryptography_vectors
import pytest

from crypto.errors import KeyUnusable, SignatureInvalid
from crypto.mldsa import PUBLIC_SIZE, SIGNATURE_SIZE, MlDsaKey, MlDsaPublicKey

ANSWERS = Path(cryptography_vectors.__file__).parent / "asymmetric" / "MLDSA" / "kat_MLDSA_44_det_pure.rsp"
KEY = MlDsaKey.from_seed(bytes(range(32)))
unhex = bytes.fromhex


def known_answers() -> list[dict[str, str]]:
    blocks = ANSWERS.read_text().split("count = ")[1:]
    return [dict(line.partition(" = ")[::2] for line in block.splitlines()[1:]) for block in blocks]


def test_keys_follow_from_their_seeds_as_in_the_known_answers() -> None:
    answers = known_answers()
    assert len(answers) > 50
    for answer in answers:
        assert MlDsaKey.from_seed(unhex(answer["xi"])).public.public_bytes() == unhex(answer["pk"])


def test_a_signature_under_a_context_is_not_one_of_ours() -> None:
    # Those known answers all have one. One without is made in test_cosignature.py.
    for answer in known_answers()[:10]:
        message = unhex(answer["msg"])
        signature = unhex(answer["sm"])[:SIGNATURE_SIZE]
        key = MlDsaPublicKey.from_public_bytes(unhex(answer["pk"]))
        key._key.verify(signature, message, unhex(answer["ctx"]))
        with pytest.raises(SignatureInvalid):
            key.verify(signature, message)


def test_a_signature_is_of_its_key_and_its_data_only() -> None:
    signature = KEY.sign(b"data")
    assert len(signature) == SIGNATURE_SIZE
    KEY.public.verify(signature, b"data")
    altered = bytes([signature[0] ^ 1]) + signature[1:]
    for key, value, data in (
        (KEY.public, signature, b"date"),
        (KEY.public, altered, b"data"),
        (KEY.public, signature[:-1], b"data"),
        (KEY.public, b"", b"data"),
        (MlDsaKey.generate().public, signature, b"data"),
    ):
        with pytest.raises(SignatureInvalid):
            key.verify(value, data)


@pytest.mark.parametrize("size", [0, PUBLIC_SIZE - 1, PUBLIC_SIZE + 1])
def test_a_public_key_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(KeyUnusable):
        MlDsaPublicKey.from_public_bytes(bytes(size))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_seed_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(KeyUnusable):
        MlDsaKey.from_seed(bytes(size))


def test_a_private_key_does_not_show_itself() -> None:
    assert repr(KEY) == "MlDsaKey()"
    assert MlDsaPublicKey.from_public_bytes(KEY.public.public_bytes()) == KEY.public
