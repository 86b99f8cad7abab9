"""Handling codes are obeyed: what may be handed on, by whom, to whom; seen by the node that sends and by who receives.

Romania sent a message to Bulgaria, which wants to hand it on to Hungary. The stores are real.
"""

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from crypto.keyfile import NodeKeys
from crypto.trust import Trust
from nodes import inbox, outbox
from nodes.errors import RoutingRefused
from nodes.forwarded import ForwardRefused, check_forward
from nodes.outgoing import Outgoing
from nodes.store import Store
from schemas import registry
from schemas.codes import Handling
from schemas.header import NONCE_SIZE, Header, new_id
from tests.crypto.people import BG, HU, RO, TR, Person, roster_key, roster_node, roster_of, sealed

FAR = 4_000_000_000_000
ALERT = {"title": "Trucks", "text": "By Giurgiu."}
PEOPLE = (BG, HU, RO, TR)
JUDICIAL = dict(registry.newest("judicial.assistance").examples[0])


def trust() -> Trust:
    keys = {who.node: (roster_key(who.signing, end=FAR), roster_key(who.encryption, end=FAR)) for who in PEOPLE}
    return Trust.of(roster_of(*(roster_node(node, *found) for node, found in keys.items())))


TRUST = trust()


def _now() -> int:
    return time.time_ns() // 1_000_000


class Desk:
    """A node's store, what comes to it, and what it wants to send."""

    def __init__(self, who: Person, folder: Path) -> None:
        self.who = who
        self.keys = NodeKeys(who.signing, (who.encryption,), bytes(32))
        self.box = Store.open(folder / f"{who.node}.db", self.keys.storage)

    async def gets(self, kind: str, body: dict[str, Any], sender: Person = RO, handling: str = "H2") -> str:
        """The id of a message that came."""
        id, now = new_id(), _now()
        data = registry.body_bytes(kind, 1, body)
        times = {"created": now, "expires": now + 3_600_000}
        envelope = sealed(
            data,
            sender.node,
            (self.who.node,),
            id=id,
            thread=id,
            kind=kind,
            handling=Handling(handling),
            **times,
        )
        await self.takes(envelope)
        return str(id)

    async def takes(self, envelope: bytes) -> str | None:
        """The code with which it declined what came, if it did."""
        received = inbox.receive(envelope, self.who.node, self.keys, TRUST, _now())
        await self.box.run(inbox.keep, self.box, received, _now())
        return None if received.code is None else str(received.code)

    async def sends(self, kind: str, body: dict[str, Any], *to: str, handling: str = "H2", **more: Any) -> bytes:
        """The envelope of a message that it was let to send."""
        fields = {"kind": kind, "task_force": "drugs", "to": to or ("hu",), "handling": handling, "body": body}
        message = Outgoing.model_validate(fields | more)
        _, ready = await outbox.accept(self.box, message, self.who.node, self.keys, TRUST)
        assert ready is not None
        return ready.envelope

    async def may_not(self, *given: Any, **more: Any) -> str:
        """The code with which it was refused to send something."""
        with pytest.raises(RoutingRefused) as caught:
            await self.sends(*given, **more)
        assert caught.value.next_step
        return caught.value.code


@pytest.fixture
async def bulgaria(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(BG, tmp_path)
    yield desk
    desk.box.close()


@pytest.fixture
async def hungary(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(HU, tmp_path)
    yield desk
    desk.box.close()


def forward(id: str, permission: str | None = None, provider: str = "ro") -> dict[str, Any]:
    body: dict[str, Any] = {"message": id, "provider": provider, "content": {"kind": "alert", "body": ALERT}}
    return body if permission is None else body | {"permission": permission}


def permission(id: str, *recipients: str, use: str = "forward", granted: bool = True) -> dict[str, Any]:
    return {"message": id, "use": use, "granted": granted} | ({"recipients": list(recipients)} if recipients else {})


@pytest.mark.parametrize("handling", ["H0", "H1"])
async def test_what_is_free_goes_on_with_no_weaker_handling(bulgaria: Desk, hungary: Desk, handling: str) -> None:
    id = await bulgaria.gets("alert", ALERT, handling=handling)
    assert await hungary.takes(await bulgaria.sends("forward", forward(id), handling=handling)) is None
    if handling == "H1":
        assert await bulgaria.may_not("forward", forward(id), handling="H0") == "handling_weakened"


async def test_h2_goes_on_only_with_the_provider_s_permission_and_only_to_whom_it_says(
    bulgaria: Desk, hungary: Desk
) -> None:
    id = await bulgaria.gets("alert", ALERT)
    assert await bulgaria.may_not("forward", forward(id)) == "permission_missing"
    assert await bulgaria.may_not("forward", forward(id, str(new_id()))) == "permission_missing"
    given = await bulgaria.gets("permission", permission(id, "hu"))
    assert await bulgaria.may_not("forward", forward(id, given), "hu", "tr") == "permission_missing"
    assert await bulgaria.may_not("forward", forward(id, given), handling="H1") == "handling_weakened"
    assert await hungary.takes(await bulgaria.sends("forward", forward(id, given), "hu", "ro")) is None
    # Who got it so needs a permission of its own.
    assert await hungary.may_not("forward", forward(id), "tr") == "permission_missing"
    assert await hungary.may_not("forward", forward(id), "tr", handling="H1") == "handling_weakened"


@pytest.mark.parametrize("case", ["refused", "judicial", "of another message", "another's", "withdrawn"])
async def test_a_permission_that_is_none_does_not_help(bulgaria: Desk, case: str) -> None:
    id = await bulgaria.gets("alert", ALERT)
    said = {
        "refused": permission(id, "hu", granted=False),
        "judicial": permission(id, "hu", use="judicial"),
        "of another message": permission(str(new_id()), "hu"),
    }.get(case, permission(id, "hu"))
    given = await bulgaria.gets("permission", said, TR if case == "another's" else RO)
    if case == "withdrawn":
        await bulgaria.sends("forward", forward(id, given))
        await bulgaria.gets("withdrawal", {"message": given, "reason": "case_closed"})
    assert await bulgaria.may_not("forward", forward(id, given)) == "permission_missing"


async def test_what_is_handed_on_is_what_came(bulgaria: Desk) -> None:
    assert await bulgaria.may_not("forward", forward(str(new_id()))) == "original_unknown"
    id = await bulgaria.gets("request", dict(registry.newest("request").examples[0]), handling="H0")
    assert await bulgaria.may_not("forward", forward(id)) == "original_differs"
    id = await bulgaria.gets("alert", ALERT, handling="H0")
    assert await bulgaria.may_not("forward", forward(id, provider="tr")) == "original_differs"


async def test_what_is_handed_on_says_what_the_message_said(bulgaria: Desk, hungary: Desk) -> None:
    secret = {"title": "Informant", "text": "Mirel speaks to us."}
    id = await bulgaria.gets("alert", ALERT, handling="H0")
    await bulgaria.gets("alert", secret)
    told = forward(id) | {"content": {"kind": "alert", "body": secret}}
    # Under the id of what is free, what is not.
    assert await bulgaria.may_not("forward", told, handling="H0") == "original_differs"
    # But as its provider corrected it, with the care that the correction asks for. Others' words change nothing.
    corrects = {"message": id, "content": told["content"], "text": "Who said it."}
    await bulgaria.gets("correction", corrects, TR, handling="H0")
    assert await bulgaria.may_not("forward", told, handling="H0") == "original_differs"
    await bulgaria.gets("correction", corrects)
    assert await bulgaria.may_not("forward", told, handling="H0") == "handling_weakened"
    assert await bulgaria.may_not("forward", told) == "permission_missing"
    assert await hungary.takes(await bulgaria.sends("forward", forward(id), handling="H0")) is None
    # The same of what came in a forward.
    assert await hungary.may_not("forward", told, "tr", handling="H0") == "original_differs"
    await hungary.sends("forward", forward(id), "tr", handling="H0")
    # What its provider took back goes on no more.
    await bulgaria.gets("withdrawal", {"message": id, "reason": "case_closed"}, TR)
    await bulgaria.sends("forward", forward(id), handling="H0")
    await bulgaria.gets("withdrawal", {"message": id, "reason": "case_closed"})
    assert await bulgaria.may_not("forward", forward(id), handling="H0") == "original_withdrawn"


async def test_h3_says_in_words_what_it_forbids(bulgaria: Desk) -> None:
    assert await bulgaria.may_not("alert", ALERT, handling="H3") == "restrictions_missing"
    await bulgaria.sends("alert", ALERT | {"restrictions": "No checks at the border."}, handling="H3")


async def test_nothing_goes_from_h1_into_judicial_proceedings_without_permission(bulgaria: Desk) -> None:
    id = await bulgaria.gets("alert", ALERT, handling="H1")
    source: dict[str, Any] = {"message": id}
    assert await bulgaria.may_not("judicial.assistance", JUDICIAL | {"sources": [source]}) == "permission_missing"
    assert await bulgaria.may_not("judicial.assistance", JUDICIAL, in_reply_to=id) == "permission_missing"
    wrong = source | {"permission": await bulgaria.gets("permission", permission(id, "hu"))}
    assert await bulgaria.may_not("judicial.assistance", JUDICIAL | {"sources": [wrong]}) == "permission_missing"
    given = source | {"permission": await bulgaria.gets("permission", permission(id, use="judicial"))}
    await bulgaria.sends("judicial.assistance", JUDICIAL | {"sources": [given]}, in_reply_to=id)
    # Nor by a correction of what used nothing.
    [sent] = await bulgaria.box.run(outbox.recent, 1, None)
    corrected = {"kind": "judicial.assistance", "body": JUDICIAL | {"sources": [source]}}
    correction = {"message": sent["id"], "content": corrected, "text": "One more source."}
    assert await bulgaria.may_not("correction", correction) == "permission_missing"
    corrected["body"] = JUDICIAL | {"sources": [given]}
    await bulgaria.sends("correction", correction)
    free = {"message": await bulgaria.gets("alert", ALERT, handling="H0")}
    await bulgaria.sends("judicial.assistance", JUDICIAL | {"sources": [free]})


async def test_who_receives_what_should_not_have_been_sent_declines_it(bulgaria: Desk, hungary: Desk) -> None:
    id = await bulgaria.gets("alert", ALERT)
    given = await bulgaria.gets("permission", permission(id, "hu"))
    envelope = await bulgaria.sends("forward", forward(id, given))
    _, sent = await _read(hungary, envelope)

    def says(code: str, **changes: Any) -> str | None:
        body = {name: value for name, value in (sent | changes).items() if value is not None}
        id, now = new_id(), _now()
        fields = {"id": id, "thread": id, "created": now, "expires": now + 3_600_000}
        data = json.dumps(body).encode()
        forged = sealed(data, "bg", ("hu",), kind="forward", handling=Handling(code), **fields)
        found = inbox.receive(forged, "hu", hungary.keys, TRUST, now).code
        return None if found is None else str(found)

    assert says("H2") is None
    assert says("H1") == "handling_weakened"
    assert says("H2", proof=None) == "permission_missing"
    # Whoever does not say how it was to be handled has said it all the same.
    assert says("H2", proof=None, handling=None) == "permission_missing"
    assert says("H2", message=str(new_id())) == "permission_missing"
    assert says("H2", permission=str(new_id())) == "permission_missing"
    assert says("H2", provider="tr") == "permission_missing"
    other = sent["proof"] | {"content": sent["proof"]["content"][::-1].replace("=", "A")}
    assert says("H2", proof=other) == "permission_missing"
    assert says("H2", proof=sent["proof"] | {"envelope": "AAAA"}) == "permission_missing"


async def _read(desk: Desk, envelope: bytes) -> tuple[Header, dict[str, Any]]:
    """Header and body of a forward, as who got it sees them."""
    assert await desk.takes(envelope) is None
    [row] = await desk.box.run(inbox.of_kind, "forward")
    content = inbox.content_of(desk.box, row) or b""
    return Header.from_bytes(row.header), json.loads(content[NONCE_SIZE:])


async def test_a_permission_to_somebody_else_proves_nothing(bulgaria: Desk, hungary: Desk) -> None:
    id = await bulgaria.gets("alert", ALERT)
    given = await bulgaria.gets("permission", permission(id, "hu"))
    found, body = await _read(hungary, await bulgaria.sends("forward", forward(id, given)))
    check_forward(found, body, "hu", TRUST)
    for who, node in ((found, "tr"), (found.model_copy(update={"sender": "tr"}), "hu")):
        with pytest.raises(ForwardRefused):
            check_forward(who, body, node, TRUST)
    # The provider knows its own message.
    check_forward(found, body, "ro", TRUST)
