"""What a node has of joint operations, asked of its running agent: plans, reports, seizures, and what amends them."""

from collections.abc import Iterator
from datetime import datetime
from heapq import merge
from pathlib import Path
from typing import Any, Final

from nodes.client import call
from schemas.amended import AMENDING, Received
from schemas.codes import Agency
from schemas.registry import newest_body
from schemas.tally import COUNTED_KINDS

_PAGE: Final = 500
# When it came or was accepted, by this node's clock, and the message.
_Timed = tuple[str, Received]


def reported(home: Path) -> list[Received]:
    """All that counts for operations, received or sent and accepted, in the order in which it came to this node."""
    kinds = (*COUNTED_KINDS, *AMENDING)
    return [message for _, message in merge(_sent(home, kinds), _received(home, kinds), key=lambda item: item[0])]


def _received(home: Path, kinds: tuple[str, ...]) -> list[_Timed]:
    """What is in the inbox of these kinds, in the order of arrival."""
    found: list[tuple[int, _Timed]] = []
    for kind in kinds:
        after = 0
        while messages := call(home, "GET", "/v1/inbox", params={"kind": kind, "after": after, "limit": _PAGE})[
            "messages"
        ]:
            found += [(message["seq"], (message["received"], _of(message))) for message in messages]
            after = messages[-1]["seq"]
    return [timed for _, timed in sorted(found, key=lambda item: item[0])]


def _sent(home: Path, kinds: tuple[str, ...]) -> list[_Timed]:
    """What this node has sent of these kinds, the oldest first: the Centre's own plan, above all."""
    wanted = [m for m in _listed(home) if m["kind"] in kinds and m["state"] == "accepted"]
    return [
        (message["times"]["accepted"] or "", _of(call(home, "GET", f"/v1/messages/{message['id']}")))
        for message in reversed(wanted)
    ]


def _listed(home: Path) -> Iterator[dict[str, Any]]:
    params: dict[str, Any] = {"limit": _PAGE}
    while True:
        page = call(home, "GET", "/v1/messages", params=params)
        yield from page["messages"]
        if page["before"] is None:
            return
        params["before"] = page["before"]


def _of(message: dict[str, Any]) -> Received:
    # The tables know one version of each kind.
    body = newest_body(message["kind"], message["kind_version"], message["body"])
    about = (message["kind"], message.get("operation"), body, message.get("task_force"))
    created = int(datetime.fromisoformat(message["created"]).timestamp() * 1000)
    return Received(message["id"], message["sender"], Agency(message["agency"]), *about, created)
