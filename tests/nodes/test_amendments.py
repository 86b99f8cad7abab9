"""What a node says of corrections and withdrawals, which ones it lets out, and which kinds it takes in how."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, update
from sqlalchemy.engine import Connection

from crypto.trust import Trust
from nodes import amendments, inbox, outbox, store
from nodes.agent import Agent
from nodes.cli_read import _row, message_lines
from nodes.errors import NodeError
from nodes.older import read_older
from nodes.outgoing import Outgoing
from nodes.receiving import Arrival
from nodes.store import Store
from schemas.amended import Said, Void
from schemas.codes import Handling
from schemas.control import MessageType
from schemas.header import new_id
from schemas.registry import newest
from tests.crypto.people import BG, NOW, RO, TR, sealed
from tests.nodes.conftest import FAR, roster

ALERT = {"title": "a", "text": "b"}
MOVEMENT = dict(newest("witness.movement").examples[0])


def correction(about: str, kind: str = "alert", body: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"message": about, "content": {"kind": kind, "kind_version": 1, "body": body or ALERT}, "text": "wrong"}


def withdrawal(about: str) -> dict[str, Any]:
    return {"message": about, "reason": "wrong"}


@pytest.fixture
def bg(agent: Agent) -> Agent:
    """Bulgaria's agent, which knows Turkey too."""
    agent.trust = Trust.of(roster(2, RO, BG, TR))
    return agent


async def come(agent: Agent, kind: str, body: dict[str, Any], sender: str = "ro", **changes: Any) -> str:
    id = new_id(NOW)
    fields = {"id": id, "thread": id, "expires": FAR, "kind": kind} | changes
    envelope = sealed(json.dumps(body).encode(), sender, **fields)
    await agent.box.run(agent.take_in, [Arrival(MessageType.ENVELOPE, envelope, 1)])
    return str(id)


async def send(agent: Agent, kind: str, body: dict[str, Any], **fields: Any) -> dict[str, Any]:
    message = Outgoing.model_validate({"kind": kind, "body": body} | fields)
    return (await outbox.accept(agent.box, message, "bg", agent.keys, agent.trust))[0]


async def alert(agent: Agent, **fields: Any) -> str:
    return str((await send(agent, "alert", ALERT, **({"task_force": "drugs"} | fields)))["id"])


async def received(agent: Agent, id: str) -> dict[str, Any]:
    shown = await agent.box.run(inbox.show, agent.box, id)
    [listed] = [m for m in await agent.box.run(inbox.listing, agent.box, 0, 99, None, None) if m["id"] == id]
    about = ("standing", "amended_by", "amends")
    assert [listed.get(name) for name in about] == [shown.get(name) for name in about]
    return shown


async def sent(agent: Agent, id: str) -> dict[str, Any]:
    return await agent.box.run(outbox.describe, agent.box, id)


async def refused(agent: Agent, kind: str, body: dict[str, Any], **fields: Any) -> str:
    with pytest.raises(NodeError) as caught:
        await send(agent, kind, body, **fields)
    assert caught.value.next_step
    return caught.value.code


async def test_both_say_who_corrected_what_and_when(bg: Agent) -> None:
    first = await come(bg, "alert", ALERT)
    assert (await received(bg, first))["standing"] == "as_sent"
    later = await come(bg, "correction", correction(first), created=NOW + 5)
    # It came later, and was said before.
    early = await come(bg, "correction", correction(first), created=NOW + 1)
    shown = await received(bg, first)
    by = {"kind": "correction", "sender": "ro", "message": first}
    assert shown["standing"] == "corrected"
    assert shown["amended_by"] == [
        {"id": early, "created": "2004-11-09T11:33:20.001Z", **by, "holds": False, "why": str(Void.SUPERSEDED)},
        {"id": later, "created": "2004-11-09T11:33:20.005Z", **by, "holds": True},
    ]
    assert (await received(bg, later))["amends"] == {
        "message": first,
        "kind": "alert",
        "sender": "ro",
        "created": "2004-11-09T11:33:20.000Z",
        "holds": True,
    }
    assert message_lines(shown).splitlines()[:2] == [
        f"correction       by {early} of ro, 2004-11-09T11:33:20; it changes nothing: {Void.SUPERSEDED}",
        f"CORRECTED        by {later} of ro, 2004-11-09T11:33:20",
    ]
    assert message_lines(await received(bg, later)).startswith(
        f"of message       {first}, alert of ro, 2004-11-09T11:33:20\n"
    )
    gone = await come(bg, "withdrawal", withdrawal(first), created=NOW + 9)
    abouts = [_row(message)[-1] for message in await bg.box.run(inbox.listing, bg.box, 0, 9, None, None)]
    assert abouts[0] == "WITHDRAWN: a"
    assert [about.split(":")[0] for about in abouts[1:]] == ["VOID", "VOID", f"of {first}, wrong"]
    assert (await received(bg, first))["standing"] == "withdrawn"
    assert (await received(bg, gone))["amends"]["holds"]
    assert (await received(bg, later))["amends"]["why"] == str(Void.WITHDRAWN)


async def test_another_s_withdrawal_or_one_of_nothing_is_told_and_changes_nothing(bg: Agent) -> None:
    first = await come(bg, "alert", ALERT)
    own = await alert(bg)
    forged = await come(bg, "withdrawal", withdrawal(first), "tr")
    await come(bg, "withdrawal", withdrawal(own))
    void = await come(bg, "withdrawal", withdrawal(str(new_id())))
    shown = await received(bg, first)
    assert (shown["standing"], [one["holds"] for one in shown["amended_by"]]) == ("as_sent", [False])
    assert (await received(bg, forged))["amends"]["why"] == str(Void.ANOTHERS)
    assert (await received(bg, void))["amends"]["why"] == str(Void.UNKNOWN)
    assert (await sent(bg, own))["standing"] == "as_sent"
    # In whatever form the id is written, it is the same message.
    await come(bg, "withdrawal", withdrawal(UUID(first).hex.upper()))
    assert (await received(bg, first))["standing"] == "withdrawn"


async def test_one_s_own_is_corrected_in_its_thread_for_those_who_have_it(bg: Agent) -> None:
    first = await alert(bg, to=["ro"], handling="H2")
    answer = await send(bg, "correction", correction(first))
    shown = await sent(bg, answer["id"])
    assert (answer["recipients"], answer["thread"], shown["handling"]) == (["ro"], first, "H2")
    assert shown["amends"]["message"] == first
    assert (await sent(bg, first))["standing"] == "corrected"
    [listed] = [m for m in await bg.box.run(outbox.recent, 10, None) if m["id"] == first]
    assert listed["standing"] == "corrected"
    # What the hub refused has corrected nothing.
    lost = update(store.outbox).where(store.outbox.c.id == answer["id"]).values(state="refused")
    await bg.box.run(lambda connection: connection.execute(lost))
    assert (await sent(bg, first))["standing"] == "as_sent"


async def test_who_is_left_out_is_told(bg: Agent) -> None:
    first = await alert(bg)
    answer = await send(bg, "correction", correction(first), to=["ro"])
    assert [warning.split()[0] for warning in answer["warnings"]] == ["tr"]
    assert (await send(bg, "withdrawal", withdrawal(first)))["warnings"] == []


async def test_what_cannot_be_amended_so_does_not_leave_the_node(bg: Agent) -> None:
    theirs, first = await come(bg, "alert", ALERT), await alert(bg, to=["ro"])
    assert await refused(bg, "withdrawal", withdrawal(str(new_id()))) == "message_unknown"
    assert await refused(bg, "withdrawal", withdrawal(theirs)) == "amended_is_anothers"
    assert await refused(bg, "correction", correction(first), to=["ro", "tr"]) == "recipients_wider"
    assert await refused(bg, "correction", correction(first), task_force="trafficking") == "task_force_mismatch"
    other = correction(first, "reply", {"result": "hit", "text": "x"})
    assert await refused(bg, "correction", other) == "amended_kind_differs"
    mended = (await send(bg, "correction", correction(first)))["id"]
    again = (await send(bg, "correction", correction(mended)))["id"]
    assert (await sent(bg, first))["amended_by"][-1]["id"] == again
    gone = (await send(bg, "withdrawal", withdrawal(first)))["id"]
    for id in (first, mended, again):
        assert await refused(bg, "correction", correction(id)) == "amended_was_withdrawn"
    assert await refused(bg, "withdrawal", withdrawal(first)) == "amended_was_withdrawn"
    assert await refused(bg, "withdrawal", withdrawal(gone)) == "withdrawal_final"
    lost = update(store.outbox).where(store.outbox.c.id == first).values(state="refused")
    await bg.box.run(lambda connection: connection.execute(lost))
    assert await refused(bg, "withdrawal", withdrawal(first)) == "amended_was_refused"


async def test_what_an_older_version_stored_is_read_at_the_start(bg: Agent, tmp_path: Path) -> None:
    first, own = await come(bg, "alert", ALERT), await alert(bg)
    by = await come(bg, "correction", correction(first))
    gone = (await send(bg, "withdrawal", withdrawal(own)))["id"]
    bg.box.close()
    with closing(sqlite3.connect(tmp_path / "node.db")) as database:
        later = (
            "roster DROP COLUMN leaf_index",
            *(f"notice DROP COLUMN {name}" for name in ("roster", "code", "heir")),
        )
        database.executescript(
            f"DROP TABLE amendment; {''.join(f'ALTER TABLE {one}; ' for one in later)}"
            "DROP INDEX outbox_plan; DROP INDEX inbox_plan; DROP INDEX inbox_thread; PRAGMA user_version = 7"
        )
    bg.box = Store.open(tmp_path / "node.db", bytes(32))
    assert sorted(await bg.box.run(amendments.unread)) == sorted([by, gone])
    await bg.box.run(read_older, bg.box)
    assert (await received(bg, first))["amended_by"][0]["id"] == by
    assert (await sent(bg, own))["standing"] == "withdrawn"
    assert await bg.box.run(amendments.unread) == []


@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize(("handling", "outcome"), [("H1", "body_invalid"), ("H3", None)])
async def test_a_witness_s_movement_without_care_is_declined(
    bg: Agent, carried: bool, handling: str, outcome: str | None
) -> None:
    body = correction(str(new_id()), "witness.movement", MOVEMENT) if carried else MOVEMENT
    id = await come(bg, "correction" if carried else "witness.movement", body, handling=Handling(handling))
    assert (await bg.box.run(inbox.show, bg.box, id)).get("code") == outcome


async def test_a_sender_of_endless_corrections_does_not_hold_the_node_up(agent: Agent) -> None:
    # Each of the one before it, all to the same: a page with one of them would have asked the store a thousand times.
    first, most = await come(agent, "alert", ALERT), 300
    ids = [first, *(str(UUID(int=number)) for number in range(1, most + 1))]

    def amend(connection: Connection) -> None:
        for number in range(1, most + 1):
            said = Said(ids[number], "ro", "correction", NOW + number, ids[number - 1], "alert")
            amendments.keep(connection, said)

    await agent.box.run(amend)
    asked: list[str] = []

    def show(connection: Connection) -> dict[str, Any]:
        event.listen(connection, "before_cursor_execute", lambda *args: asked.append(args[2]))
        return inbox.show(connection, agent.box, first)

    shown = await agent.box.run(show)
    assert len(asked) < 20
    assert shown["standing"] == "corrected"
    assert len(shown["amended_by"]) == amendments.MOST_TOLD + 1
    assert [one["id"] for one in shown["amended_by"] if one["holds"]] == [ids[-1]]
