"""`seci-node`: what a focal point's administrator and liaison officers type. Data to stdout, the rest to stderr."""

from typing import Final

from crypto import typed
from crypto.commands import Places, program
from crypto.errors import CryptoError, HsmUnavailable, KeyFileRefused, WrongPassphrase
from nodes import PROGRAM
from nodes.errors import AgentUnreachable, NodeError, NotSetUp

COMMANDS: Final[Places] = {
    "init": (
        "nodes.cli_init:init",
        "Set the node up: first its keys and enrolment.json, then, with --welcome, the hub's answer.",
    ),
    "run": ("nodes.cli_run:run", "Run the agent until it is told to stop: SIGTERM or Ctrl-C."),
    "join": ("nodes.cli_join:join", "Join the exchange with a token: keys are made here, and stay."),
    "send": ("nodes.cli_send:send", "Send a message through the running agent."),
    "status": (
        "nodes.cli_read:status",
        "Show the state of the node and its newest messages, or of one sent message, never its content (see `show`).",
    ),
    "inbox": ("nodes.cli_read:inbox", "List received messages in the order of arrival."),
    "notices": (
        "nodes.cli_read:notices",
        "List who has not answered or taken a message in time, whose messages went elsewhere, "
        "and what rosters changed.",
    ),
    "show": ("nodes.cli_read:show", "Show a message, received or sent, with its content."),
    "receipt": (
        "nodes.cli_read:receipt",
        "Write what proves a message, sent or received, to others: they verify it with seci-verify, offline.",
    ),
    "witness": (
        "nodes.cli_witness:witness",
        "Show this node's witness key, the hub's, how far it has followed the ledger, and any alarm: exit code 3.",
    ),
    "trust": ("nodes.cli_witness:trust", "Go on with a hub that was caught, from whatever it says now."),
    "roster": (
        "nodes.cli_roster:roster",
        "Show the roster in force, or an earlier one, or what changed from version to version.",
    ),
    "renew": (
        "nodes.cli_keys:renew",
        "Renew the node's keys and TLS certificate now; the running agent does so by itself long before they end.",
    ),
    "reseal": ("nodes.cli_keys:reseal", "Seal the node's keys with another secret: all of them or none."),
    "map": (
        "nodes.cli_map:map_",
        "Turn records of a national system into messages, one line of JSON each, as POST /v1/messages takes them.",
    ),
    "doctor": (
        "nodes.cli_doctor:doctor",
        "Check keys, enrolment, certificate, roster, ledger, clock, the way to the broker, the agent and the hub.",
    ),
    "schema": ("nodes.cli_schema:schema_app", "The kinds of messages, and what their bodies may hold."),
    "stix": ("nodes.cli_stix:stix_app", "Indicators of computer crime in STIX 2.1."),
    "operation": ("nodes.cli_operation:operation_app", "Joint operations, as they were reported to this node."),
    "task-force": ("nodes.cli_taskforce:task_force_app", "Who is in which task force; orders of its coordinator."),
}
app: Final = program("The node agent of the SECI Exchange.", COMMANDS)
_AT_A_FILE: Final = "name the right file, yours and closed to others (chmod 600), or put it back from a backup"


def main() -> None:
    """The entry point: errors become one clear line and an exit code."""
    try:
        typed.run(app, PROGRAM)
    except NodeError as error:
        typed.fail(PROGRAM, error.code, str(error), error.next_step, error.fields)
        raise SystemExit(error.exit_code) from error
    except CryptoError as error:
        step = _AT_A_FILE if isinstance(error, KeyFileRefused | WrongPassphrase) else "run `seci-node doctor`"
        if isinstance(error, HsmUnavailable):
            step = "see that the token is in place, and its library, label and PIN are right; then repeat the command"
        typed.fail(PROGRAM, error.code, str(error), step)
        raise SystemExit(
            AgentUnreachable.exit_code if isinstance(error, HsmUnavailable) else NotSetUp.exit_code
        ) from error


if __name__ == "__main__":
    main()
