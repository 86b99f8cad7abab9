"""Everything the agent tells its users about, each with a stable code and the next step."""

from collections.abc import Mapping, Sequence
from typing import ClassVar


class NodeError(Exception):
    """The root of this room's errors: `code` is stable, `status` is for HTTP, `exit_code` for the shell.

    `fields` has, of each wrong field, its name as `field`, what was `found`, and what is `wanted`.
    """

    code: ClassVar[str] = "node_error"
    status: ClassVar[int] = 400
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, next_step: str, fields: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(message)
        self.next_step = next_step
        self.fields = fields


class NotSetUp(NodeError):
    """The node's folder is missing something that `seci-node init` makes."""

    code = "not_set_up"
    exit_code = 2


class KeysElsewhere(NodeError):
    """The folder has its keys already, and not where they are asked for."""

    code = "keys_elsewhere"
    exit_code = 2


class SettingsInvalid(NodeError):
    """node.json, or a file that it names, cannot be understood."""

    code = "settings_invalid"
    exit_code = 2


class FolderTaken(NodeError):
    """The folder is another node's."""

    code = "folder_taken"
    exit_code = 2


class FileUnreadable(NodeError):
    """A file that was named is not there, is no file, or may not be read."""

    code = "file_unreadable"
    exit_code = 2


class BodyNotJson(NodeError):
    """What should be a message's body is no JSON object."""

    code = "body_not_json"
    exit_code = 2


class BodyUnreadable(NodeError):
    """The file that should hold a message's body is not there, is no file, or may not be read."""

    code = "body_unreadable"
    exit_code = 2


class SendUnclear(NodeError):
    """What is to be sent lacks something, or names what is not there; `code` is what the API says of the same."""

    exit_code = 2

    def __init__(self, code: str, message: str, next_step: str) -> None:
        super().__init__(message, next_step)
        self.code = code  # type: ignore[misc]


class SchemaUnclear(NodeError):
    """What is asked of the kinds is not there, or does not say which it means."""

    exit_code = 2

    def __init__(self, code: str, message: str, next_step: str) -> None:
        super().__init__(message, next_step)
        self.code = code  # type: ignore[misc]


class BodyRefused(NodeError):
    """A body in a file is none of its kind; `fields` has what is wrong with which field."""

    code = "body_invalid"
    exit_code = 2


class RequestRefused(NodeError):
    """A whole message in a file could not be sent; `fields` has what is wrong with which field."""

    code = "request_invalid"
    exit_code = 2


class MappingInvalid(NodeError):
    """A mapping file does not say what it should; `fields` has what is wrong with which part of it."""

    code = "mapping_invalid"
    exit_code = 2


class InputRefused(NodeError):
    """What should hold records of a national system does not read as such."""

    code = "input_unreadable"
    exit_code = 2


class RecordsRefused(NodeError):
    """Records do not make messages; `fields` has what is wrong with which field of which record."""

    code = "records_invalid"
    exit_code = 2


class StixRefused(NodeError):
    """What should be STIX 2.1 is none, or has nothing that a message could hold."""

    code = "stix_refused"
    exit_code = 2


class StoreVersionUnknown(NodeError):
    """The node's database was made by another version of this program."""

    code = "store_version_unknown"
    exit_code = 2


class StoreClosed(NodeError):
    """The agent is ending, or what writes to its database has ended."""

    code = "store_closed"
    status = 503
    exit_code = 5


class WelcomeRefused(NodeError):
    """A welcome file that is not for this node, or not from the hub."""

    code = "welcome_refused"
    exit_code = 4


class TokenUnfit(NodeError):
    """The token is missing, or not all of it is as it was printed."""

    code = "token_malformed"
    exit_code = 2


class HubForeign(NodeError):
    """What answers, or the answer, is not of the hub that the token names."""

    code = "hub_foreign"
    exit_code = 4


class JoinRefused(NodeError):
    """The hub does not let this node in; `code` is the one that the hub gave."""

    exit_code = 4

    def __init__(self, code: str, message: str, next_step: str) -> None:
        super().__init__(message, next_step)
        self.code = code  # type: ignore[misc]


class AnswerUnfit(NodeError):
    """A file is no answer to this node's request, or was damaged on its way."""

    code = "answer_unfit"
    exit_code = 2


class EarlierKeys(NodeError):
    """The roster has earlier keys of this node, which has not said that it lost any."""

    code = "earlier_keys"
    exit_code = 4


class DeskUnreachable(NodeError):
    """The hub's join desk does not answer."""

    code = "desk_unreachable"
    exit_code = 5


class AlreadyRunning(NodeError):
    """Another agent works on this folder."""

    code = "already_running"
    exit_code = 4


class AgentEnded(NodeError):
    """The agent has ended without being told to, and without an error."""

    code = "agent_ended"


class KeysBusy(NodeError):
    """The agent is renewing the folder's keys, or somebody else gives them another secret."""

    code = "keys_busy"
    exit_code = 4


class PortTaken(NodeError):
    """The port asked for is in use."""

    code = "port_taken"
    exit_code = 4


class ClockWrong(NodeError):
    """This machine's clock and the hub's differ by more than they may."""

    code = "clock_wrong"
    exit_code = 3


class HubDistrusted(NodeError):
    """The hub contradicts what it has signed before; an operator has to decide."""

    code = "hub_distrusted"
    exit_code = 3


class RosterUnknown(NodeError):
    """No roster of this version was ever in force here."""

    code = "roster_unknown"
    exit_code = 4


class AlarmUnknown(NodeError):
    """No alarm of this number waits for a decision."""

    code = "alarm_unknown"
    exit_code = 4


class AgentUnreachable(NodeError):
    """No agent answers for this folder."""

    code = "agent_unreachable"
    exit_code = 5


class BrokerUnreachable(NodeError):
    """No connection to RabbitMQ."""

    code = "broker_unreachable"
    exit_code = 5


class HubSilent(NodeError):
    """The broker is there, and no hub at work behind it."""

    code = "hub_silent"
    exit_code = 3


class MessageUnknown(NodeError):
    """No message with this id."""

    code = "message_unknown"
    status = 404
    exit_code = 4


class ReceiptMissing(NodeError):
    """No verified receipt of the message has come yet, so there is nothing to show."""

    code = "receipt_missing"
    status = 409


class ContentNotKept(NodeError):
    """What proves the content of a message was not kept when it was sent."""

    code = "content_not_kept"
    status = 409


class EvidenceIncomplete(NodeError):
    """What is kept of a message would not convince its reader."""

    code = "evidence_incomplete"
    status = 409


class FileUnwritable(NodeError):
    """A file that was asked for cannot be written."""

    code = "file_unwritable"
    exit_code = 2


class IdReused(NodeError):
    """The id was used before, for another message."""

    code = "id_reused"
    status = 409


class RoutingRefused(NodeError):
    """The roster does not let this node send this message so."""

    status = 422

    def __init__(self, code: str, message: str, next_step: str) -> None:
        super().__init__(message, next_step)
        self.code = code  # type: ignore[misc]


class OperationUnknown(NodeError):
    """Nothing was reported to this node of the operation named."""

    code = "operation_unknown"
    status = 404
    exit_code = 4
