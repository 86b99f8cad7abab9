"""Attacks on the envelope: alteration, rearrangement by someone with a valid key, downgrade, malformed bytes.

`forged` builds what an attacker can: any structure at all, under a valid signature of the attacker's own key.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import cose
from crypto.envelope import CONTENT_TYPE, HPKE_HYBRID, claimed_id, open_envelope, verify, wrap_info
from crypto.errors import (
    AlgorithmRefused,
    CryptoError,
    DecryptionFailed,
    DigestMismatch,
    EnvelopeMalformed,
    HeaderMalformed,
    NotAddressed,
    RecipientsMismatch,
    SignatureInvalid,
    SizeMismatch,
    VersionUnsupported,
)
from crypto.keys import SigningKey
from schemas import cbor
from tests.crypto.people import BG, HU, RO, TR, Person, person, sealed, trust
from tests.schemas.strategies import cbor_values

Edit = Callable[[Any], None]


def thawed(value: object) -> Any:
    """A decoded structure, made of lists and dicts that can be changed."""
    match value:
        case cbor2.CBORTag():
            return cbor2.CBORTag(value.tag, thawed(value.value))
        case list() | tuple():
            return [thawed(item) for item in value]
        case bytes() | str() | int() | None:
            return value
    assert isinstance(value, dict | cbor2.frozendict)
    return {name: thawed(item) for name, item in value.items()}


def parts_of(envelope: bytes) -> tuple[dict[str, Any], list[Any]]:
    """An envelope's header fields and the four parts of its COSE_Encrypt, to be changed."""
    header, encrypt = cbor.decode(cbor.decode(envelope).value[2])
    return thawed(cbor.decode(header)), thawed(encrypt.value)


def signed(header: bytes, encrypt: list[Any], signer: SigningKey, tag: int = cose.TAG_ENCRYPT) -> bytes:
    return cose.sign1(cbor.encode([header, cbor2.CBORTag(tag, encrypt)]), CONTENT_TYPE, signer)


def forged(envelope: bytes, *, header: Edit = lambda _: None, encrypt: Edit = lambda _: None, by: Person = RO) -> bytes:
    """The envelope with its parts changed, signed anew."""
    fields, parts = parts_of(envelope)
    header(fields)
    encrypt(parts)
    return signed(cbor.encode(fields), parts, by.signing)


def put(place: int | str, value: object) -> Edit:
    def edit(parts: Any) -> None:
        parts[place] = value

    return edit


def recipient(number: int, place: int, value: object) -> Edit:
    def edit(parts: Any) -> None:
        parts[3][number][place] = value

    return edit


def test_every_single_altered_bit_is_refused() -> None:
    envelope = sealed(b"")
    lookup = trust().signer_of
    for place in range(len(envelope)):
        for bit in range(8):
            altered = bytearray(envelope)
            altered[place] ^= 1 << bit
            try:
                verify(bytes(altered), lookup)
            except CryptoError:
                continue
            pytest.fail(f"bit {bit} of byte {place} can be altered unseen")


def test_every_shortened_envelope_and_one_with_bytes_after_it_is_refused() -> None:
    envelope = sealed(b"")
    for end in range(len(envelope)):
        with pytest.raises(CryptoError):
            verify(envelope[:end], trust().signer_of)
    with pytest.raises(EnvelopeMalformed):
        verify(envelope + b"\x00", trust().signer_of)


def test_an_unchanged_envelope_signed_anew_is_still_good() -> None:
    # The ground of the tests below: it is the change that is refused, not the forger's way of building.
    verified = verify(forged(sealed()), trust().signer_of)
    assert open_envelope(verified, "bg", (BG.encryption,)).body == b"body"


def test_content_moved_under_another_s_header_does_not_open() -> None:
    def claim(fields: Any) -> None:
        fields["sender"] = "tr"

    verified = verify(forged(sealed(), header=claim, by=TR), trust().signer_of)
    with pytest.raises(DecryptionFailed):
        open_envelope(verified, "bg", (BG.encryption,))


@pytest.mark.parametrize(
    ("field", "value"),
    [("handling", "H0"), ("task_force", "fraud"), ("kind_version", 2), ("operation", "Mirage"), ("agency", "customs")],
)
def test_a_header_changed_by_its_own_sender_closes_the_content(field: str, value: object) -> None:
    verified = verify(forged(sealed(), header=put(field, value)), trust().signer_of)
    with pytest.raises(DecryptionFailed):
        open_envelope(verified, "bg", (BG.encryption,))


def test_wrapped_keys_swapped_between_recipients_are_seen_and_do_not_open() -> None:
    def swap(parts: Any) -> None:
        parts[3].reverse()

    verified = verify(forged(sealed(recipients=("bg", "hu")), encrypt=swap), trust().signer_of)
    with pytest.raises(RecipientsMismatch):
        trust().check_recipient_keys(verified)
    for one in (BG, HU):
        with pytest.raises(NotAddressed):
            open_envelope(verified, one.node, (one.encryption,))


def test_wrapped_keys_swapped_under_the_right_key_ids_do_not_open() -> None:
    def swap(parts: Any) -> None:
        (_, ek1, key1), (_, ek2, key2) = parts[3]
        parts[3][0][1:], parts[3][1][1:] = [ek2, key2], [ek1, key1]

    verified = verify(forged(sealed(recipients=("bg", "hu")), encrypt=swap), trust().signer_of)
    trust().check_recipient_keys(verified)
    for one in (BG, HU):
        with pytest.raises(DecryptionFailed):
            open_envelope(verified, one.node, (one.encryption,))


def test_a_wrapped_key_of_another_message_to_the_same_recipient_does_not_open() -> None:
    other = parts_of(sealed(b"another"))[1][3][0]
    verified = verify(forged(sealed(), encrypt=put(3, [other])), trust().signer_of)
    with pytest.raises(DecryptionFailed):
        open_envelope(verified, "bg", (BG.encryption,))


def test_a_recipient_cannot_pass_the_content_on_in_the_sender_s_name() -> None:
    envelope = sealed()
    verified = verify(envelope, trust().signer_of)
    wrapped = verified.recipient_keys[0]
    info = wrap_info(verified.header_bytes, "bg", wrapped.kid)
    content_key = BG.encryption.unwrap(wrapped.enc + wrapped.ciphertext, info)
    kid = HU.encryption.public.key_id
    rewrapped = HU.encryption.public.wrap(content_key, wrap_info(verified.header_bytes, "hu", kid))
    protected = cbor.encode({cose.ALG: HPKE_HYBRID, cose.KID: kid})
    parts = parts_of(envelope)[1]
    parts[3] = [[protected, {cose.EK: rewrapped[:-48]}, rewrapped[-48:]]]
    passed_on = signed(verified.header_bytes, parts, BG.signing)
    with pytest.raises(CryptoError):
        verify(passed_on, trust().signer_of)


def sender_who_lies(digest: bytes | None = None, size: int | None = None, key_size: int = 32) -> bytes:
    """An envelope whose own sender states another digest or size, or uses another key size."""
    fields, parts = parts_of(sealed())
    plaintext, content_key = bytes(36), bytes(key_size)
    fields["digest"] = hashlib.sha256(plaintext).digest() if digest is None else digest
    fields["size"] = len(plaintext) if size is None else size
    header = cbor.encode(fields)
    aad = cbor.encode(["Encrypt", parts[0], header])
    parts[2] = AESGCM(content_key).encrypt(parts[1][cose.IV], plaintext, aad)
    kid = BG.encryption.public.key_id
    wrap = BG.encryption.public.wrap(content_key, wrap_info(header, "bg", kid))
    parts[3][0][1:] = [{cose.EK: wrap[:1120]}, wrap[1120:]]
    return signed(header, parts, RO.signing)


def test_a_digest_that_is_not_the_content_s_is_found_by_the_recipient() -> None:
    good = verify(sender_who_lies(), trust().signer_of)
    assert open_envelope(good, "bg", (BG.encryption,)).body == bytes(4)
    verified = verify(sender_who_lies(digest=bytes(32)), trust().signer_of)
    with pytest.raises(DigestMismatch):
        open_envelope(verified, "bg", (BG.encryption,))


@pytest.mark.parametrize("size", [35, 37, 1000])
def test_a_size_that_is_not_the_content_s_is_found_by_the_hub(size: int) -> None:
    with pytest.raises(SizeMismatch):
        verify(sender_who_lies(size=size), trust().signer_of)


@pytest.mark.parametrize("key_size", [16, 24])
def test_a_content_key_of_a_weaker_cipher_is_refused(key_size: int) -> None:
    with pytest.raises(EnvelopeMalformed, match="wrapped key"):
        verify(sender_who_lies(key_size=key_size), trust().signer_of)


def recipient_protected(algorithm: int, kid: bytes = BG.encryption.public.key_id) -> bytes:
    return cbor.encode({cose.ALG: algorithm, cose.KID: kid})


DOWNGRADES = {
    "AES-128-GCM for the content": forged(sealed(), encrypt=put(0, cbor.encode({cose.ALG: 1}))),
    "ChaCha20-Poly1305 for the content": forged(sealed(), encrypt=put(0, cbor.encode({cose.ALG: 24}))),
    "no algorithm for the content": forged(sealed(), encrypt=put(0, b"")),
    "a second parameter for the content": forged(sealed(), encrypt=put(0, cbor.encode({cose.ALG: 3, 2: [1]}))),
    "ECDH-ES for a wrapped key": forged(sealed(), encrypt=recipient(0, 0, recipient_protected(-25))),
    "direct use of a wrapped key": forged(sealed(), encrypt=recipient(0, 0, recipient_protected(-6))),
    "HPKE of another number": forged(sealed(), encrypt=recipient(0, 0, recipient_protected(HPKE_HYBRID - 1))),
    "the suite of another signature": forged(sealed(), header=put("suite", "SECI1-ES256")),
    "a suite that there is not": forged(sealed(), header=put("suite", "SECI0-EdDSA")),
}


@pytest.mark.parametrize("envelope", DOWNGRADES.values(), ids=DOWNGRADES)
def test_an_algorithm_that_is_not_on_the_list_is_refused(envelope: bytes) -> None:
    with pytest.raises(AlgorithmRefused):
        verify(envelope, trust().signer_of)


@pytest.mark.parametrize("algorithm", [0, -7, -37, -48, 5, 2**63])
def test_a_signature_algorithm_that_is_not_the_key_s_is_refused(algorithm: int) -> None:
    protected = cbor.encode({cose.ALG: algorithm, cose.CONTENT_TYPE: CONTENT_TYPE, cose.KID: RO.signing.public.key_id})
    payload = cbor.decode(sealed()).value[2]
    signature = RO.signing.sign(cbor.encode(["Signature1", protected, b"", payload]))
    envelope = cbor.encode(cbor2.CBORTag(cose.TAG_SIGN1, [protected, {}, payload, signature]))
    with pytest.raises(AlgorithmRefused):
        verify(envelope, trust().signer_of)


def test_another_protocol_version_is_refused_whatever_else_it_says() -> None:
    def of_the_future(fields: Any) -> None:
        fields |= {"v": 2, "suite": "SECI2", "agency": "navy", "colour": "red"}

    with pytest.raises(VersionUnsupported):
        verify(forged(sealed(), header=of_the_future), trust().signer_of)


def test_a_bad_header_is_named_by_its_field() -> None:
    with pytest.raises(HeaderMalformed, match="kind_version"):
        verify(forged(sealed(), header=put("kind_version", 0)), trust().signer_of)


def test_a_header_of_two_encodings_is_refused() -> None:
    envelope = sealed()
    fields, parts = parts_of(envelope)
    header = cbor.encode(fields)
    other = header.replace(b"lkind_version\x01", b"lkind_version\x18\x01")
    assert other != header
    with pytest.raises(HeaderMalformed):
        verify(signed(other, parts, RO.signing), trust().signer_of)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_more_or_fewer_wrapped_keys_than_recipients_are_refused(count: int) -> None:
    envelope = sealed(recipients=("bg", "hu"))
    keys = (parts_of(envelope)[1][3] * 2)[:count]
    with pytest.raises(RecipientsMismatch):
        verify(forged(envelope, encrypt=put(3, keys)), trust().signer_of)


def test_a_key_wrapped_for_somebody_else_is_seen_by_the_hub() -> None:
    envelope = forged(sealed(), encrypt=recipient(0, 0, recipient_protected(HPKE_HYBRID, TR.encryption.public.key_id)))
    with pytest.raises(RecipientsMismatch):
        trust().check_recipient_keys(verify(envelope, trust().signer_of))


MALFORMED = {
    "an IV of 8 bytes": forged(sealed(), encrypt=put(1, {cose.IV: bytes(8)})),
    "no IV": forged(sealed(), encrypt=put(1, {})),
    "a second unprotected parameter": forged(sealed(), encrypt=put(1, {cose.IV: bytes(12), 6: b""})),
    "a partial IV": forged(sealed(), encrypt=put(1, {6: bytes(12)})),
    "an IV under a float": forged(sealed(), encrypt=put(1, {5.0: bytes(12)})),
    "detached content": forged(sealed(), encrypt=put(2, None)),
    "recipients that are bytes": forged(sealed(), encrypt=put(3, b"")),
    "a recipient without its parts": forged(sealed(), encrypt=put(3, [[]])),
    "a recipient of a recipient": forged(sealed(), encrypt=recipient(0, 2, [])),
    "a recipient's short key id": forged(
        sealed(), encrypt=recipient(0, 0, recipient_protected(HPKE_HYBRID, bytes(15)))
    ),
    "a recipient's parameter under a float": forged(
        sealed(), encrypt=recipient(0, 0, cbor.encode({1.0: HPKE_HYBRID, 4: BG.encryption.public.key_id}))
    ),
    "an encapsulated key too long": forged(sealed(), encrypt=recipient(0, 1, {cose.EK: bytes(1121)})),
    "an encapsulated key too short": forged(sealed(), encrypt=recipient(0, 1, {cose.EK: bytes(1119)})),
    "a wrapped key too long": forged(sealed(), encrypt=recipient(0, 2, bytes(49))),
    "another COSE message inside": signed(b"", [], RO.signing, tag=16),
}


@pytest.mark.parametrize("envelope", MALFORMED.values(), ids=MALFORMED)
def test_a_structure_that_is_not_this_protocol_s_is_refused(envelope: bytes) -> None:
    with pytest.raises((EnvelopeMalformed, HeaderMalformed)):
        verify(envelope, trust().signer_of)


def outer(protected: object = None, unprotected: object = None, tag: int = 18, kid: bytes = bytes(16)) -> bytes:
    fields = {1: -8, 3: CONTENT_TYPE, 4: kid} if protected is None else protected
    encoded = fields if isinstance(fields, bytes) else cbor.encode(fields)
    return cbor.encode(cbor2.CBORTag(tag, [encoded, {} if unprotected is None else unprotected, b"\x80", bytes(64)]))


OUTER = {
    "not tagged": cbor.encode([b"", {}, b"", b""]),
    "another tag": outer(tag=17),
    "an unprotected parameter": outer(unprotected={4: bytes(16)}),
    "no protected header": outer(protected=b""),
    "a protected header of another encoding": outer(protected=b"\xa1\x18\x01\x27"),
    "a critical parameter": outer(protected={1: -8, 2: [9], 3: CONTENT_TYPE, 4: bytes(16)}),
    "no key id": outer(protected={1: -8, 3: CONTENT_TYPE}),
    "a short key id": outer(kid=bytes(15)),
    "an algorithm in words": outer(protected={1: "EdDSA", 3: CONTENT_TYPE, 4: bytes(16)}),
    "a bignum as algorithm": outer(protected={1: 10**5000, 3: CONTENT_TYPE, 4: bytes(16)}),
    "an algorithm under a float": outer(protected={1.0: -8, 3: CONTENT_TYPE, 4: bytes(16)}),
    "another content type": outer(protected={1: -8, 3: "text/plain", 4: bytes(16)}),
    "a payload that is no pair": outer(),
}


@pytest.mark.parametrize("envelope", OUTER.values(), ids=OUTER)
def test_an_outer_structure_that_is_not_this_protocol_s_is_refused(envelope: bytes) -> None:
    with pytest.raises(EnvelopeMalformed):
        verify(envelope, trust().signer_of)


def test_a_signature_over_another_payload_is_refused() -> None:
    first, second = (thawed(cbor.decode(sealed(body)).value) for body in (b"one", b"two"))
    mixed = cbor.encode(cbor2.CBORTag(cose.TAG_SIGN1, [*first[:3], second[3]]))
    with pytest.raises(SignatureInvalid):
        verify(mixed, trust().signer_of)


strange = st.deferred(
    lambda: (
        cbor_values
        | st.floats()
        | st.integers(-(2**200), 2**200)
        | st.builds(cbor2.CBORTag, st.integers(0, 300), cbor_values)
        | st.dictionaries(st.floats(allow_nan=False) | st.booleans() | st.binary(max_size=4), cbor_values, max_size=3)
    )
)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_random_bytes_raise_nothing_but_an_error_of_this_room(data: bytes) -> None:
    with pytest.raises(CryptoError):
        verify(data, trust().signer_of)
    assert claimed_id(data) is None


@given(strange, st.integers(0, 4))
@settings(max_examples=150, deadline=None)
def test_a_strange_outer_part_raises_nothing_but_an_error_of_this_room(junk: object, place: int) -> None:
    parts = thawed(cbor.decode(ENVELOPE).value)
    whole: Any = cbor2.CBORTag(cose.TAG_SIGN1, junk)
    if place < 4:
        parts[place] = junk if place != 0 else cbor2.dumps(junk)
        whole = cbor2.CBORTag(cose.TAG_SIGN1, parts)
    only_crypto_errors(cbor2.dumps(whole, canonical=True))


@given(
    strange,
    st.sampled_from(["payload", "header", "encrypt", "field", "part", "recipient", "recipient part"]),
    st.data(),
)
@settings(max_examples=250, deadline=None)
def test_a_strange_signed_part_raises_nothing_but_an_error_of_this_room(
    junk: object, where: str, data: st.DataObject
) -> None:
    fields, parts = parts_of(ENVELOPE)
    header: object = cbor.encode(fields)
    encrypt: object = cbor2.CBORTag(cose.TAG_ENCRYPT, parts)
    match where:
        case "header":
            header = cbor2.dumps(junk, canonical=True)
        case "encrypt":
            encrypt = cbor2.CBORTag(cose.TAG_ENCRYPT, junk)
        case "field":
            fields[data.draw(st.sampled_from(sorted(fields)))] = junk
            header = cbor2.dumps(fields, canonical=True)
        case "part":
            parts[data.draw(st.integers(0, 3))] = junk
        case "recipient":
            parts[3] = [junk]
        case "recipient part":
            parts[3][0][data.draw(st.integers(0, 2))] = junk
    payload: object = junk if where == "payload" else [header, encrypt]
    only_crypto_errors(cose.sign1(cbor2.dumps(payload, canonical=True), CONTENT_TYPE, RO.signing))


ENVELOPE = sealed(b"")


def only_crypto_errors(envelope: bytes) -> None:
    claimed_id(envelope)
    try:
        verified = verify(envelope, trust().signer_of)
        open_envelope(verified, verified.header.recipients[0], (person(verified.header.recipients[0]).encryption,))
    except CryptoError:
        return
