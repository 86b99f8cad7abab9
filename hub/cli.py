"""`seci-hub`: what an operator of the hub types. Data to stdout, everything else to stderr."""

from typing import Final

from crypto import typed
from crypto.commands import Places, program
from crypto.errors import CryptoError, HsmUnavailable
from hub import PROGRAM
from hub.errors import DatabaseUnreachable, HubError, SettingsInvalid

COMMANDS: Final[Places] = {
    "init": ("hub.cli_init:init", "Make the hub's keys, certificates, tables and settings."),
    "provision": (
        "hub.cli_init:provision",
        "Give the broker its queues, users and rights, and publish a first roster.",
    ),
    "enrol": (
        "hub.cli_enrol:enrol",
        "Admit nodes: certificates, broker rights, a new roster in the ledger, and a welcome file for each.",
    ),
    "run": ("hub.cli_run:run", "Run a hub worker until it is told to stop: SIGTERM or Ctrl-C."),
    "join-desk": (
        "hub.cli_joindesk:join_desk",
        "Serve nodes that join, over HTTPS, until told to stop: SIGTERM or Ctrl-C.",
    ),
    "console": ("hub.cli_console:console", "Serve the console until told to stop: SIGTERM or Ctrl-C."),
    "login": ("hub.cli_login:login", "Log in as an operator: with password and code, or with a certificate."),
    "logout": ("hub.cli_login:logout", "End the session."),
    "whoami": ("hub.cli_login:whoami", "Say who is logged in, in which role, and until when."),
    "broker-key": ("hub.cli_keys:broker_key", "Write the lines of RabbitMQ's configuration that open its key."),
    "renew": (
        "hub.cli_keys:renew",
        "New TLS keys and certificates for the hub's users and the broker, where they end soon.",
    ),
    "reseal": ("hub.cli_keys:reseal", "Seal the hub's keys with another secret: all of them or none."),
    "status": ("hub.cli_status:status", "Show the ledger's size, messages, refusals, and what waits."),
    "top": ("hub.cli_top:top", "Watch the hub at work: rates, what is held and undelivered, queues."),
    "queues": ("hub.cli_watch:queues", "Show every queue: ready, unacknowledged, consumers."),
    "messages": ("hub.cli_watch:messages", "List accepted messages, newest first."),
    "trace": ("hub.cli_watch:trace", "Show a message's whole way with times."),
    "deadlines": ("hub.cli_watch:deadlines", "List questions that somebody has not answered, by deadline."),
    "suspend": ("hub.cli_standing:suspend", "Shut a node out for a while: at once, its open connections too."),
    "unsuspend": (
        "hub.cli_standing:unsuspend",
        "Let a suspended node in again; what was kept for it is delivered in order.",
    ),
    "revoke": (
        "hub.cli_standing:revoke",
        "Take all of a node's keys away: lost or stolen, or its people are not trusted any more.",
    ),
    "remove": ("hub.cli_standing:remove", "Take a node out for good."),
    "crl": (
        "hub.cli_standing:crl",
        "Write the revocation list of TLS certificates (RFC 5280), as the roster in force has it, and show it.",
    ),
    "invite": ("hub.cli_join:invite", "Invite a node: a token for `seci-node join`, good once."),
    "invitations": ("hub.cli_join:invitations", "List invitations that nobody has used yet."),
    "approve": (
        "hub.cli_join:approve",
        "Say that a request is the node's own: you have heard these words from its administrator by telephone.",
    ),
    "confirm": (
        "hub.cli_join:confirm",
        "As a security officer who has not approved it: let an approved node in; certificate, broker, roster follow.",
    ),
    "reject": (
        "hub.cli_join:reject",
        "Refuse a request that is not in the roster yet; what was set up for it is taken back.",
    ),
    "ledger": ("hub.cli_ledger:ledger_app", "The audit ledger."),
    "quarantine": ("hub.cli_quarantine:quarantine_app", "What could not be read."),
    "operator": ("hub.cli_operator:operator_app", "Who may work at the hub, and what takes two of them."),
    "approvals": ("hub.cli_approvals:approvals_app", "What takes two, and waits for the second."),
    "stats": ("hub.cli_stats:stats_app", "How much was exchanged, by field and year."),
    "ca": ("hub.cli_ca:ca_app", "Another certification authority takes the place of this one."),
    "hub-key": ("hub.cli_hubkey:hubkey_app", "Another key takes the place of the hub's signing key."),
    "roster": ("hub.cli_roster:roster_app", "The roster and its versions."),
    "held": ("hub.cli_standing:held_app", "Messages for nodes that were shut out."),
    "policy": ("hub.cli_policy:policy_app", "Who may say what to whom."),
    "coordinator": ("hub.cli_policy:coordinator_app", "Who coordinates which task force."),
    "requests": ("hub.cli_join:requests_app", "Nodes that ask to join."),
}

app: Final = program("The hub of the SECI Exchange.", COMMANDS)


def main() -> None:
    """The entry point: errors become one clear line and an exit code."""
    try:
        typed.run(app, PROGRAM)
    except HubError as error:
        typed.fail(PROGRAM, error.code, str(error), error.next_step, error.fields)
        raise SystemExit(error.exit_code) from error
    except CryptoError as error:
        typed.fail(PROGRAM, error.code, str(error), 'see docs/operations.md, section "Keys"')
        raise SystemExit(
            DatabaseUnreachable.exit_code if isinstance(error, HsmUnavailable) else SettingsInvalid.exit_code
        ) from error


if __name__ == "__main__":
    main()
