"""Cosignatures: what they sign, byte for byte, that nothing else verifies, and how they get under a checkpoint.

Not written here: the example of the C2SP tlog-cosignature specification. It has none of ML-DSA-44: a checkpoint of
that is written out here by its text.
"""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.cosignature import Cosigner, CosignerKey, add_cosignatures, cosign, sign_checkpoint, time_of
from crypto.errors import NoteInvalid
from crypto.keys import SignatureAlgorithm, SigningKey
from crypto.mldsa import MlDsaKey
from crypto.note import Checkpoint, Note, NoteSigner, NoteVerifier, open_note, sign_note
from tests.crypto.cosigners import AT, BG, HU, LOG, LOG_PQ, ORIGIN, RO, RO_PQ, Ledger

NOTE = Ledger(5).checkpoint()
TEXT = Note.parse(NOTE).text
EACH = pytest.mark.parametrize("cosigner", [RO, RO_PQ], ids=["Ed25519", "ML-DSA-44"])
# The checkpoint of the specification; it publishes no key for it.
SOFA = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
SOFA_LINE = (
    "\N{EM DASH} witness.example.com/w1 "
    "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)


def test_the_specification_s_example_reads() -> None:
    (found,) = Note.parse(f"{SOFA}\n{SOFA_LINE}").signatures
    assert (found.name, time_of(found.value), len(found.value)) == ("witness.example.com/w1", 1679315147, 72)
    assert found.line() == SOFA_LINE


def test_what_ed25519_signs_is_the_specification_s_example() -> None:
    assert RO.verifier.message(SOFA, 1679315147).decode() == f"cosignature/v1\ntime 1679315147\n{SOFA}"


def test_what_ml_dsa_44_signs_is_the_structure_of_the_specification() -> None:
    root = base64.b64decode("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=")
    wanted = (
        b"subtree/v1\n\0"
        + bytes([len(RO_PQ.name)])
        + RO_PQ.name.encode()
        + bytes.fromhex("00000000641850cb")
        + b"\x1bexample.com/behind-the-sofa"
        + bytes(8)
        + bytes.fromhex("00000000013e2dc3")
        + root
    )
    assert RO_PQ.verifier.message(SOFA, 1679315147) == wanted


@EACH
def test_a_vkey_has_the_type_and_the_key_and_their_hash(cosigner: Cosigner) -> None:
    key = cosigner.verifier
    name, hashed, encoded = key.vkey().split("+", 2)
    raw = base64.b64decode(encoded)
    assert (name, raw[0], len(raw) - 1) in {(RO.name, 4, 32), (RO.name, 6, 1312)}
    assert hashed == hashlib.sha256(name.encode() + b"\n" + raw).hexdigest()[:8] == key.key_hash.hex()
    assert CosignerKey.parse(key.vkey()) == key


@EACH
def test_a_cosigned_checkpoint_opens_and_says_when(cosigner: Cosigner) -> None:
    cosigned = add_cosignatures(NOTE, cosign(NOTE, cosigner, AT), [cosigner.verifier])
    assert cosigned.startswith(NOTE)
    assert open_note(cosigned, LOG.verifier, LOG_PQ.verifier, cosigner.verifier) == TEXT
    assert time_of(Note.parse(cosigned).check(cosigner.verifier).value) == AT


@EACH
def test_nothing_but_what_was_cosigned_verifies(cosigner: Cosigner) -> None:
    signature = cosigner.sign(TEXT, AT)
    size, root = Ledger(6).text().text().split("\n")[1:3]
    _, old_size, old_root, _ = TEXT.split("\n")
    texts = [TEXT.replace(ORIGIN, "x" + ORIGIN), TEXT.replace(f"\n{old_size}\n", f"\n{size}\n")]
    texts += [TEXT.replace(old_root, root), TEXT + "an extension\n"]
    values = [(AT + 1).to_bytes(8) + signature.value[8:], signature.value[:-1], signature.value + b"\0", bytes(72)]
    values += [(1 << 63).to_bytes(8) + signature.value[8:], b"\0" * 8]
    for text, value in [*((text, signature.value) for text in texts), *((TEXT, value) for value in values)]:
        assert (text, value) != (TEXT, signature.value)
        line = type(signature)(signature.name, signature.key_hash, value)
        with pytest.raises(NoteInvalid):
            Note(text, (line,)).check(cosigner.verifier)


def test_an_ml_dsa_44_cosignature_holds_for_its_cosigner_s_name_only() -> None:
    other = CosignerKey("another.example.org", RO_PQ.key.public)
    line = type(RO_PQ.sign(TEXT, AT))(other.name, other.key_hash, RO_PQ.sign(TEXT, AT).value)
    with pytest.raises(NoteInvalid, match="does not match"):
        Note(TEXT, (line,)).check(other)


def test_extension_lines_are_signed_by_ed25519_and_refused_by_ml_dsa_44() -> None:
    extended = sign_note(f"{TEXT}extension\n", LOG)
    assert cosign(extended, RO, AT)
    with pytest.raises(NoteInvalid, match="extension"):
        cosign(extended, RO_PQ, AT)


@given(st.integers(1, 2**63 - 1), st.integers(0, 10**19 - 1), st.binary(min_size=32, max_size=32))
@settings(max_examples=30, deadline=None)
def test_every_checkpoint_and_time_can_be_cosigned(at: int, size: int, root: bytes) -> None:
    note = sign_checkpoint(Checkpoint(ORIGIN, size, root), LOG, LOG_PQ, at)
    lines = cosign(note, RO, at) + cosign(note, RO_PQ, at)
    cosigned = add_cosignatures(note, lines, [RO.verifier, RO_PQ.verifier])
    parsed = Note.parse(cosigned)
    assert [time_of(parsed.check(key).value) for key in (LOG_PQ.verifier, RO.verifier, RO_PQ.verifier)] == [at] * 3


@pytest.mark.parametrize("at", [-1, 0, 2**63])
def test_a_time_outside_is_not_signed(at: int) -> None:
    with pytest.raises(NoteInvalid, match="time"):
        cosign(NOTE, RO, at)


@pytest.mark.parametrize("text", ["text\n", f"{ORIGIN}\n1\nAAAA\n", f"{ORIGIN}\n5\n\n"])
def test_what_is_no_checkpoint_is_not_cosigned(text: str) -> None:
    with pytest.raises(NoteInvalid):
        cosign(sign_note(text, LOG), RO, AT)


def test_a_log_signs_under_its_origin() -> None:
    for signer, cosigner in ((NoteSigner("other", LOG.key), LOG_PQ), (LOG, RO_PQ)):
        with pytest.raises(NoteInvalid, match="origin"):
            sign_checkpoint(Ledger(5).text(), signer, cosigner, AT)


def test_cosignatures_of_unknown_keys_are_left_out_and_no_key_signs_twice() -> None:
    lines = cosign(NOTE, RO, AT) + cosign(NOTE, HU, AT) + cosign(NOTE, RO, AT + 1)
    keys = [RO.verifier, BG.verifier, RO.verifier]
    once = add_cosignatures(NOTE, lines, keys)
    assert once == NOTE + cosign(NOTE, RO, AT)
    assert add_cosignatures(once, cosign(NOTE, RO, AT + 2), keys) == once


def test_a_wrong_cosignature_of_a_known_key_is_refused() -> None:
    for line in (cosign(Ledger(6).checkpoint(), RO, AT), cosign(NOTE, Cosigner(RO.name, BG.key), AT)):
        parsed = Note.parse(f"{TEXT}\n{line}").signatures[0]
        forged = type(parsed)(RO.name, RO.verifier.key_hash, parsed.value)
        with pytest.raises(NoteInvalid, match="does not match"):
            add_cosignatures(NOTE, forged.line(), [RO.verifier])


@pytest.mark.parametrize("lines", ["", "\n", "text\n", "more\n\n" + cosign(NOTE, RO, AT), cosign(NOTE, RO, AT)[:-1]])
def test_what_is_no_signature_line_is_refused(lines: str) -> None:
    with pytest.raises(NoteInvalid):
        add_cosignatures(NOTE, lines, [RO.verifier])


def test_no_more_signatures_are_added_than_a_note_may_have() -> None:
    full = NOTE + cosign(NOTE, HU, AT) * 98
    assert len(Note.parse(full).signatures) == 100
    with pytest.raises(NoteInvalid, match="at most"):
        add_cosignatures(full, cosign(NOTE, RO, AT), [RO.verifier])


def test_keys_of_other_types_are_not_cosigners_keys() -> None:
    with pytest.raises(NoteInvalid, match="Ed25519 or ML-DSA-44"):
        CosignerKey("name", SigningKey.generate(SignatureAlgorithm.ES256).public)
    with pytest.raises(NoteInvalid, match="type"):
        CosignerKey.parse(LOG.verifier.vkey())
    with pytest.raises(NoteInvalid, match="type 1"):
        NoteVerifier.parse(RO.verifier.vkey())
    with pytest.raises(NoteInvalid, match="255"):
        CosignerKey("x" * 256, MlDsaKey.generate().public)


def test_an_ml_dsa_44_checkpoint_made_by_the_letter_of_the_specification_opens() -> None:
    # Written out from it with the library's key alone, so that `crypto.cosignature` does not judge its own work.
    origin, root = b"example.com/log", hashlib.sha256(b"root").digest()
    text = f"{origin.decode()}\n1\n{base64.b64encode(root).decode()}\n"
    private = mldsa.MLDSA44PrivateKey.from_seed_bytes(bytes(range(32)))
    encoded = b"\x06" + private.public_key().public_bytes_raw()
    key_id = hashlib.sha256(origin + b"\n" + encoded).digest()[:4]
    name = bytes([len(origin)]) + origin
    # A log that makes no statement on the time says 0; then the first leaf and the one behind the last.
    signed = b"subtree/v1\n\0" + name + bytes(8) + name + bytes(8) + bytes(7) + b"\1" + root
    value = base64.b64encode(key_id + bytes(8) + private.sign(signed)).decode()
    note = f"{text}\n\N{EM DASH} {origin.decode()} {value}\n"
    key = CosignerKey.parse(f"{origin.decode()}+{key_id.hex()}+{base64.b64encode(encoded).decode()}")
    checkpoint = Checkpoint.parse(open_note(note, key))
    assert (checkpoint.origin, checkpoint.size, checkpoint.root) == (origin.decode(), 1, root)
    assert time_of(Note.parse(note).check(key).value) == 0
    with pytest.raises(NoteInvalid, match="does not match"):
        open_note(note.replace("\n1\n", "\n2\n"), key)
