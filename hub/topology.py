"""The broker's topology and rights, as RabbitMQ definitions (reference: docs/operations.md).

One exchange and two ingress queues per node, one exchange for dispatch, two inbox queues per
node, all quorum queues. A node can write only its own exchange and read only its own inbox; the
certificate's common name is the user, and no user has a password. Only the provisioner declares.

A node's connections and channels are limited; the vhost's limit only keeps the broker's memory.
"""

import json
import re
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from hub.errors import BrokerUnreachable, ProvisioningFailed

DISPATCH: Final = "dispatch"
QUARANTINE_QUEUE: Final = "q.quarantine"
# The dot keeps it apart from the nodes' queues: an id has none.
CANARY_KEY: Final = "hub.canary"
CANARY_TYPE: Final = "canary"
CANARY_QUEUE: Final = "q.in.hub.canary"
HUB_USERS: Final = ("hub-ingest", "hub-dispatch", "hub-quarantine")
LANES: Final = ("normal", "urgent")
_MIB: Final = 1024 * 1024
# RabbitMQ 4 drops after 20 deliveries unless told otherwise, and 3.10 knows no word for unlimited.
_NEVER: Final = 1_000_000_000
# An agent has 2 connections and `seci-node doctor` opens one. Of a link that went dead the broker keeps the
# old ones for up to 45 s (three heartbeats): with 4, an agent could not come back before. 8 is two dead
# links, one alive and the doctor.
NODE_CONNECTIONS: Final = 8
NODE_CHANNELS: Final = 16
# RabbitMQ counts connections a moment late, so that a burst of some hundreds gets past any limit. Were the
# vhost's just above what all nodes may have, one node could fill it and keep out the others and the hub.
VHOST_CONNECTIONS: Final = 4096
_ANSWER_S: Final = 120
# A node's id, and from the second of its users on which one it is.
_NODE_USER: Final = re.compile(r"node-([a-z]{2,8})(?:-([0-9]+))?")
# For so long connections of a node that was shut out are ended again and again.
SHUT_OUT_S: Final = 30.0
# How rabbitmqctl ends (sysexits.h) when there is no broker, or none that answers in time; and what it says when one
# is there that has not begun or has stopped its application.
_UNAVAILABLE: Final = (69, 75)
_NO_ANSWER: Final = ("unable to perform an operation on node", "requires the 'rabbit' app to be running", "nodedown")


def exchange_of(node: str) -> str:
    """The exchange that only this node may publish to."""
    return f"in.{node}"


def ingress_queue(node: str, *, urgent: bool) -> str:
    """Where a node's messages wait for the hub."""
    return f"q.in.{node}.urgent" if urgent else f"q.in.{node}"


def inbox_queue(node: str, *, urgent: bool) -> str:
    """Where messages wait for a node."""
    return f"q.inbox.{node}.urgent" if urgent else f"q.inbox.{node}"


def inbox_key(node: str, *, urgent: bool) -> str:
    """The routing key on `dispatch` of a node's inbox."""
    return f"{node}.urgent" if urgent else node


def user_of(node: str, generation: int = 1) -> str:
    """The node's user at the broker, its certificate's common name; with new keys it is the next (`hub.accounts`)."""
    return f"node-{node}" if generation == 1 else f"node-{node}-{generation}"


def generation_of(user: str) -> int:
    """Which of its node's users that is, from 1 on."""
    found = _NODE_USER.fullmatch(user)
    return int(found[2] or 1) if found is not None else 1


def definitions(
    nodes: Iterable[str], vhost: str, absent: Collection[str] = (), users: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """Everything the broker must hold for these nodes, in RabbitMQ's definitions format.

    Those that are `absent`, being suspended or worse, keep their queues and have no user. Of the others `users` has
    those that are not the first of their node.
    """
    known = sorted(nodes)
    queues = [QUARANTINE_QUEUE, CANARY_QUEUE]
    bindings = [
        _binding(vhost, "dlx", QUARANTINE_QUEUE, ""),
        _binding(vhost, DISPATCH, CANARY_QUEUE, CANARY_KEY),
    ]
    for node in known:
        for lane in LANES:
            urgent = lane == "urgent"
            queues += [ingress_queue(node, urgent=urgent), inbox_queue(node, urgent=urgent)]
            bindings.append(_binding(vhost, exchange_of(node), ingress_queue(node, urgent=urgent), lane))
            key = inbox_key(node, urgent=urgent)
            bindings.append(_binding(vhost, DISPATCH, inbox_queue(node, urgent=urgent), key))
    exchanges = [(DISPATCH, "direct"), ("dlx", "fanout"), *((exchange_of(node), "direct") for node in known)]
    names = [*HUB_USERS, *(users.get(node, user_of(node)) for node in known if node not in absent)]
    return {
        "vhosts": [{"name": vhost}],
        "parameters": [_vhost_limit(vhost)],
        "users": [_user(name) for name in names],
        "permissions": [_permission(vhost, name) for name in names],
        "exchanges": [_exchange(vhost, name, kind) for name, kind in exchanges],
        "queues": [_queue(vhost, name) for name in queues],
        "bindings": bindings,
        "policies": _policies(vhost),
    }


def _user(name: str) -> dict[str, Any]:
    user: dict[str, Any] = {"name": name, "password_hash": "", "tags": []}
    if name.startswith("node-"):
        user["limits"] = {"max-connections": NODE_CONNECTIONS, "max-channels": NODE_CHANNELS}
    return user


def _vhost_limit(vhost: str) -> dict[str, Any]:
    # A runtime parameter is what 3.10 and 4.x both take; `limits` of a vhost only newer ones do.
    value = {"max-connections": VHOST_CONNECTIONS}
    return {"vhost": vhost, "component": "vhost-limits", "name": "limits", "value": value}


def _permission(vhost: str, user: str) -> dict[str, Any]:
    if (found := _NODE_USER.fullmatch(user)) is not None:
        node = found[1]
        write, read = rf"^in\.{node}$", rf"^q\.inbox\.{node}(\.urgent)?$"
    else:
        write = {"hub-dispatch": r"^dispatch$"}.get(user, "^$")
        read = {"hub-ingest": r"^q\.in\.", "hub-quarantine": r"^q\.quarantine$"}.get(user, "^$")
    return {"user": user, "vhost": vhost, "configure": "^$", "write": write, "read": read}


def _exchange(vhost: str, name: str, kind: str) -> dict[str, Any]:
    return {
        "name": name,
        "vhost": vhost,
        "type": kind,
        "durable": True,
        "auto_delete": False,
        "internal": False,
        "arguments": {},
    }


def _queue(vhost: str, name: str) -> dict[str, Any]:
    arguments = {"x-queue-type": "quorum"}
    return {"name": name, "vhost": vhost, "durable": True, "auto_delete": False, "arguments": arguments}


def _binding(vhost: str, exchange: str, queue: str, key: str) -> dict[str, Any]:
    return {
        "source": exchange,
        "vhost": vhost,
        "destination": queue,
        "destination_type": "queue",
        "routing_key": key,
        "arguments": {},
    }


def _policies(vhost: str) -> list[dict[str, Any]]:
    dead_letter = {"dead-letter-exchange": "dlx", "dead-letter-strategy": "at-least-once"}
    full = {"overflow": "reject-publish"}
    ingress = {
        **dead_letter,
        **full,
        "delivery-limit": 20,
        "max-length": 20_000,
        "max-length-bytes": 1024 * _MIB,
    }
    # 72 hours of a busy node's mail; beyond, the hub holds deliveries in its database.
    inbox = {
        **dead_letter,
        **full,
        "delivery-limit": 100,
        "max-length": 100_000,
        "max-length-bytes": 1024 * _MIB,
    }
    quarantine = {**full, "max-length-bytes": 2048 * _MIB, "delivery-limit": _NEVER}
    # Nobody's mail: what no worker takes is dropped, and never becomes a dead letter.
    canary = {"max-length": 1_000, "message-ttl": 10 * 60 * 1000, "overflow": "drop-head"}
    rules = {
        "ingress": (r"^q\.in\.", 0, ingress),
        "inbox": (r"^q\.inbox\.", 0, inbox),
        "quarantine": (r"^q\.quarantine$", 0, quarantine),
        "canary": (rf"^{re.escape(CANARY_QUEUE)}$", 1, canary),
    }
    return [
        {
            "name": name,
            "vhost": vhost,
            "pattern": pattern,
            "apply-to": "queues",
            "priority": priority,
            "definition": rule,
        }
        for name, (pattern, priority, rule) in rules.items()
    ]


def apply(
    ctl: Sequence[str],
    nodes: Collection[str],
    vhost: str,
    absent: Collection[str] = (),
    users: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Imports the definitions, removes the broker's default user, and shuts out who is `absent`. Idempotent.

    And every user of these nodes that it is no more: see `definitions`. Raises BrokerUnreachable, ProvisioningFailed.
    """
    _run([*ctl, "import_definitions"], json.dumps(definitions(nodes, vhost, absent, users)))
    _run([*ctl, "delete_user", "guest"], "", tolerate="no_such_user")
    if absent or users:
        theirs = {users.get(node, user_of(node)) for node in nodes if node not in absent}
        shut_out(ctl, _users_of(ctl, nodes) - theirs)


def settle(
    ctl: Sequence[str],
    vhost: str,
    read: Callable[[], tuple[Collection[str], Collection[str], Mapping[str, str]]],
) -> list[str]:
    """`apply` for the nodes, the absent and the users that `read` gives, until it gives the same again; the nodes.

    For whoever is shut out while the broker is told would have a user there again. Raises as `apply`.
    """
    while True:
        nodes, absent, users = read()
        apply(ctl, nodes, vhost, absent, users)
        _, now, theirs = read()
        if (sorted(now), theirs) == (sorted(absent), users):
            return sorted(nodes)


def _users_of(ctl: Sequence[str], nodes: Collection[str]) -> set[str]:
    listed = _run([*ctl, "--quiet", "list_users", "--formatter", "json"], "").split('"')
    return {user for user in listed if (found := _NODE_USER.fullmatch(user)) is not None and found[1] in nodes}


def shut_out(ctl: Sequence[str], users: Collection[str]) -> float:
    """Takes users away and ends their open connections; returns after how many seconds none was left.

    Idempotent. Raises BrokerUnreachable, ProvisioningFailed.
    """
    begin = time.monotonic()
    # Without a user nobody logs in, and RabbitMQ ends the connections that there are; those that it has not counted
    # yet, having been opened at that moment, are ended by the second.
    for user in users:
        _run([*ctl, "delete_user", user], "", tolerate="no_such_user")
    left = set(users)
    while left:
        for user in left:
            _run([*ctl, "close_all_user_connections", user, "shut out by the hub's operators"], "")
        left &= set(_run([*ctl, "--quiet", "list_connections", "user"], "").split())
        if left and time.monotonic() > begin + SHUT_OUT_S:
            raise ProvisioningFailed(
                f"the broker still has connections of {', '.join(sorted(left))} after {SHUT_OUT_S:.0f} s",
                "repeat the command; the hub takes nothing from the node already",
            )
    return time.monotonic() - begin


def purge_inbox(ctl: Sequence[str], node: str, vhost: str) -> None:
    """Empties a node's inbox queues: what was in them is on record. Raises BrokerUnreachable, ProvisioningFailed."""
    for urgent in (False, True):
        _run([*ctl, "purge_queue", "-p", vhost, inbox_queue(node, urgent=urgent)], "", tolerate="not_found")


def forget_certificates(ctl: Sequence[str]) -> None:
    """Has the broker read its certificates, keys and authorities again, for connections from now on.

    Only on the node that `ctl` asks. Raises BrokerUnreachable, ProvisioningFailed.
    """
    _run([*ctl, "eval", "ssl:clear_pem_cache()."], "")


def remove(ctl: Sequence[str], node: str, vhost: str) -> None:
    """Takes back what `apply` gave a node that never came in: its user, with all rights, and its queues. Idempotent.

    Its exchange stays, which nobody may publish to then. Raises BrokerUnreachable, ProvisioningFailed.
    """
    _run([*ctl, "delete_user", user_of(node)], "", tolerate="no_such_user")
    for urgent in (False, True):
        for queue in (ingress_queue(node, urgent=urgent), inbox_queue(node, urgent=urgent)):
            _run([*ctl, "delete_queue", "-p", vhost, queue], "", tolerate="not_found")


def queues(ctl: Sequence[str], vhost: str, patience_s: float = _ANSWER_S) -> list[dict[str, Any]]:
    """Every queue with what waits in it, sorted by name. Raises BrokerUnreachable, ProvisioningFailed."""
    columns = ("name", "messages_ready", "messages_unacknowledged", "consumers", "state")
    asked = [*ctl, "--quiet", "list_queues", "-p", vhost, "--formatter", "json", *columns]
    printed = _run(asked, "", patience_s=patience_s)
    found = [
        {
            "name": queue["name"],
            "ready": queue["messages_ready"],
            "unacked": queue["messages_unacknowledged"],
            "consumers": queue["consumers"],
            "state": queue["state"],
        }
        for queue in json.loads(printed)
    ]
    return sorted(found, key=lambda queue: str(queue["name"]))


def _run(argv: Sequence[str], stdin: str, tolerate: str | None = None, patience_s: float = _ANSWER_S) -> str:
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=patience_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise _unreachable(f"RabbitMQ did not answer within {patience_s:g} s") from error
    except OSError as error:
        raise ProvisioningFailed(
            f"{argv[0]} did not run: {error.strerror}",
            "correct `broker_ctl` in hub.json: it is how rabbitmqctl is called",
        ) from error
    output = done.stdout + done.stderr
    if done.returncode and not (tolerate is not None and tolerate in output.replace(" ", "_").lower()):
        if tolerate is not None and "not exist" in output:
            return output
        if done.returncode in _UNAVAILABLE or any(words in output for words in _NO_ANSWER):
            raise _unreachable(f"RabbitMQ does not answer: rabbitmqctl ended with {done.returncode}")
        raise ProvisioningFailed(
            f"rabbitmqctl {argv[-1]} ended with {done.returncode}: {' '.join(output.split())[-400:]}",
            "see that the broker runs, then repeat the command: it continues where it stopped",
        )
    return done.stdout


def _unreachable(what: str) -> BrokerUnreachable:
    return BrokerUnreachable(
        what,
        "see that RabbitMQ runs, and that `broker_ctl` in hub.json asks the right one, with its Erlang cookie",
    )
