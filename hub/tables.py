"""The hub's tables. What is on record is only ever inserted: the role the hub runs as may not change a row of it.

What it may change is work in hand: `held`, `enrolment`, `deadline_progress`, `timestamp_progress`, `authorities_held`,
of operators all but the name, of sessions and approvals what becomes of them; and it may delete `quarantine_content`,
`witness_round`, `cosignature`, sessions and counts of failed logins. `erase_entries`, a function of the database's
owner, erases what entries say.

Times are milliseconds since the epoch, UTC; digests and hashes are 32 bytes.
"""

from typing import Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    literal_column,
    text,
)

metadata: Final = MetaData()

# The ledger. A leaf never changes; its entry and salt stand apart so that they can be erased.
ledger_leaf: Final = Table(
    "ledger_leaf",
    metadata,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
)
ledger_content: Final = Table(
    "ledger_content",
    metadata,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("event", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("entry", LargeBinary, nullable=False),
)
# Which entry of event `erased` says that an entry's content was erased, and the commitment that is kept of it (none of
# what was erased before migration 0008). Only `erase_entries` writes here.
erasure: Final = Table(
    "erasure",
    metadata,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("erased_by", BigInteger, nullable=False),
    Column("commitment", LargeBinary),
)
# Roots of perfect subtrees of 256^n leaves (level 8, 16, ...): any proof reads a few hundred rows.
ledger_subtree: Final = Table(
    "ledger_subtree",
    metadata,
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("place", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
)
ledger_checkpoint: Final = Table(
    "ledger_checkpoint",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

# What was accepted, by which a message is recognised when it comes again.
message: Final = Table(
    "message",
    metadata,
    Column("sender", Text, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("envelope", LargeBinary, nullable=False),
    Column("leaf_index", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("thread", Uuid, nullable=False),
    Column("task_force", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("priority", Text, nullable=False),
    Column("recipients", ARRAY(Text), nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("in_reply_to", Uuid),
    Column("remind_at", BigInteger),
    Column("reply_by", BigInteger),
)
refusal: Final = Table(
    "refusal",
    metadata,
    Column("node", Text, primary_key=True),
    Column("envelope", LargeBinary, primary_key=True),
    Column("message", Uuid),
    Column("leaf_index", BigInteger, nullable=False),
    Column("code", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)
acknowledgement: Final = Table(
    "acknowledgement",
    metadata,
    Column("sender", Text, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("recipient", Text, primary_key=True),
    Column("outcome", Text, nullable=False),
    Column("leaf_index", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("evidence", LargeBinary, nullable=False),
)
# The signed acknowledgements, by SHA-256: one stands for many messages.
acknowledgement_document: Final = Table(
    "acknowledgement_document",
    metadata,
    Column("evidence", LargeBinary, primary_key=True),
    Column("signed", LargeBinary, nullable=False),
)
quarantine: Final = Table(
    "quarantine",
    metadata,
    Column("node", Text, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("leaf_index", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("reason", Text, nullable=False),
)
# Apart, so that an operator can discard it and the record stays.
quarantine_content: Final = Table(
    "quarantine_content",
    metadata,
    Column("node", Text, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)
# What an operator decided on something in quarantine: `released` or `discarded`.
quarantine_decision: Final = Table(
    "quarantine_decision",
    metadata,
    Column("node", Text, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("decision", Text, nullable=False),
    Column("leaf_index", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("operator", Text, nullable=False),
    Column("reason", Text, nullable=False),
)
roster: Final = Table(
    "roster",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("leaf_index", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("signed", LargeBinary, nullable=False),
)
# The policy as the rosters have it, readable: each version's rules in their order, which the hub itself reads from the
# signed roster. A column that is NULL fits anything.
policy_rule: Final = Table(
    "policy_rule",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False),
    Column("effect", Text, nullable=False),
    Column("words", Text, nullable=False),
    *(Column(name, ARRAY(Text)) for name in ("senders", "recipients")),
    Column("mutual", Boolean, nullable=False),
    *(Column(name, ARRAY(Text)) for name in ("agencies", "task_forces", "kinds", "handling")),
    Column("only", Text),
)
# Who changed the policy, and why; `version` is that of the roster with the change.
policy_change: Final = Table(
    "policy_change",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("leaf_index", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("operator", Text, nullable=False),
    Column("change", Text, nullable=False),
    Column("reason", Text, nullable=False),
)
# What coordinators have ordered, with the code of those that were refused; `said` is the time in the order.
membership_order: Final = Table(
    "membership_order",
    metadata,
    Column("node", Text, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("leaf_index", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("said", BigInteger, nullable=False),
    Column("task_force", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("code", Text),
    Column("signed", LargeBinary, nullable=False),
)

# What operators did with a node's membership: the entry that says so, with who and why, and the version of the roster.
node_act: Final = Table(
    "node_act",
    metadata,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("node", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("version", Integer, nullable=False),
)
# TLS certificates of nodes as they were issued, by their serial numbers in hexadecimal; and those that are revoked.
certificate: Final = Table(
    "certificate",
    metadata,
    Column("serial", Text, primary_key=True),
    Column("node", Text, nullable=False),
    Column("not_after", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
)
certificate_revocation: Final = Table(
    "certificate_revocation",
    metadata,
    Column("serial", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("cause", Text, nullable=False),
)

# Deliveries that the broker would not take (a full inbox, say): tried again with growing pauses; and what is
# withheld from a node that takes no part.
held: Final = Table(
    "held",
    metadata,
    Column("node", Text, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("urgent", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("place", BigInteger, Identity(), nullable=False),
    Column("after", Text),
    Column("since", BigInteger, nullable=False, server_default=text("extract(epoch FROM now()) * 1000")),
)
Index("held_place", held.c.node, held.c.urgent, held.c.place)
Index("held_withheld", held.c.node, postgresql_where=held.c.reason == literal_column("'withheld'"))

# What a recipient has missed, each once for a message and recipient: reminders, escalations, expiries; and that it
# will not get a message any more (returned), or is not asked any more (handed over).
deadline: Final = Table(
    "deadline",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("recipient", Text, primary_key=True),
    Column("event", Text, primary_key=True),
    Column("leaf_index", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
)
# Up to which moment, and which message of that moment, deadlines have been seen to, for each event.
deadline_progress: Final = Table(
    "deadline_progress",
    metadata,
    Column("event", Text, primary_key=True),
    Column("upto", BigInteger, nullable=False),
    Column("leaf_index", BigInteger, nullable=False),
)
# Checkpoints that the nodes are, or were, asked to cosign, with our second signature, and their cosignatures: all of
# these are signature lines.
witness_round: Final = Table(
    "witness_round",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("line", Text),
)
cosignature: Final = Table(
    "cosignature",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("node", Text, primary_key=True),
    Column("line", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)
# Checkpoints with our own signature and a node's, of another tree than the ledger has: proof that there were two.
contradiction: Final = Table(
    "contradiction",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, primary_key=True),
    Column("node", Text, primary_key=True),
    Column("note", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)
# An id is one message, whoever sends it: an answer by id alone must not go astray.
Index("message_id", message.c.id, unique=True)
Index("refusal_message", refusal.c.message)
Index("erasure_erased_by", erasure.c.erased_by)
Index("erasure_uncommitted", erasure.c.leaf_index, postgresql_where=erasure.c.commitment.is_(None))
Index("ledger_content_erased", ledger_content.c.leaf_index, postgresql_where=text("event = 'erased'"))
Index("message_envelope", message.c.envelope)
Index("message_thread", message.c.thread, message.c.leaf_index)
Index("message_expires", message.c.expires, message.c.leaf_index)
Index("message_in_reply_to", message.c.in_reply_to, postgresql_where=message.c.in_reply_to.is_not(None))
Index("message_remind_at", message.c.remind_at, message.c.leaf_index, postgresql_where=message.c.remind_at.is_not(None))
Index("message_reply_by", message.c.reply_by, message.c.leaf_index, postgresql_where=message.c.reply_by.is_not(None))
Index("message_question", message.c.expires, message.c.reply_by, postgresql_where=message.c.reply_by.is_not(None))
Index("acknowledgement_id", acknowledgement.c.id)

# What a TSA signed of checkpoints: its time, the subject of its certificate, its whole answer (RFC 3161, DER).
timestamps: Final = Table(
    "timestamps",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("place", BigInteger, Identity(), primary_key=True),
    Column("said", BigInteger, nullable=False),
    Column("tsa", Text, nullable=False),
    Column("response", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
)
# One row: when a TSA was asked last, how many attempts in a row have failed, and with which code.
timestamp_progress: Final = Table(
    "timestamp_progress",
    metadata,
    Column("tried", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("code", Text),
)
# What each node has said last of the authorities that it trusts, and of which its certificate is: SHA-256 of theirs.
authorities_held: Final = Table(
    "authorities_held",
    metadata,
    Column("node", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("authorities", ARRAY(LargeBinary), nullable=False),
    Column("issuer", LargeBinary),
)
# Each time that another key took the place of the one that signs: the handover's entry, the id of the new key, and what
# nodes are told of it.
handover: Final = Table(
    "handover",
    metadata,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("news", LargeBinary, nullable=False),
)
# Figures of years before the system; of several for one field and year the newest counts. Who imported them, what they
# are taken from, and the SHA-256 of the file.
imported_statistic: Final = Table(
    "imported_statistic",
    metadata,
    Column("place", BigInteger, Identity(), primary_key=True),
    Column("year", Integer, nullable=False),
    Column("field", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("operator", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
)
# Invitations and what became of them (`hub.joining`, `schemas.joining.Stage`). Of a token only the public half of the
# key that is made from it is kept. `certificate` is there from before the broker is told until that is taken back.
enrolment: Final = Table(
    "enrolment",
    metadata,
    Column("invitation", LargeBinary, primary_key=True),
    Column("node", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("token_key", LargeBinary, nullable=False),
    Column("agencies", ARRAY(Text)),
    Column("task_forces", ARRAY(Text)),
    Column("replace_keys", Boolean, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("invited_by", Text, nullable=False),
    Column("request", Text),
    Column("words", Text),
    Column("challenge", LargeBinary),
    Column("by_file", Boolean),
    Column("proven", Boolean),
    Column("approved_by", Text),
    Column("confirmed_by", Text),
    Column("certificate", Text),
    Column("roster_version", Integer),
    Column("reason", Text),
    Column("since", BigInteger, nullable=False),
)
_OPEN: Final = enrolment.c.stage.not_in(("in_roster", "welcomed", "rejected", "withdrawn"))
Index("enrolment_open", enrolment.c.node, unique=True, postgresql_where=_OPEN)

# Who may do what at the hub (`hub.roles`). `sealed` is the credential, under `operators.key` (`hub.credentials`),
# `certificate` the SHA-256 of it, `totp_step` the last 30-second step of which a code was used.
operator: Final = Table(
    "operator",
    metadata,
    Column("name", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("certificate", LargeBinary),
    Column("totp_step", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
)
# By SHA-256 of the token.
operator_session: Final = Table(
    "operator_session",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("operator", Text, nullable=False),
    Column("begun", BigInteger, nullable=False),
    Column("last_used", BigInteger, nullable=False),
    Column("ends", BigInteger, nullable=False),
)
# By SHA-256 of the name that was typed, whether there is such an operator or not.
login_failure: Final = Table(
    "login_failure",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last", BigInteger, nullable=False),
)
# What takes two: who asked, who confirmed, and how it ended (`done`, `refused`, `void`). `digest` is of action and
# subject (`hub.acts.digest_of`).
approval: Final = Table(
    "approval",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("asked_at", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("confirmed_by", Text),
    Column("confirmed_at", BigInteger),
    Column("ended", Text),
    Column("ended_by", Text),
    Column("ended_at", BigInteger),
)
# The acts of operators as they were written down, whose SHA-256 is the evidence of an entry `operator`.
operator_act: Final = Table(
    "operator_act",
    metadata,
    Column("leaf_index", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("operator", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("act", LargeBinary, nullable=False),
)
Index("operator_act_operator", operator_act.c.operator, operator_act.c.leaf_index)
Index("operator_act_action", operator_act.c.action, operator_act.c.leaf_index)
Index("approval_digest", approval.c.digest, approval.c.id)
