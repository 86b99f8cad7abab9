"""Refusal codes keep their meaning for ever, and each says what to do next."""

import pytest

from schemas.refusals import NEXT_STEP, RefusalCode

# Integrators branch on these. A code may be added here; none may be changed or removed.
PUBLISHED = [
    "envelope_malformed",
    "header_malformed",
    "version_unsupported",
    "algorithm_refused",
    "too_large",
    "sender_mismatch",
    "sender_unknown",
    "key_unknown",
    "key_not_valid",
    "key_revoked",
    "sender_suspended",
    "signature_invalid",
    "recipients_mismatch",
    "created_in_future",
    "created_too_old",
    "expired",
    "expires_too_late",
    "id_reused",
    "task_force_unknown",
    "kind_unknown",
    "not_a_member",
    "recipient_unknown",
    "recipient_suspended",
    "recipient_revoked",
    "recipient_not_a_member",
    "agency_not_of_sender",
    "attachments_unsupported",
    "not_addressed",
    "decryption_failed",
    "digest_mismatch",
    "size_mismatch",
    "body_invalid",
    "policy_refused",
    "kind_not_of_task_force",
    "permission_missing",
    "handling_weakened",
    "not_coordinator",
    "order_outdated",
    "too_many_orders",
]


def test_the_codes_are_those_published() -> None:
    assert [code.value for code in RefusalCode] == PUBLISHED


@pytest.mark.parametrize("code", RefusalCode)
def test_every_code_has_a_next_step_in_words(code: RefusalCode) -> None:
    assert len(NEXT_STEP[code].split()) >= 3


def test_no_next_step_is_without_its_code_and_none_is_said_twice() -> None:
    assert set(NEXT_STEP) == set(RefusalCode)
    assert len(set(NEXT_STEP.values())) == len(NEXT_STEP)


def test_a_code_is_written_like_its_name() -> None:
    assert all(code.value == code.name.lower() for code in RefusalCode)
