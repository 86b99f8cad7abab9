"""Tokens, what a request proves, and the words that people compare."""

import base64

import pytest

from crypto import joining
from crypto.certificates import create_ca, create_csr, new_tls_key, to_pem
from crypto.enrolment import sign_request
from crypto.errors import CertificateRefused, DecryptionFailed, SignatureInvalid
from crypto.keys import EncryptionKey, SigningKey
from crypto.words import same_words, words_of
from schemas.enrolment import EnrolmentRequest, Welcome
from schemas.joining import HubIdentity, JoinRequest, JoinToken, TokenMalformed
from tests.crypto.people import BG, RO

TOKEN = joining.new_token("ro", bytes(range(16)))
CSR = to_pem(create_csr("node-ro", new_tls_key()))
WITNESS = SigningKey.generate().public
REQUEST = sign_request("ro", RO.signing, RO.encryption.public, CSR, WITNESS)
JOIN = joining.sign_join(TOKEN, REQUEST)
HUB = HubIdentity(
    ca_pem=to_pem(create_ca("CA", new_tls_key())).decode(), hub_key="AAAA", log_origin="seci", log_vkey="seci+1"
)


def test_a_token_reads_as_it_was_printed_however_it_was_copied() -> None:
    text = TOKEN.text()
    assert len(text) == len("seci_join_ro_") + 64
    wrapped = f"  {text[:30].upper()}\n{text[30:]} \n"
    assert JoinToken.parse(text) == JoinToken.parse(wrapped) == TOKEN
    assert TOKEN.secret.hex() not in repr(TOKEN)


def test_a_typing_error_in_a_token_is_told_before_anything_is_asked() -> None:
    text = TOKEN.text()
    for place in range(13, len(text)):
        wrong = text[:place] + ("a" if text[place] != "a" else "b") + text[place + 1 :]
        with pytest.raises(TokenMalformed, match="letter"):
            JoinToken.parse(wrong)
    swapped = next(place for place in range(13, len(text)) if text[place] != text[place + 1])
    with pytest.raises(TokenMalformed, match="changed places"):
        JoinToken.parse(text[:swapped] + text[swapped + 1] + text[swapped] + text[swapped + 2 :])
    for other in (
        "",
        "seci_join_",
        text[:-1],
        text + "a",
        text.replace("_ro_", "_bg_"),
        text.replace("seci", "ghp", 1),
    ):
        with pytest.raises(TokenMalformed):
            JoinToken.parse(other)


def test_only_who_has_the_token_can_ask_and_only_for_these_keys() -> None:
    known = joining.token_key(TOKEN).public
    joining.verify_token(JOIN, known)
    # Neither the secret nor anything like it goes out.
    assert TOKEN.secret not in base64.b64decode(JOIN.token_proof)
    other = sign_request("ro", BG.signing, BG.encryption.public, CSR, WITNESS)
    stranger = JoinToken("ro", TOKEN.id, bytes(17), TOKEN.pin)
    forged = (
        JOIN.model_copy(update={"request": other}),
        JOIN.model_copy(update={"pin": bytes(16).hex()}),
        JOIN.model_copy(update={"invitation": "00000000"}),
        joining.sign_join(stranger, REQUEST),
        JOIN.model_copy(update={"token_proof": base64.b64encode(bytes(64)).decode()}),
    )
    for join in forged:
        with pytest.raises(SignatureInvalid):
            joining.verify_token(join, known)
    # A token for another node has another key, whatever else is the same.
    assert joining.token_key(JoinToken("bg", TOKEN.id, TOKEN.secret, TOKEN.pin)).public != known


def _changed(**fields: str) -> JoinRequest:
    return JOIN.model_copy(update={"request": REQUEST.model_copy(update=fields)})


def test_the_words_change_with_each_key_the_node_and_the_hub() -> None:
    words = joining.join_words(JOIN)
    assert len(words) == 12
    assert words == joining.join_words(JOIN.model_copy(update={"opened": "AAAA", "token_proof": "AAAA"}))
    without: EnrolmentRequest = REQUEST.model_copy(update={"witness_key": None})
    others = (
        _changed(node="bg"),
        _changed(signing_key=base64.b64encode(BG.signing.public.public_bytes()).decode()),
        _changed(encryption_key=base64.b64encode(BG.encryption.public.public_bytes()).decode()),
        _changed(csr_pem=to_pem(create_csr("node-ro", new_tls_key())).decode()),
        JOIN.model_copy(update={"request": without}),
        JOIN.model_copy(update={"pin": bytes(16).hex()}),
        JOIN.model_copy(update={"invitation": "00000000"}),
    )
    assert len({words, *map(joining.join_words, others)}) == len(others) + 1


def test_words_are_those_of_bip_39_and_four_letters_tell_them_apart() -> None:
    # The first and the last word, and the 1024th (https://github.com/bitcoin/bips, bip-0039/english.txt).
    assert words_of(bytes(3), 2) == ("abandon", "abandon")
    assert words_of(b"\xff\xff\xfc", 2) == ("zoo", "zoo")
    assert words_of(b"\x80\x00", 1) == ("length",)
    words = ("abandon", "zoo", "length")
    assert same_words("abandon zoo length", words)
    assert same_words("  ABAN, zoo\nleng", words)
    for wrong in (
        "",
        "aba zoo leng",
        "abandon zoo",
        "abandon zoo length zoo",
        "zoo abandon length",
        "abandoned zoo leng",
    ):
        assert not same_words(wrong, words)


def test_only_the_owner_of_the_encryption_key_opens_the_challenge() -> None:
    challenge = bytes(range(32))
    closed = joining.close_challenge(JOIN, challenge)
    assert joining.is_opened(joining.open_challenge(JOIN, closed, RO.encryption), challenge)
    assert not joining.is_opened(JOIN, challenge)
    assert not joining.is_opened(JOIN.model_copy(update={"opened": base64.b64encode(bytes(32)).decode()}), challenge)
    with pytest.raises(DecryptionFailed):
        joining.open_challenge(JOIN, closed, EncryptionKey.generate())
    with pytest.raises(DecryptionFailed):
        # It is good for one invitation.
        joining.open_challenge(JOIN.model_copy(update={"invitation": "00000000"}), closed, RO.encryption)


def test_only_the_owner_of_the_encryption_key_opens_the_welcome() -> None:
    fields = HUB.model_dump(exclude={"v"}) | {"node": "ro", "certificate_pem": "x", "broker_host": "h"}
    welcome = Welcome(**fields, broker_port=1, vhost="v", roster="AAAA")
    sealed = joining.seal_welcome(JOIN, welcome)
    assert Welcome.model_validate_json(joining.open_welcome(JOIN, sealed, RO.encryption)) == welcome
    assert joining.identity_in(welcome) == HUB
    altered = sealed[:-8] + ("A" if sealed[-8] != "A" else "B") + sealed[-7:]
    for data, key in ((sealed, BG.encryption), (altered, RO.encryption), ("", RO.encryption), ("AAAA", RO.encryption)):
        with pytest.raises(DecryptionFailed):
            joining.open_welcome(JOIN, data, key)


def test_the_pin_changes_with_each_part_of_a_hub() -> None:
    another = to_pem(create_ca("CA", new_tls_key())).decode()
    # A second authority beside the true one would be believed, too.
    hubs = [HUB, *(HUB.model_copy(update={"ca_pem": pem}) for pem in (another, HUB.ca_pem + another))]
    hubs += [HUB.model_copy(update={name: "BBBB"}) for name in ("hub_key", "log_origin", "log_vkey", "log_vkey_mldsa")]
    assert len({joining.pin_of(hub) for hub in hubs}) == len(hubs)
    with pytest.raises(CertificateRefused):
        joining.pin_of(HUB.model_copy(update={"ca_pem": "none"}))
