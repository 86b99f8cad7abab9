"""What the roster answers: whose key, valid when, who is a member, to whom a key may be closed."""

import pytest

from crypto.envelope import seal, verify
from crypto.errors import KeyNotValid, KeyUnknown, KeyUnusable, RecipientsMismatch, SenderUnknown
from crypto.keys import EncryptionKey, SignatureAlgorithm, SigningKey
from crypto.trust import Trust
from schemas.roster import KeyUse, RosterKey
from tests.crypto.people import BG, HOUR, NOW, RO, TR, roster_key, roster_node, roster_of, routing, trust

SHORT, LONG, LATER = EncryptionKey.generate(), EncryptionKey.generate(), EncryptionKey.generate()
RENEWED = SigningKey.generate()
TRUST = Trust.of(
    roster_of(
        roster_node(
            "bg",
            roster_key(BG.signing),
            roster_key(RENEWED, NOW, NOW + 2 * HOUR),
            roster_key(SHORT, NOW - HOUR, NOW + 1),
            roster_key(LONG, NOW - HOUR, NOW + HOUR),
            roster_key(LATER, NOW + HOUR, NOW + 9 * HOUR),
            task_forces=("drugs", "fraud"),
        ),
        roster_node("ro", roster_key(RO.signing), task_forces=("fraud",)),
        roster_node("al", task_forces=("drugs",)),
    )
)


def test_a_signer_s_key_is_found_by_node_and_key_id() -> None:
    assert TRUST.signing_key("bg", BG.signing.public.key_id, NOW) == BG.signing.public
    assert TRUST.signing_key("bg", RENEWED.public.key_id, NOW) == RENEWED.public
    verified = verify(_from_ro(), trust().signer_of)
    assert TRUST.signer_of(verified.header, verified.signer) == RO.signing.public


def test_a_node_that_is_not_in_the_roster_is_unknown() -> None:
    with pytest.raises(SenderUnknown, match=r"tr .*version 1"):
        TRUST.signing_key("tr", TR.signing.public.key_id, NOW)


def test_a_key_of_another_node_is_unknown() -> None:
    with pytest.raises(KeyUnknown):
        TRUST.signing_key("ro", BG.signing.public.key_id, NOW)


def test_an_encryption_key_is_no_signing_key() -> None:
    with pytest.raises(KeyUnknown):
        TRUST.signing_key("bg", LONG.public.key_id, NOW)


@pytest.mark.parametrize("at", [0, NOW - 1, NOW + 2 * HOUR, NOW + 9 * HOUR])
def test_a_key_outside_its_validity_is_refused(at: int) -> None:
    with pytest.raises(KeyNotValid):
        TRUST.signing_key("bg", RENEWED.public.key_id, at)


@pytest.mark.parametrize("at", [NOW, NOW + 2 * HOUR - 1])
def test_a_key_is_valid_from_its_first_millisecond_to_before_its_last(at: int) -> None:
    assert TRUST.signing_key("bg", RENEWED.public.key_id, at) == RENEWED.public


def test_messages_are_closed_to_the_key_that_is_valid_longest() -> None:
    assert TRUST.sealing_key("bg", NOW) == LONG.public
    assert TRUST.sealing_key("bg", NOW + HOUR) == LATER.public


@pytest.mark.parametrize(("node", "at"), [("bg", NOW + 9 * HOUR), ("bg", 0), ("ro", NOW), ("tr", NOW)])
def test_without_a_valid_encryption_key_nothing_is_closed(node: str, at: int) -> None:
    with pytest.raises(KeyUnknown, match=node):
        TRUST.sealing_key(node, at)


def _from_ro(key: EncryptionKey = LONG) -> bytes:
    return seal(routing(), b"", {"bg": key.public}, RO.signing)[1]


@pytest.mark.parametrize("key", [SHORT, LONG, LATER])
def test_a_message_may_be_closed_to_any_key_of_its_recipient(key: EncryptionKey) -> None:
    TRUST.check_recipient_keys(verify(_from_ro(key), TRUST.signer_of))


def test_a_message_closed_to_a_key_that_is_not_its_recipient_s_is_refused() -> None:
    with pytest.raises(RecipientsMismatch, match="bg"):
        TRUST.check_recipient_keys(verify(_from_ro(TR.encryption), TRUST.signer_of))


def test_a_node_finds_its_own_keys_in_the_roster_and_is_told_if_one_was_exchanged() -> None:
    TRUST.check_own_keys("bg", BG.signing.public, LONG.public)
    for node, signing, sealing in (
        ("bg", BG.signing, BG.encryption),
        ("bg", TR.signing, LONG),
        ("ro", BG.signing, LONG),
        ("xx", BG.signing, LONG),
    ):
        with pytest.raises(KeyUnknown, match=node):
            TRUST.check_own_keys(node, signing.public, sealing.public)


def test_members_are_told_by_task_force_in_order() -> None:
    assert TRUST.members("drugs") == ("al", "bg")
    assert TRUST.members("fraud") == ("bg", "ro")
    assert TRUST.members("wmd") == ()


@pytest.mark.parametrize("use", KeyUse)
def test_a_roster_with_a_key_that_is_none_is_refused(use: KeyUse) -> None:
    broken = RosterKey(kid=bytes(16), use=use, public=b"\x01" + bytes(5), not_before=0, not_after=NOW)
    with pytest.raises(KeyUnusable):
        Trust.of(roster_of(roster_node("ro", broken)))


@pytest.mark.parametrize("key", [TR.signing, TR.encryption], ids=["signing", "encryption"])
def test_a_roster_with_a_key_under_another_s_id_is_refused(key: SigningKey | EncryptionKey) -> None:
    swapped = roster_key(key).model_copy(update={"kid": RO.signing.public.key_id})
    with pytest.raises(KeyUnusable, match="not its own"):
        Trust.of(roster_of(roster_node("ro", swapped)))


def test_the_answers_cannot_be_changed_in_a_running_program() -> None:
    with pytest.raises(TypeError):
        TRUST.nodes["xx"] = TRUST.nodes["ro"]  # type: ignore[index]


def _witness(key: SigningKey, begin: int = NOW - HOUR, end: int = NOW + HOUR) -> RosterKey:
    return roster_key(key, begin, end).model_copy(update={"use": KeyUse.WITNESS})


def test_a_witness_key_cosigns_and_signs_nothing_else() -> None:
    first, second = SigningKey.generate(), SigningKey.generate()
    keys = (_witness(first), _witness(second, NOW, NOW + 2 * HOUR))
    found = Trust.of(roster_of(roster_node("bg", roster_key(BG.signing), *keys), roster_node("ro")))
    assert {node: key.key for node, key in found.witnesses(NOW - 1).items()} == {"bg": first.public}
    assert {node: key.key for node, key in found.witnesses(NOW).items()} == {"bg": second.public}
    assert found.witnesses(NOW)["bg"].name == "seci.exchange/witness/bg"
    assert found.witnesses(NOW + 2 * HOUR) == {}
    with pytest.raises(KeyUnknown):
        found.signing_key("bg", first.public.key_id, NOW)


def test_one_witness_does_not_count_as_two() -> None:
    shared = _witness(SigningKey.generate())
    with pytest.raises(KeyUnusable, match="twice"):
        Trust.of(roster_of(roster_node("bg", shared), roster_node("ro", shared)))


def test_a_witness_key_is_ed25519() -> None:
    with pytest.raises(KeyUnusable, match="bg is no Ed25519 key"):
        Trust.of(roster_of(roster_node("bg", _witness(SigningKey.generate(SignatureAlgorithm.ES256)))))
