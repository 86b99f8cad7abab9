"""The broker's definitions: each user has the rights that its work takes, and no other."""

import re
from itertools import chain

import pytest

from hub.settings import Settings as HubSettings
from hub.topology import CANARY_QUEUE, HUB_USERS, NODE_CHANNELS, NODE_CONNECTIONS, VHOST_CONNECTIONS, definitions
from nodes.settings import Settings as NodeSettings

# One node's name begins like another's.
NODES = ("ro", "rom", "bg")
FOUND = definitions(NODES, "siex", users={"bg": "node-bg-2"})
EVERYTHING = (*(item["name"] for item in chain(FOUND["queues"], FOUND["exchanges"])), "amq.default", "amq.gen-x", "")
RIGHTS = {
    "node-ro": {"write": {"in.ro"}, "read": {"q.inbox.ro", "q.inbox.ro.urgent"}},
    "node-bg-2": {"write": {"in.bg"}, "read": {"q.inbox.bg", "q.inbox.bg.urgent"}},
    "hub-ingest": {
        "write": set(),
        "read": {CANARY_QUEUE, *(f"q.in.{node}{lane}" for node in NODES for lane in ("", ".urgent"))},
    },
    "hub-dispatch": {"write": {"dispatch"}, "read": set()},
    "hub-quarantine": {"write": set(), "read": {"q.quarantine"}},
}


@pytest.mark.parametrize("user", RIGHTS)
@pytest.mark.parametrize("right", ["configure", "write", "read"])
def test_a_user_may_do_what_its_work_takes_and_no_more(user: str, right: str) -> None:
    (rights,) = (item for item in FOUND["permissions"] if item["user"] == user)
    allowed = {name for name in EVERYTHING if name and re.search(rights[right], name)}
    assert allowed == RIGHTS[user].get(right, set())


def test_everybody_has_rights_of_their_own_and_nobody_a_password() -> None:
    names = {user["name"] for user in FOUND["users"]}
    # Who came back with new keys is another user, and not the one before.
    assert names == {*HUB_USERS, "node-ro", "node-rom", "node-bg-2"}
    assert {item["user"] for item in FOUND["permissions"]} == names
    assert all(user["password_hash"] == "" and user["tags"] == [] for user in FOUND["users"])


def test_nodes_are_limited_and_the_hub_is_not() -> None:
    limits = {user["name"]: user.get("limits") for user in FOUND["users"]}
    assert limits["node-ro"] == {"max-connections": NODE_CONNECTIONS, "max-channels": NODE_CHANNELS}
    assert {limits[user] for user in HUB_USERS} == {None}
    (parameter,) = FOUND["parameters"]
    assert parameter["value"] == {"max-connections": VHOST_CONNECTIONS}


def test_a_full_ingress_queue_is_worked_off_before_anything_in_it_is_sent_again() -> None:
    # Else a node that has sent much spends what it is granted on sending it again.
    (policy,) = (item for item in FOUND["policies"] if re.search(item["pattern"], "q.in.ro"))
    seconds = policy["definition"]["max-length"] / HubSettings.model_fields["node_rate"].default
    assert seconds < NodeSettings.model_fields["resend_after"].default
