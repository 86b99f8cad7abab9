"""Everything the hub tells an operator about, each with a stable code and the next step."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import ClassVar


class HubError(Exception):
    """The root of this room's errors. `code` is stable, `exit_code` is what the command line ends with.

    `fields` has, of each wrong field, its name as `field`, what was `found`, and what is `wanted`.
    """

    code: ClassVar[str] = "hub_error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, next_step: str, fields: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(message)
        self.next_step = next_step
        self.fields = fields


class SettingsInvalid(HubError):
    """The hub's home is missing or its settings do not read."""

    code = "settings_invalid"
    exit_code = 2


class BrokerUnreachable(HubError):
    """No connection to RabbitMQ."""

    code = "broker_unreachable"
    exit_code = 5


class BrokenOff(HubError):
    """A batch is not carried on, because an earlier one was not carried to its end."""

    code = "broken_off"


class VerifierDied(HubError):
    """A process that judges messages ended in the middle of a batch."""

    code = "verifier_died"


class RosterChanged(HubError):
    """A batch was judged by a roster that is not the newest any more."""

    code = "roster_changed"


class KeysBusy(HubError):
    """Another command writes keys in the hub's folder, or gives them another secret."""

    code = "keys_busy"
    exit_code = 4


class PortTaken(HubError):
    """The monitor's port is in use."""

    code = "port_taken"
    exit_code = 4


class DatabaseUnreachable(HubError):
    """No connection to PostgreSQL."""

    code = "database_unreachable"
    exit_code = 5


class DatabaseOutdated(HubError):
    """The database answers, but its tables are not those of this program."""

    code = "database_outdated"
    exit_code = 2


class ProvisioningFailed(HubError):
    """The broker did not take the topology."""

    code = "provisioning_failed"


class RenewalRefused(HubError):
    """A node's new keys cannot be listed."""

    code = "renewal_refused"
    exit_code = 4


class RolloverRefused(HubError):
    """Another authority cannot take over yet, or not so."""

    code = "rollover_refused"
    exit_code = 4


class HandedOver(HubError):
    """Another key signs the ledger by now than this process has."""

    code = "key_handed_over"
    exit_code = 4


class HubKeyMissing(HubError):
    """The key that the ledger was handed over to is not in the hub's folder."""

    code = "hub_key_missing"
    exit_code = 2


class EnrolmentRefused(HubError):
    """An enrolment request that must not be granted."""

    code = "enrolment_refused"
    exit_code = 4


class TokenRefused(HubError):
    """No invitation has this token: which part of it is wrong is not said."""

    code = "token_refused"
    exit_code = 4


class TokenOfAnother(HubError):
    """The invitation is for another node."""

    code = "token_of_another"
    exit_code = 4


class TokenExpired(HubError):
    """The invitation was not used in time, or it was withdrawn."""

    code = "token_expired"
    exit_code = 4


class TokenUsed(HubError):
    """Somebody has joined with this token, with other keys."""

    code = "token_used"
    exit_code = 4


class InvitationOutdated(HubError):
    """The hub has other keys than those that the invitation names."""

    code = "invitation_outdated"
    exit_code = 4


class EnrolmentOpen(HubError):
    """The node has an invitation or a request that is not decided yet."""

    code = "enrolment_open"
    exit_code = 4


class EnrolmentUnknown(HubError):
    """The node has no invitation or request that could be decided so."""

    code = "enrolment_unknown"
    exit_code = 4


class WordsDiffer(HubError):
    """The words that were typed are not those of the request."""

    code = "words_differ"
    exit_code = 4


class KeyUnproven(HubError):
    """The node has not shown that it can open what is closed to its encryption key."""

    code = "key_unproven"
    exit_code = 4


class SameOperator(HubError):
    """Who approved may not confirm."""

    code = "same_operator"
    exit_code = 4


class RequestUnreadable(HubError):
    """What was handed in is no request to join."""

    code = "request_unreadable"
    exit_code = 2


class PlainRefused(HubError):
    """The console would take passwords in plain HTTP from other machines."""

    code = "plain_refused"
    exit_code = 2


class TooMany(HubError):
    """More requests than one address, or all together, may make."""

    code = "too_many_requests"
    exit_code = 4


class NodeUnknown(HubError):
    """A node was named that the roster does not have."""

    code = "node_unknown"
    exit_code = 2


class NodeStateRefused(HubError):
    """What is asked for cannot follow on the state that a node is in."""

    code = "node_state_refused"
    exit_code = 4


class HandOverRefused(HubError):
    """A node's open threads cannot be given to the node that was named."""

    code = "hand_over_refused"
    exit_code = 4


class NothingRevoked(HubError):
    """No certificate was ever revoked, so there is no list of such."""

    code = "nothing_revoked"
    exit_code = 4


class RosterUnknown(HubError):
    """There is no roster of this version."""

    code = "roster_unknown"
    exit_code = 4


class MessageUnknown(HubError):
    """No message, or nothing in quarantine, by this name."""

    code = "message_unknown"
    exit_code = 4


class QuarantineDecided(HubError):
    """It was released or discarded before, or its content was never kept."""

    code = "quarantine_decided"
    exit_code = 4


class StillUnreadable(HubError):
    """What is in quarantine cannot be read by this version of the hub either."""

    code = "still_unreadable"
    exit_code = 4


class TsaUnset(HubError):
    """No TSA is named in the settings."""

    code = "tsa_unset"
    exit_code = 2


class NothingToStamp(HubError):
    """The ledger has no checkpoint yet."""

    code = "nothing_to_stamp"
    exit_code = 4


class TsaUnreachable(HubError):
    """The TSA does not answer, or not in time."""

    code = "tsa_unreachable"
    exit_code = 5


class TsaAnswerUnfit(HubError):
    """The TSA's answer is larger than any timestamp, or has another HTTP status than 200."""

    code = "tsa_answer_unfit"


class TsaClockOff(HubError):
    """The TSA says another time than our clock, by minutes."""

    code = "tsa_clock_off"


class Fault(StrEnum):
    """What was done to the ledger's tables."""

    CONTENT_CHANGED = "content_changed"
    LEAF_CHANGED = "leaf_changed"
    ENTRY_CHANGED = "entry_changed"
    """Both: which of the two is true, or which entry of several it was, cannot be told."""
    COMMITMENT_CHANGED = "commitment_changed"
    """What is kept of an erased entry; its leaf is the one that was signed."""
    ROW_MISSING = "row_missing"
    ROW_ADDED = "row_added"
    CHECKPOINT_CHANGED = "checkpoint_changed"
    SUBTREE_CHANGED = "subtree_changed"


class LedgerBroken(HubError):
    """The ledger in the database is not what its checkpoints say: the fault, in which table, and the first entry."""

    code = "ledger_broken"
    exit_code = 6

    def __init__(self, fault: Fault, table: str, index: int, message: str, next_step: str) -> None:
        super().__init__(f"{message} ({fault} in {table})", next_step)
        self.fault = fault
        self.table = table
        self.index = index


class EntryUnknown(HubError):
    """The ledger has no entry of this index."""

    code = "entry_unknown"
    exit_code = 4


class EntryErased(HubError):
    """The entry's content was erased: its commitment is all that is left."""

    code = "entry_erased"
    exit_code = 4


class NotErasable(HubError):
    """The entry may not be erased, or not yet."""

    code = "not_erasable"
    exit_code = 4


class FileUnwritable(HubError):
    """A file or folder that was asked for cannot be written."""

    code = "file_unwritable"
    exit_code = 2


class LedgerEmpty(HubError):
    """There is no entry yet to export."""

    code = "ledger_empty"
    exit_code = 4


class NothingWitnessed(HubError):
    """No quorum of witnesses has cosigned as much as is asked for."""

    code = "nothing_witnessed"
    exit_code = 4


class ExportForeign(HubError):
    """The folder to export to holds something else: another ledger, or what is no export."""

    code = "export_foreign"
    exit_code = 2


class ExportBusy(HubError):
    """Somebody else is exporting to the same folder."""

    code = "export_busy"
    exit_code = 4


class LedgerBehind(HubError):
    """The database has fewer entries than were signed: it was restored from a backup."""

    code = "ledger_behind"
    exit_code = 3


class LedgerForked(HubError):
    """The database has another ledger than the one that was signed."""

    code = "ledger_forked"
    exit_code = 3


class LockStoreUnusable(HubError):
    """The file with the newest checkpoint is missing, damaged, or of another ledger."""

    code = "lock_store_unusable"
    exit_code = 2


class FiguresRefused(HubError):
    """The file with figures of years before the system is not what it has to be."""

    code = "figures_refused"
    exit_code = 2


class PolicyRefused(HubError):
    """A change of the policy, or a question about it, that names what there is not."""

    code = "policy_change_refused"
    exit_code = 2


class SessionRequired(HubError):
    """Nobody is logged in, or not any more."""

    code = "session_required"
    exit_code = 4


class RoleMissing(HubError):
    """The operator's role does not allow it."""

    code = "role_missing"
    exit_code = 4


class LoginRefused(HubError):
    """Name, password, code or certificate is wrong. Which one is not told."""

    code = "login_refused"
    exit_code = 4


class LoginPaused(HubError):
    """Too many attempts failed: there is a pause before the next is looked at."""

    code = "login_paused"
    exit_code = 4


class PasswordWeak(HubError):
    """A password that is too easily guessed."""

    code = "password_weak"
    exit_code = 2


class OperatorRefused(HubError):
    """An operator's account cannot be made or changed so."""

    code = "operator_refused"
    exit_code = 4


class OperatorUnknown(HubError):
    """There is no operator of this name."""

    code = "operator_unknown"
    exit_code = 4


class OperatorsTampered(HubError):
    """The operators' tables are not as the hub left them."""

    code = "operators_tampered"
    exit_code = 6


class ApprovalWaiting(HubError):
    """It takes two: it was asked for, and nobody else has confirmed it yet. Nothing else was done."""

    code = "approval_waiting"
    exit_code = 3

    def __init__(self, number: int, message: str, next_step: str) -> None:
        found = {"field": "approval", "found": str(number), "wanted": "must be confirmed by a security officer"}
        super().__init__(message, next_step, [found])


class ApprovalUnknown(HubError):
    """There is no approval of this number."""

    code = "approval_unknown"
    exit_code = 4


class ApprovalClosed(HubError):
    """The approval was confirmed, refused or used before, or has expired."""

    code = "approval_closed"
    exit_code = 4


class OwnApproval(HubError):
    """Who asks cannot be who confirms."""

    code = "own_approval"
    exit_code = 4


class FiguresPresent(HubError):
    """Other figures of these fields and years were imported before."""

    code = "figures_present"
    exit_code = 4


class FiguresUnknown(HubError):
    """Of this year there are no figures: it was before the ledger, and none were imported."""

    code = "figures_unknown"
    exit_code = 4
