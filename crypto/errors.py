"""Everything that can go wrong in this room, each with a stable code and the next step."""

from enum import StrEnum
from typing import Any, ClassVar


class CryptoError(Exception):
    """The root of this room's errors. `code` is stable; the text says what happened and what to do."""

    code: ClassVar[str] = "crypto_error"


class SignatureInvalid(CryptoError):
    """The bytes were altered, or signed with another key."""

    code = "signature_invalid"


class EnvelopeMalformed(CryptoError):
    """The bytes are not an envelope of this protocol."""

    code = "envelope_malformed"


class TooLarge(CryptoError):
    """The envelope is larger than any that this protocol allows."""

    code = "too_large"


class HeaderMalformed(CryptoError):
    """The envelope's header is not well formed; the text names the field."""

    code = "header_malformed"


class VersionUnsupported(CryptoError):
    """The header is of a protocol version that this program does not speak."""

    code = "version_unsupported"


class AlgorithmRefused(CryptoError):
    """An algorithm is not on the allow-list of the protocol version."""

    code = "algorithm_refused"


class RecipientsMismatch(CryptoError):
    """The wrapped keys are not those of the header's recipients."""

    code = "recipients_mismatch"


class NotAddressed(CryptoError):
    """The envelope holds no wrapped key for this node."""

    code = "not_addressed"


class DecryptionFailed(CryptoError):
    """A wrapped key or the content does not open: altered, or for another key."""

    code = "decryption_failed"


class DigestMismatch(CryptoError):
    """The opened content is not what the header's digest states."""

    code = "digest_mismatch"


class SizeMismatch(CryptoError):
    """The content does not have the size that the header states."""

    code = "size_mismatch"


class SenderUnknown(CryptoError):
    """The sender is not in the roster."""

    code = "sender_unknown"


class KeyUnknown(CryptoError):
    """The key is not in the roster for this node."""

    code = "key_unknown"


class KeyNotValid(CryptoError):
    """The key is in the roster, but was not valid at the time in question."""

    code = "key_not_valid"


class KeyRevoked(CryptoError):
    """The key was revoked, and nothing shows that what it signed was on record before."""

    code = "key_revoked"


class KeyUnusable(CryptoError):
    """The bytes are not a key of a kind that this program uses."""

    code = "key_unusable"


class KeyFileRefused(CryptoError):
    """A key file is missing, damaged or readable by others."""

    code = "key_file_refused"


class WrongPassphrase(CryptoError):
    """The key file does not open with this passphrase or key."""

    code = "wrong_passphrase"


class HsmUnavailable(CryptoError):
    """A hardware token with a signing key does not answer, or not as it should; try again when it does."""

    code = "hsm_unavailable"


class CertificateRefused(CryptoError):
    """A certificate or request is expired, not yet valid, or not what was asked for."""

    code = "certificate_refused"


class ProofInvalid(CryptoError):
    """A Merkle proof does not lead to the root."""

    code = "proof_invalid"


class NoteInvalid(CryptoError):
    """A signed note is malformed or has no valid signature of a known key."""

    code = "note_invalid"


class HubKeyForeign(NoteInvalid):
    """What should be the hub's is signed under its name with another key than its time's."""

    code = "hub_key_foreign"


class HandoverForked(CryptoError):
    """One key has handed over to two, or two to one: one of the handovers is a thief's."""

    code = "handover_forked"


class HandoverUnlogged(CryptoError):
    """The entry that comes with a handover as its proof is another one, or not in its place."""

    code = "handover_unlogged"


class NotWitnessed(CryptoError):
    """Fewer witnesses than the policy asks for have cosigned a checkpoint."""

    code = "not_witnessed"


class OldSizeWrong(CryptoError):
    """A witness was asked to go on from another checkpoint than the one it cosigned last."""

    code = "old_size_wrong"

    def __init__(self, size: int) -> None:
        super().__init__(f"this witness cosigned size {size} last; prove consistency from there")
        self.size = size


class LogForked(CryptoError):
    """A log has signed two histories: another root for a size that was cosigned."""

    code = "log_forked"


class PolicyInvalid(CryptoError):
    """A policy file is not of the C2SP tlog-policy format; the text names the line."""

    code = "policy_invalid"


class ProofMalformed(CryptoError):
    """The text is not of the C2SP tlog-proof format."""

    code = "proof_malformed"


class TileInvalid(CryptoError):
    """A tile's path is none, or its bytes are not those of its width."""

    code = "tile_invalid"


class ReceiptInvalid(CryptoError):
    """A receipt does not prove what it should."""

    code = "receipt_invalid"


class TlsUnsafe(CryptoError):
    """A TLS context would not verify its peer."""

    code = "tls_unsafe"


class EvidenceMalformed(CryptoError):
    """The bytes are not an evidence bundle of this protocol; the text names the field."""

    code = "evidence_malformed"


class DecisionMissing(CryptoError):
    """The bundle proves no entry that the message was accepted or refused."""

    code = "decision_missing"


class AnswerMissing(CryptoError):
    """The bundle is a recipient's, and proves no entry that this recipient acknowledged the message."""

    code = "answer_missing"


class EntryForeign(CryptoError):
    """A proven entry is about another message, or is none that says anything of one."""

    code = "entry_foreign"


class EntryRepeated(CryptoError):
    """Two entries say the same thing: the decision, or the same recipient's answer."""

    code = "entry_repeated"


class EntryContradicts(CryptoError):
    """A proven entry says other things of the message than its signed header."""

    code = "entry_contradicts"


class RosterKeyMissing(CryptoError):
    """The policy lists no Ed25519 key of the log, with which the hub signs rosters too."""

    code = "roster_key_missing"


class RosterMissing(CryptoError):
    """The bundle has signatures of members, and no roster that says whose they are."""

    code = "roster_missing"


class RosterUnlogged(CryptoError):
    """The entry that comes with a roster as its proof is another roster's, or none of a roster."""

    code = "roster_unlogged"


class RosterUnproven(CryptoError):
    """A roster in the bundle is altered, or not signed with the log's key."""

    code = "roster_unproven"


class AcknowledgementMissing(CryptoError):
    """An entry says that a message was delivered or declined, and the recipient's own word is not there."""

    code = "acknowledgement_missing"


class AcknowledgementUnproven(CryptoError):
    """An acknowledgement in the bundle is damaged, or does not have its recipient's signature."""

    code = "acknowledgement_unproven"


class AcknowledgementContradicts(CryptoError):
    """The recipient signed something else than the entry says."""

    code = "acknowledgement_contradicts"


class AcknowledgementForeign(CryptoError):
    """An acknowledgement in the bundle is one that no proven entry rests on."""

    code = "acknowledgement_foreign"


class ContentUnbound(CryptoError):
    """The bundle has the content without the envelope, whose header alone says what the content must be."""

    code = "content_unbound"


class TimestampInvalid(CryptoError):
    """A TSA's answer proves nothing: see its kinds."""

    code = "timestamp_invalid"


class TimestampMalformed(TimestampInvalid):
    """The bytes are not an RFC 3161 response with a timestamp, or too many."""

    code = "timestamp_malformed"


class TimestampNotGranted(TimestampInvalid):
    """The TSA refused to give a timestamp."""

    code = "timestamp_not_granted"


class TimestampForeign(TimestampInvalid):
    """The timestamp is of other bytes, or the answer to another question."""

    code = "timestamp_foreign"


class TimestampUntrusted(TimestampInvalid):
    """The timestamp is not signed by a TSA whose certificate goes back to a trusted root and is for timestamps only."""

    code = "timestamp_untrusted"


class TsaRootsUnusable(TimestampInvalid):
    """The file of trusted roots of TSAs is missing or has no certificates in PEM."""

    code = "tsa_roots_unusable"


class LedgerFault(StrEnum):
    """What is wrong with an exported ledger."""

    MANIFEST_MALFORMED = "manifest_malformed"
    """`ledger.json` does not say which ledger it is."""
    UNFINISHED = "unfinished"
    """There is no checkpoint, or there are files beyond it."""
    FILE_MISSING = "file_missing"
    FILE_TRUNCATED = "file_truncated"
    RECORD_MALFORMED = "record_malformed"
    """A file has a record that is none."""
    ENTRY_MALFORMED = "entry_malformed"
    """What was hashed is not a ledger entry."""
    ENTRIES_MISSING = "entries_missing"
    """There are fewer entries than a checkpoint or a file's name says."""
    ENTRIES_ADDED = "entries_added"
    """There are more."""
    ENTRIES_CHANGED = "entries_changed"
    """The root is another one than was signed: an entry was changed, exchanged or moved."""
    CHECKPOINT_UNSIGNED = "checkpoint_unsigned"
    """A checkpoint is not signed by a key of the log, or is of another log."""
    HANDOVER_WRONG = "handover_wrong"
    """A handover of the log's key is missing, damaged, or not the one that an entry names."""
    HISTORY_FORKED = "history_forked"
    """The log has signed two histories: this is proof of it."""
    EXPORT_OLDER = "export_older"
    """A checkpoint that the auditor has is of more entries than the export."""
    CONTENT_MISSING = "content_missing"
    """Of an entry there is the leaf hash alone, and no later entry says that it was erased."""
    ROSTER_WRONG = "roster_wrong"
    """A roster is not the one that its entry names, or not the next one."""


class LedgerUnproven(CryptoError):
    """An exported ledger does not prove what it should: the fault, in which file, and from which entry on.

    `index` is that of the first entry that may be at fault; None if it concerns none.
    """

    code = "ledger_unproven"

    def __init__(self, fault: LedgerFault, message: str, *, file: str, index: int | None = None) -> None:
        super().__init__(message)
        self.fault = fault
        self.file = file
        self.index = index

    def __reduce__(self) -> tuple[Any, ...]:
        # It is found in one process and told by another.
        return _unproven, (self.fault, str(self), self.file, self.index)


def _unproven(fault: LedgerFault, message: str, file: str, index: int | None) -> LedgerUnproven:
    return LedgerUnproven(fault, message, file=file, index=index)
