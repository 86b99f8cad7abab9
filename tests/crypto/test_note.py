"""Signed notes and checkpoints, against notes that others signed and in their own malformed shapes.

Vectors not written here: the example of the C2SP signed-note specification; the key, text and notes of the
tests of golang.org/x/mod/sumdb/note; a checkpoint of the Go checksum database, sum.golang.org.
"""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.errors import NoteInvalid
from crypto.keys import SignatureAlgorithm, SigningKey
from crypto.note import Checkpoint, NoteSigner, NoteVerifier, open_note, sign_note
from tests.crypto.people import HUB, RO

DASH = "\N{EM DASH}"
SPEC_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_NOTE = (
    "This is an example message.\n\n"
    f"{DASH} example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
PETER_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_PRIVATE = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PETER_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_LINE = (
    f"{DASH} PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_KEY = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
ENOCH_LINE = (
    f"{DASH} EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)
GOSUM_KEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
GOSUM_NOTE = (
    "go.sum database tree\n13485\n/ZWur4obeiqK+ASdnPK+/Rmz6LPQMUeSmHh0+UkL54Y=\n\n"
    f"{DASH} sum.golang.org "
    "Az3grnQReYTvpCrRxT+w50vixbqBlB/aPS8bL8f8KW4HHP+UjLSXOJgCh4f54n8hO6lrESglzyRXMXnhaWzaeY3zqw8=\n"
)
HUB_NOTES = NoteSigner("ledger.example.org", HUB.signing)
NOTE = sign_note("text\n", HUB_NOTES)


@pytest.mark.parametrize(
    ("key", "note"),
    [
        (SPEC_KEY, SPEC_NOTE),
        (PETER_KEY, f"{PETER_TEXT}\n{PETER_LINE}"),
        (ENOCH_KEY, f"{PETER_TEXT}\n{PETER_LINE}{ENOCH_LINE}"),
        (GOSUM_KEY, GOSUM_NOTE),
    ],
    ids=["specification", "PeterNeumann", "EnochRoot", "sum.golang.org"],
)
def test_notes_that_others_signed_open(key: str, note: str) -> None:
    verifier = NoteVerifier.parse(key)
    assert verifier.vkey() == key
    assert open_note(note, verifier) == note.split("\n\n")[0] + "\n"
    with pytest.raises(NoteInvalid, match="does not match"):
        open_note(note.replace("i", "j", 1), verifier)


def test_our_signature_is_that_of_the_go_implementation() -> None:
    key = SigningKey.from_private_bytes(base64.b64decode(PETER_PRIVATE))
    assert sign_note(PETER_TEXT, NoteSigner("PeterNeumann", key)) == f"{PETER_TEXT}\n{PETER_LINE}"


def test_another_log_s_checkpoint_reads() -> None:
    checkpoint = Checkpoint.parse(open_note(GOSUM_NOTE, NoteVerifier.parse(GOSUM_KEY)))
    assert (checkpoint.origin, checkpoint.size) == ("go.sum database tree", 13485)
    assert GOSUM_NOTE.startswith(checkpoint.text())


def test_every_one_of_the_verifiers_must_have_signed() -> None:
    witness = NoteSigner("witness.example.org", RO.signing)
    both = sign_note("text\n", HUB_NOTES, witness)
    assert open_note(both, HUB_NOTES.verifier, witness.verifier) == "text\n"
    assert open_note(both, witness.verifier) == "text\n"
    with pytest.raises(NoteInvalid, match=r"not signed by witness\.example\.org"):
        open_note(NOTE, HUB_NOTES.verifier, witness.verifier)


def test_a_key_of_the_same_name_is_told_apart_by_its_hash() -> None:
    with pytest.raises(NoteInvalid, match="not signed by"):
        open_note(NOTE, NoteVerifier(HUB_NOTES.name, RO.signing.public))


text_lines = st.text(st.characters(min_codepoint=0x20, exclude_categories=["Cs"]), max_size=20)


@given(st.lists(text_lines, min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_every_text_comes_back_as_it_was_signed(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    assert open_note(sign_note(text, HUB_NOTES), HUB_NOTES.verifier) == text


@pytest.mark.parametrize("text", ["", "text", "text\r\n", "a\tb\n", "\x00\n", "text\n\x1b[31m\n"])
def test_a_text_that_is_not_one_is_not_signed(text: str) -> None:
    with pytest.raises(NoteInvalid):
        sign_note(text, HUB_NOTES)


LINE = NOTE.split("\n\n")[1]
BLOB = LINE.split(" ")[2].strip()
MALFORMED = {
    "nothing": "",
    "no empty line": f"text\n{LINE}",
    "no signature": "text\n\n",
    "no last newline": NOTE[:-1],
    "a hyphen for the dash": NOTE.replace(DASH, "-"),
    "no space after the dash": NOTE.replace(f"{DASH} ", DASH),
    "no name": f"text\n\n{DASH}  {BLOB}\n",
    "no base64": f"text\n\n{DASH} {HUB_NOTES.name} \n",
    "base64 that does not read": f"text\n\n{DASH} {HUB_NOTES.name} {BLOB[:-1]}\n",
    "base64 of the other alphabet": f"text\n\n{DASH} {HUB_NOTES.name} -_{BLOB[2:]}\n",
    "a hash without a signature": f"text\n\n{DASH} {HUB_NOTES.name} AAAAAA==\n",
    "text among the signatures": f"text\n\n{LINE}more text\n",
    "a carriage return": NOTE.replace("\n", "\r\n"),
    "a control character": NOTE.replace("text", "te\x07xt"),
    "more than a hundred signatures": "text\n\n" + LINE * 101,
}


@pytest.mark.parametrize("note", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_note_is_refused(note: str) -> None:
    with pytest.raises(NoteInvalid):
        open_note(note, HUB_NOTES.verifier)


def test_a_hundred_signatures_are_read() -> None:
    assert open_note("text\n\n" + LINE * 100, HUB_NOTES.verifier) == "text\n"


@given(st.integers(0, len(NOTE) - 1), st.characters(exclude_categories=["Cs"]))
@settings(max_examples=300, deadline=None)
def test_an_altered_character_is_refused_unless_it_says_the_same(place: int, character: str) -> None:
    altered = NOTE[:place] + character + NOTE[place + 1 :]
    try:
        text = open_note(altered, HUB_NOTES.verifier)
    except NoteInvalid:
        return
    # The last bits of a base64 ending are not part of the signature.
    assert text == "text\n"
    assert altered == NOTE or place == NOTE.rindex("=") - 1


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
@settings(max_examples=200, deadline=None)
def test_any_text_raises_nothing_but_note_invalid(text: str) -> None:
    for read in (lambda: open_note(text, HUB_NOTES.verifier), lambda: NoteVerifier.parse(text)):
        with pytest.raises(NoteInvalid):
            read()


def test_every_cut_of_a_verifier_key_and_every_altered_character_is_refused() -> None:
    # As golang.org/x/mod/sumdb/note tests it.
    for begin in range(len(PETER_KEY)):
        for end in range(begin + 1, len(PETER_KEY) + 1):
            if end - begin < len(PETER_KEY):
                with pytest.raises(NoteInvalid):
                    NoteVerifier.parse(PETER_KEY[begin:end])
    for place, character in enumerate(PETER_KEY):
        with pytest.raises(NoteInvalid):
            NoteVerifier.parse(PETER_KEY[:place] + chr(ord(character) + 1) + PETER_KEY[place + 1 :])


@pytest.mark.parametrize(
    "vkey",
    [
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3",
    ],
    ids=["a key too long", "an unknown algorithm", "a hash in capitals", "no key"],
)
def test_a_verifier_key_of_another_form_is_refused(vkey: str) -> None:
    with pytest.raises(NoteInvalid):
        NoteVerifier.parse(vkey)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\tb", "a\nb", "a\N{NO-BREAK SPACE}b"])
def test_a_key_s_name_has_no_space_and_no_plus_sign(name: str) -> None:
    with pytest.raises(NoteInvalid, match="name"):
        NoteVerifier(name, HUB.signing.public)


def test_notes_are_signed_with_ed25519_only() -> None:
    key = SigningKey.generate(SignatureAlgorithm.ES256)
    with pytest.raises(NoteInvalid, match="Ed25519"):
        sign_note("text\n", NoteSigner("name", key))


@given(
    st.text(st.characters(min_codepoint=0x21, exclude_categories=["Cs"]), min_size=1, max_size=20),
    st.integers(0, 2**60),
)
@settings(max_examples=50, deadline=None)
def test_a_checkpoint_comes_back_as_it_was(origin: str, size: int) -> None:
    checkpoint = Checkpoint(origin, size, bytes(range(32)))
    assert Checkpoint.parse(checkpoint.text()) == checkpoint


ROOT = base64.b64encode(bytes(32)).decode()


def test_further_lines_of_a_checkpoint_are_extensions() -> None:
    assert Checkpoint.parse(f"origin\n5\n{ROOT}\nmore\nand more\n") == Checkpoint("origin", 5, bytes(32))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n",
        "origin\n5\n",
        f"\n5\n{ROOT}\n",
        f"origin\n\n{ROOT}\n",
        f"origin\n05\n{ROOT}\n",
        f"origin\n-5\n{ROOT}\n",
        f"origin\n+5\n{ROOT}\n",
        f"origin\n5 \n{ROOT}\n",
        f"origin\n5.0\n{ROOT}\n",
        f"origin\n\N{ARABIC-INDIC DIGIT FIVE}\n{ROOT}\n",
        f"origin\n{'9' * 5000}\n{ROOT}\n",
        "origin\n5\nAAAA\n",
        f"origin\n5\n{ROOT[:-1]}\n",
        f"origin\n5\n {ROOT}\n",
    ],
)
def test_a_malformed_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteInvalid):
        Checkpoint.parse(text)
