"""What a node says of who has answered what it asked: by whom, when, with which result, and whose answer is to come."""

from typing import Any
from uuid import UUID

from nodes import outbox
from nodes.agent import Agent
from nodes.cli_read import message_lines, without_content
from schemas.header import new_id
from tests.crypto.people import NOW
from tests.nodes.test_operations import ALERT, bulgaria, come, send

__all__ = ["bulgaria"]


async def test_a_sent_request_says_who_answered_when_and_with_which_result(bg: Agent) -> None:
    question = {"purpose": "p", "legal_basis": "l", "question": "q"}
    asked = await send(bg, "request", question, to=["ro", "tr"])
    id, thread = asked["id"], {"in_reply_to": UUID(asked["id"]), "thread": UUID(asked["thread"])}

    async def told() -> dict[str, Any]:
        return await bg.box.run(outbox.describe, bg.box, id)

    assert ((await told())["answers"], (await told())["unanswered"]) == ([], ["ro", "tr"])
    assert "no answer yet    from ro, tr" in message_lines(await told())
    hit = await come(bg, "reply", {"result": "no_hit", "text": "t"}, "ro", **thread)
    # Of the same thread, and no answer to this.
    await come(bg, "alert", ALERT, "tr", thread=UUID(asked["thread"]))
    found = await told()
    [one] = found["answers"]
    assert {name: one[name] for name in ("id", "kind", "sender", "result", "standing")} == {
        "id": hit,
        "kind": "reply",
        "sender": "ro",
        "result": "no_hit",
        "standing": "as_sent",
    }
    assert (one["created"], found["unanswered"]) == ("2004-11-09T11:33:20.000Z", ["tr"])
    assert f"answered         by ro, {one['received'][:19]}: no hit; reply {hit}\n" in message_lines(found)
    await come(bg, "reply", {"result": "refused", "text": "t", "refusal": "not_competent"}, "tr", **thread)
    assert ": refused (not competent); reply " in message_lines(await told())
    known = without_content(await told())
    assert ("body" in known, [set(one) & {"result", "refusal"} for one in known["answers"]]) == (False, [set(), set()])
    assert "answered         by tr, " in message_lines(known)
    content = {"kind": "reply", "kind_version": 1, "body": {"result": "hit", "text": "t"}}
    await come(bg, "correction", {"message": hit, "content": content, "text": "w"}, "ro", created=NOW + 1)
    found = await told()
    assert [(one["result"], one["standing"]) for one in found["answers"]] == [
        ("hit", "corrected"),
        ("refused", "as_sent"),
    ]
    assert found["unanswered"] == []
    assert f": hit; reply {hit}; CORRECTED since" in message_lines(found)
    await come(bg, "withdrawal", {"message": hit, "reason": "wrong"}, "ro", created=NOW + 2)
    assert ((await told())["answers"][0]["standing"], (await told())["unanswered"]) == ("withdrawn", ["ro"])


async def test_what_asks_nothing_awaits_no_answer_and_a_permission_is_told_as_one(bg: Agent) -> None:
    asked = await send(bg, "alert", ALERT, to=["ro"])
    found = await bg.box.run(outbox.describe, bg.box, asked["id"])
    assert (found["answers"], found["unanswered"]) == ([], [])
    question = {"message": str(new_id()), "use": "judicial", "purpose": "p"}
    asked = await send(bg, "permission.request", question, to=["ro"])
    word = {"message": question["message"], "use": "judicial", "granted": True}
    await come(bg, "permission", word, "ro", thread=UUID(asked["thread"]), in_reply_to=UUID(asked["id"]))
    [one] = (await bg.box.run(outbox.describe, bg.box, asked["id"]))["answers"]
    assert (one["kind"], one["result"]) == ("permission", "granted")
