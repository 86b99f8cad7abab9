"""Why the hub or a recipient refuses a message: stable codes, each with its meaning and the next step.

A code, once published, keeps its meaning for ever; integrators branch on it.
"""

from enum import StrEnum
from types import MappingProxyType
from typing import Final


class RefusalCode(StrEnum):
    """The code of a refusal, as it stands in the ledger and on the wire."""

    ENVELOPE_MALFORMED = "envelope_malformed"
    HEADER_MALFORMED = "header_malformed"
    VERSION_UNSUPPORTED = "version_unsupported"
    ALGORITHM_REFUSED = "algorithm_refused"
    TOO_LARGE = "too_large"
    SENDER_MISMATCH = "sender_mismatch"
    SENDER_UNKNOWN = "sender_unknown"
    KEY_UNKNOWN = "key_unknown"
    KEY_NOT_VALID = "key_not_valid"
    KEY_REVOKED = "key_revoked"
    SENDER_SUSPENDED = "sender_suspended"
    SIGNATURE_INVALID = "signature_invalid"
    RECIPIENTS_MISMATCH = "recipients_mismatch"
    CREATED_IN_FUTURE = "created_in_future"
    CREATED_TOO_OLD = "created_too_old"
    EXPIRED = "expired"
    EXPIRES_TOO_LATE = "expires_too_late"
    ID_REUSED = "id_reused"
    TASK_FORCE_UNKNOWN = "task_force_unknown"
    KIND_UNKNOWN = "kind_unknown"
    NOT_A_MEMBER = "not_a_member"
    RECIPIENT_UNKNOWN = "recipient_unknown"
    RECIPIENT_SUSPENDED = "recipient_suspended"
    RECIPIENT_REVOKED = "recipient_revoked"
    RECIPIENT_NOT_A_MEMBER = "recipient_not_a_member"
    AGENCY_NOT_OF_SENDER = "agency_not_of_sender"
    ATTACHMENTS_UNSUPPORTED = "attachments_unsupported"
    NOT_ADDRESSED = "not_addressed"
    DECRYPTION_FAILED = "decryption_failed"
    DIGEST_MISMATCH = "digest_mismatch"
    SIZE_MISMATCH = "size_mismatch"
    BODY_INVALID = "body_invalid"
    POLICY_REFUSED = "policy_refused"
    KIND_NOT_OF_TASK_FORCE = "kind_not_of_task_force"
    PERMISSION_MISSING = "permission_missing"
    HANDLING_WEAKENED = "handling_weakened"
    NOT_COORDINATOR = "not_coordinator"
    ORDER_OUTDATED = "order_outdated"
    TOO_MANY_ORDERS = "too_many_orders"


NEXT_STEP: Final = MappingProxyType(
    {
        RefusalCode.ENVELOPE_MALFORMED: "send the message again; if it recurs, the agent or the path damages messages",
        RefusalCode.HEADER_MALFORMED: "correct the field named in the detail and send a new message",
        RefusalCode.VERSION_UNSUPPORTED: "update the node agent",
        RefusalCode.ALGORITHM_REFUSED: "update the node agent; the algorithm is not on the protocol's list",
        RefusalCode.TOO_LARGE: "shorten the body or split it; the limit inline is 1 MiB",
        RefusalCode.SENDER_MISMATCH: "a message can only be sent by the node that signed it; tell the hub's operators",
        RefusalCode.SENDER_UNKNOWN: "the node is not in the roster; ask the hub's operators to enrol it",
        RefusalCode.KEY_UNKNOWN: "the signing key is not in the roster; run `seci-node doctor`",
        RefusalCode.KEY_NOT_VALID: "the key was not valid when the message was created; set the clock or renew the key",
        RefusalCode.KEY_REVOKED: "the signing key was revoked; the node has to be enrolled again with new keys",
        RefusalCode.SENDER_SUSPENDED: "the node is suspended; ask the hub's operators, then send a new message",
        RefusalCode.SIGNATURE_INVALID: "the message was altered or signed with another key; send a new message",
        RefusalCode.RECIPIENTS_MISMATCH: "the wrapped keys are not the recipients' own; refresh the roster, send anew",
        RefusalCode.CREATED_IN_FUTURE: "the node's clock is ahead; set it (NTP) and send a new message",
        RefusalCode.CREATED_TOO_OLD: "the message waited too long or the clock is behind; send a new message",
        RefusalCode.EXPIRED: "the message expired before it reached the hub; send a new one with a later expiry",
        RefusalCode.EXPIRES_TOO_LATE: "send a new message that expires at most 365 days after it is created",
        RefusalCode.ID_REUSED: "this id was used for other content before; send with a new id",
        RefusalCode.TASK_FORCE_UNKNOWN: "use one of the task forces of `GET /v1/task-forces`",
        RefusalCode.KIND_UNKNOWN: "use a kind and version of `seci-node schema list`; newer ones need a newer program",
        RefusalCode.NOT_A_MEMBER: "the sender is not a member of the task force; ask its coordinator",
        RefusalCode.RECIPIENT_UNKNOWN: "a recipient is not in the roster; refresh the roster and correct it",
        RefusalCode.RECIPIENT_SUSPENDED: "a recipient is suspended; leave it out, and reach it by another way",
        RefusalCode.RECIPIENT_REVOKED: "a recipient's keys are revoked, or it was removed; leave it out",
        RefusalCode.RECIPIENT_NOT_A_MEMBER: "a recipient is not a member of the task force; leave it out",
        RefusalCode.AGENCY_NOT_OF_SENDER: "the roster does not name this agency for the sender; correct it",
        RefusalCode.ATTACHMENTS_UNSUPPORTED: "this release carries no attachments; send the content inline",
        RefusalCode.NOT_ADDRESSED: "the recipient's key is not among the wrapped keys; refresh the roster",
        RefusalCode.DECRYPTION_FAILED: "the recipient could not open the content; send a new message",
        RefusalCode.DIGEST_MISMATCH: "the content is not what the header states; update the sending agent",
        RefusalCode.SIZE_MISMATCH: "the content is not of the size that the header states; update the sending agent",
        RefusalCode.BODY_INVALID: "the content is not of its kind; correct the field named in the detail",
        RefusalCode.POLICY_REFUSED: "the rule in the detail forbids it; ask the task force's coordinator to open the "
        "kind, or the hub's operators (`seci-hub policy explain`)",
        RefusalCode.KIND_NOT_OF_TASK_FORCE: "send it in a task force that uses the kind; the detail names them",
        RefusalCode.PERMISSION_MISSING: "ask the provider with kind permission.request; name its answer in the message",
        RefusalCode.HANDLING_WEAKENED: "send it with the handling of the earlier message, or a stricter one",
        RefusalCode.NOT_COORDINATOR: "only the coordinator that the roster names may order this; ask it",
        RefusalCode.ORDER_OUTDATED: "a newer order of the same coordinator is in force; look at the members first",
        RefusalCode.TOO_MANY_ORDERS: "order it again tomorrow; if it cannot wait, ask the hub's operators",
    }
)
