"""Policies: the format in its own malformed shapes, and which checkpoints meet which quorum."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.cosignature import Cosigner, add_cosignatures, cosign
from crypto.errors import NoteInvalid, NotWitnessed, PolicyInvalid
from crypto.keys import SigningKey
from crypto.note import Checkpoint, NoteSigner, sign_note
from crypto.policy import Policy, read_checkpoint, witnessed
from tests.crypto.cosigners import AT, BG, HU, LOG, LOG_PQ, ORIGIN, RO, RO_PQ, Ledger

NOTE = Ledger(5).checkpoint()
KEYS = {"ro": RO, "ropq": RO_PQ, "bg": BG, "hu": HU}
LOGS = f"log {LOG.verifier.vkey()}\nlog {LOG_PQ.verifier.vkey()}\n"
WITNESSES = "".join(f"witness {name} {key.verifier.vkey()}\n" for name, key in KEYS.items())
# Of the specification's example: groups in a group.
NESTED = f"{LOGS}{WITNESSES}group two 2 ro bg hu\ngroup any any ropq\ngroup all all two any\nquorum all\n"


def read(text: str) -> Policy:
    return Policy.from_bytes(text.encode())


def cosigned(*names: str, note: str = NOTE) -> str:
    lines = "".join(cosign(note, KEYS[name], AT) for name in names)
    return add_cosignatures(note, lines, [KEYS[name].verifier for name in names]) if names else note


def test_a_policy_reads_as_it_is_written() -> None:
    policy = read(f"# ours\n\n  \t\n{NESTED.replace('log ', ' log  ').replace('quorum all', chr(9) + 'quorum all ')}")
    assert [log.key for log in policy.logs] == [LOG.verifier, LOG_PQ.verifier]
    assert [witness.name for witness in policy.witnesses] == list(KEYS)
    assert [(group.name, group.threshold) for group in policy.groups] == [("two", 2), ("any", 1), ("all", 2)]
    assert policy.quorum == "all"
    assert Policy.from_bytes(policy.to_bytes()) == policy


def test_urls_and_names_that_are_not_utf_8_are_kept() -> None:
    data = f"log {LOG.verifier.vkey()} https://a.example/\nwitness ".encode() + b"\xff\xe2\x84\xaa "
    data += f"{RO.verifier.vkey()} https://b.example/\nquorum ".encode() + b"\xff\xe2\x84\xaa"
    policy = Policy.from_bytes(data)
    assert (policy.logs[0].url, policy.witnesses[0].url) == ("https://a.example/", "https://b.example/")
    assert Policy.from_bytes(policy.to_bytes()) == policy
    assert policy.to_bytes() == data + b"\n"
    with pytest.raises(PolicyInvalid, match="line 3"):
        Policy.from_bytes(data.replace(b"quorum \xff", b"quorum \xfe"))


VKEY = RO.verifier.vkey()
MALFORMED = {
    "nothing": "",
    "no quorum": LOGS,
    "two quorums": "quorum none\nquorum none\n",
    "a quorum that is not defined": "quorum ro\n",
    "a quorum before its witness": f"quorum ro\nwitness ro {VKEY}\n",
    "a quorum of two words": f"witness ro {VKEY}\nquorum ro ro\n",
    "an unknown word": "logs\nquorum none\n",
    "a word in capitals": "QUORUM none\n",
    "a log without a key": "log\nquorum none\n",
    "a log with too many words": f"{LOGS.splitlines()[0]} a b\nquorum none\n",
    "a log with a witness's key": f"log {VKEY}\nquorum none\n",
    "a log twice": f"{LOGS}{LOGS}quorum none\n",
    "a log's key under another name": f"log {LOG.verifier.vkey()}\nlog "
    f"{NoteSigner('other', LOG.key).verifier.vkey()}\nquorum none\n",
    "a witness with a log's key": f"witness a {LOG.verifier.vkey()}\nquorum none\n",
    "a witness without a key": "witness a\nquorum none\n",
    "a witness's key that does not read": f"witness a {VKEY}x\nquorum none\n",
    "a witness's name twice": f"witness a {VKEY}\nwitness a {BG.verifier.vkey()}\nquorum none\n",
    "a witness's key twice": f"witness a {VKEY}\nwitness b {VKEY}\nquorum none\n",
    "a witness named none": f"witness none {VKEY}\nquorum none\n",
    "a group named none": f"witness a {VKEY}\ngroup none any a\nquorum none\n",
    "a group of a witness's name": f"witness a {VKEY}\ngroup a any a\nquorum none\n",
    "a group without members": "group a any\nquorum none\n",
    "a group with none in it": "group a any none\nquorum none\n",
    "a group in itself": "group a any a\nquorum none\n",
    "a group of what comes later": f"group a any b\nwitness b {VKEY}\nquorum none\n",
    "a member twice in a group": f"witness a {VKEY}\ngroup b 2 a a\nquorum none\n",
    "a member of two groups": f"witness a {VKEY}\ngroup b any a\ngroup c any a\nquorum none\n",
    "a threshold of zero": f"witness a {VKEY}\ngroup b 0 a\nquorum none\n",
    "a threshold above the members": f"witness a {VKEY}\ngroup b 2 a\nquorum none\n",
    "a threshold with a leading zero": f"witness a {VKEY}\ngroup b 01 a\nquorum none\n",
    "a threshold in words": f"witness a {VKEY}\ngroup b one a\nquorum none\n",
    "a carriage return": "quorum none\r\n",
    "a control character": "quorum none\n#\x07\n",
    "a delete character": "quorum none\n#\x7f\n",
    "a no-break space for a blank": "quorum\N{NO-BREAK SPACE}none\n",
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_policy_is_refused(text: str) -> None:
    with pytest.raises(PolicyInvalid):
        read(text)


def test_a_policy_that_is_too_large_is_refused() -> None:
    with pytest.raises(PolicyInvalid, match="bytes"):
        read("quorum none\n" + "#" * (1 << 20))


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_a_policy_or_refused(data: bytes) -> None:
    for text in (data, b"quorum none\n" + data):
        try:
            policy = Policy.from_bytes(text)
        except PolicyInvalid:
            continue
        assert Policy.from_bytes(policy.to_bytes()) == policy


Rule = Callable[[set[str]], bool]
QUORUMS: dict[str, tuple[str, Rule]] = {
    "none": ("quorum none\n", lambda names: True),
    "one witness": ("quorum bg\n", lambda names: "bg" in names),
    "any": ("group g any ro bg hu\nquorum g\n", lambda names: bool(names & {"ro", "bg", "hu"})),
    "two of three": ("group g 2 ro bg hu\nquorum g\n", lambda names: len(names & {"ro", "bg", "hu"}) >= 2),
    "all": ("group g all ro bg hu ropq\nquorum g\n", lambda names: len(names) == 4),
    "groups in a group": (
        NESTED.removeprefix(LOGS + WITNESSES),
        lambda names: len(names & {"ro", "bg", "hu"}) >= 2 and "ropq" in names,
    ),
}


@pytest.mark.parametrize(("quorum", "rule"), QUORUMS.values(), ids=QUORUMS)
def test_a_quorum_is_met_by_the_sets_of_witnesses_that_it_names(quorum: str, rule: Rule) -> None:
    policy = read(LOGS + WITNESSES + quorum)
    for chosen in range(1 << len(KEYS)):
        names = [name for place, name in enumerate(KEYS) if chosen >> place & 1]
        found = read_checkpoint(cosigned(*names), policy)
        assert found.witnesses == tuple((name, AT) for name in names)
        assert found.checkpoint == Ledger(5).text()
        assert found.quorum == rule(set(names)), names
        if found.quorum:
            assert witnessed(cosigned(*names), policy) == found
        else:
            with pytest.raises(NotWitnessed):
                witnessed(cosigned(*names), policy)
            assert witnessed(cosigned(*names), policy.unwitnessed()).quorum


def test_a_policy_of_keys_and_a_number() -> None:
    policy = Policy.of([LOG.verifier, LOG_PQ.verifier], [RO.verifier, BG.verifier, HU.verifier], 2)
    assert Policy.from_bytes(policy.to_bytes()) == policy
    assert read_checkpoint(cosigned("ro", "hu"), policy).quorum
    assert not read_checkpoint(cosigned("ro", "ropq"), policy).quorum
    assert read_checkpoint(NOTE, Policy.of([LOG.verifier], [], 0)).quorum
    for witnesses, quorum in (([RO.verifier], 2), ([], 1), ([RO.verifier, RO_PQ.verifier], 1)):
        with pytest.raises(PolicyInvalid):
            Policy.of([LOG.verifier], witnesses, quorum)


def test_a_log_must_have_signed_with_each_type_of_key_that_is_listed() -> None:
    both, one = read(f"{LOGS}quorum none\n"), read(f"log {LOG.verifier.vkey()}\nquorum none\n")
    text = Ledger(5).text().text()
    ed25519 = sign_note(text, LOG)
    assert read_checkpoint(NOTE, both).checkpoint == read_checkpoint(ed25519, one).checkpoint
    only_pq = f"{text}\n{LOG_PQ.sign(text, AT).line()}"
    for note, policy in ((ed25519, both), (only_pq, both), (only_pq, one)):
        with pytest.raises(NoteInvalid):
            read_checkpoint(note, policy)


def test_a_log_may_sign_with_any_of_its_keys_of_one_type() -> None:
    new = NoteSigner(ORIGIN, SigningKey.generate())
    policy = read(f"log {LOG.verifier.vkey()}\nlog {new.verifier.vkey()}\nquorum none\n")
    text = Ledger(5).text().text()
    for signers in ((LOG,), (new,), (LOG, new)):
        assert read_checkpoint(sign_note(text, *signers), policy).checkpoint.size == 5


def test_a_checkpoint_of_another_log_or_key_is_refused() -> None:
    policy = read(f"{LOGS}{WITNESSES}quorum none\n")
    forger = NoteSigner(ORIGIN, SigningKey.generate())
    elsewhere = sign_note(Checkpoint("other.example.org", 5, bytes(32)).text(), LOG)
    witness = NoteSigner(RO.name, SigningKey.generate())
    for note in (
        elsewhere,
        sign_note(Ledger(5).text().text(), forger),
        sign_note(Checkpoint(RO.name, 5, bytes(32)).text(), witness),
        NOTE.replace("\n5\n", "\n6\n"),
    ):
        with pytest.raises(NoteInvalid):
            read_checkpoint(note, policy)
    with pytest.raises(NoteInvalid):
        read_checkpoint(NOTE, read("quorum none\n"))


def test_a_wrong_cosignature_of_a_listed_witness_refuses_the_checkpoint() -> None:
    policy = read(f"{LOGS}{WITNESSES}quorum none\n")
    forged = Cosigner(RO.name, BG.key).sign(Ledger(5).text().text(), AT)
    line = type(forged)(RO.name, RO.verifier.key_hash, forged.value).line()
    with pytest.raises(NoteInvalid, match="does not match"):
        read_checkpoint(NOTE + line, policy)
    unknown = Cosigner("unknown.example.org", BG.key)
    assert read_checkpoint(NOTE + cosign(NOTE, unknown, AT), policy).witnesses == ()
