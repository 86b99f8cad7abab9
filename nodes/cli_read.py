"""The commands of `seci-node` that look: at what was sent, at what came, and at the node itself."""

import json
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

import typer

from crypto import typed
from crypto.keyfile import write_private
from nodes.client import ApiRefused, call
from nodes.errors import FileUnwritable, MessageUnknown
from nodes.shell import AsJson, Home, answer, say

After = Annotated[int, typer.Option(min=0, max=typed.MOST, help="Go on behind this number.")]
Limit = Annotated[int, typer.Option(min=1, max=500)]


def status(
    home: Home,
    id: Annotated[UUID | None, typer.Argument(help="A message that was sent; default: the node.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the state of the node and its newest messages, or of one sent message, never its content (see `show`).

    Exit code 3 if the node needs attention, 5 if no agent runs. Of one message it is 0, whatever became of it.
    """
    if id is not None:
        found = call(home, "GET", f"/v1/messages/{id}")
        found = without_content(found)
        answer(found, as_json, message_lines(found))
        return
    state = call(home, "GET", "/v1/status")
    newest = call(home, "GET", "/v1/messages", params={"limit": 10})["messages"]
    link = state["link"]
    lines = [
        f"node    {state['node']}, roster version {state['roster']['version']} (SHA-256 {state['roster']['digest']})",
        f"link    {'connected' if link['connected'] else 'down'} since {link['since']} {link['reason']}",
        # An agent that has not been started anew since an update says nothing of it.
        *([f"hub     {_answers(state['hub'])}"] if "hub" in state else []),
        f"counts  {', '.join(f'{name} {number}' for name, number in state['counts'].items())}",
        *(f"WARNING {warning}" for warning in state["warnings"]),
        *(_table([("sent, newest first", "kind", "state"), *map(_sent, newest)]) if newest else ()),
    ]
    answer({**state, "newest": newest}, as_json, "\n".join(lines))
    if state["warnings"]:
        raise typer.Exit(3)


def _answers(hub: dict[str, Any]) -> str:
    newest = f"answered {hub['answered']}" if hub["answered"] else "no answer yet since the agent was started"
    return f"DOES NOT ANSWER since {hub['unanswered_since']}; {newest}" if hub["late"] else newest


def without_content(found: dict[str, Any]) -> dict[str, Any]:
    """A sent message as the API gives it, without its body and without what was answered, which is content too."""
    answers = [
        {name: value for name, value in one.items() if name not in ("result", "refusal")}
        for one in found.get("answers", ())
    ]
    return {name: value for name, value in found.items() if name != "body"} | {"answers": answers}


def _sent(message: dict[str, Any]) -> tuple[str, ...]:
    return message["id"], message["kind"], f"{stage(message)}; to {', '.join(message['recipients'])}"


def inbox(
    home: Home,
    after: After = 0,
    limit: Limit = 50,
    kind: str | None = None,
    thread: UUID | None = None,
    as_json: AsJson = False,
) -> None:
    """List received messages in the order of arrival."""
    given = {"after": after, "limit": limit, "kind": kind, "thread": thread and str(thread)}
    params = {name: value for name, value in given.items() if value is not None}
    found = call(home, "GET", "/v1/inbox", params=params)
    lines = _table([_COLUMNS, *map(_row, found["messages"])])
    answer(found, as_json, "\n".join(lines) if found["messages"] else _none(after))
    if len(found["messages"]) == limit:
        say(f"there may be more: seci-node inbox --after {found['after']}")


_COLUMNS: Final = (
    "number",
    "id",
    "received (UTC)",
    "from",
    "kind",
    "task force",
    "lane",
    "hc",
    "reply by (UTC)",
    "about",
)


def _none(after: int) -> str:
    return f"nothing behind number {after}" if after else "nothing yet"


def _row(message: dict[str, Any]) -> tuple[str, ...]:
    named = ("sender", "kind", "task_force", "priority", "handling")
    marks = f"{message['standing'].upper()}: " if message["standing"] != "as_sent" else ""
    # What changes nothing must not pass for what does.
    void = "VOID: " if not message.get("amends", {"holds": True})["holds"] else ""
    about = f"{marks}{void}{message.get('about', '')}"
    times = (str(message["seq"]), message["id"], message["received"][:19])
    return (*times, *(message[name] for name in named), debt(message), about)


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows under their heads, each column as wide as what is in it; one that is empty is left out."""
    columns = list(zip(*rows, strict=True))
    kept = [column for column in columns if len(rows) == 1 or any(column[1:])]
    widths = [max(map(len, column)) for column in kept]
    return [
        "  ".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in zip(*kept, strict=True)
    ]


def notices(
    home: Home,
    after: After = 0,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List who has not answered or taken a message in time, whose messages went elsewhere, and what rosters changed."""
    found = call(home, "GET", "/v1/notices", params={"after": after, "limit": limit})
    head = f"{'number':>6}  {'at (UTC)':19}  {'event':16} {'who':5} about"
    lines = [
        f"{n['seq']:>6}  {n['at'][:19]}  {n['event']:16} {n.get('node') or n['recipient']:5} {_about(n)}"
        for n in found["notices"]
    ]
    answer(found, as_json, "\n".join([head, *lines] if lines else [_none(after)]))


def show(home: Home, id: UUID, as_json: AsJson = False) -> None:
    """Show a message, received or sent, with its content."""
    answer(found := _found(home, id)[1], as_json, message_lines(found))


def _found(home: Path, id: UUID) -> tuple[str, dict[str, Any]]:
    """Where the API has a message, received or sent, and the message."""
    for at in (f"/v1/inbox/{id}", f"/v1/messages/{id}"):
        try:
            return at, call(home, "GET", at)
        except ApiRefused as error:
            if error.code != "message_unknown":
                raise
    raise MessageUnknown(f"no message {id} in inbox or outbox", "list them: seci-node inbox, status")


def receipt(
    home: Home,
    id: UUID,
    with_content: Annotated[bool, typer.Option("--with-content", help="Who gets it can read the message.")] = False,
    out: Annotated[Path | None, typer.Option(help="The file to write; default: standard output.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write what proves a message, sent or received, to others: they verify it with seci-verify, offline."""
    at, message = _found(home, id)
    bundle = call(home, "GET", f"{at}/evidence", params={"content": with_content})
    told = [message["witnessed"], *(item["witnessed"] for item in message.get("deliveries", ()) if "witnessed" in item)]
    if out is None:
        typer.echo(json.dumps(bundle, indent=1))
        return
    try:
        write_private(out, (json.dumps(bundle, indent=1) + "\n").encode())
    except OSError as error:
        raise FileUnwritable(f"{out} cannot be written: {error.strerror}", "name another with --out") from error
    witnessed = all(told)
    side = "recipient" if "recipient" in bundle else "sender"
    answers = len(bundle["proofs"]) - (side == "sender")
    holds = f"the hub's decision on {id} and the answers of {answers} recipients"
    if side == "recipient":
        holds = f"{id} as it came, and that it is on record as {message['state']} here"
    result = {"id": str(id), "file": str(out), "side": side, "answers": answers, "content": with_content}
    answer({**result, "witnessed": witnessed}, as_json, f"{out}: {holds}")
    if not witnessed:
        say("not all of it is witnessed yet: for a policy with a quorum, write it again later")
    say(f"next: seci-verify {out} --policy POLICY")


def stage(message: dict[str, Any]) -> str:
    """The state in words: `accepted by the hub, delivered 3/12`."""
    if message["state"] != "accepted":
        return str(message["state"])
    states = [delivery["state"] for delivery in message["deliveries"]]
    declined = f", declined {states.count('declined')}" if "declined" in states else ""
    late = sum(bool(delivery.get("late")) for delivery in message["deliveries"])
    late_ones = f", {late} of them late" if late else ""
    return f"accepted by the hub, delivered {states.count('delivered')}/{len(states)}{declined}{late_ones}"


def debt(message: dict[str, Any]) -> str:
    """Until when a received message is to be answered, and whether it was: `2026-11-24T14:00:00 OVERDUE`."""
    word = "answered" if message.get("answered") else "OVERDUE" if message.get("overdue") else ""
    return f"{message.get('reply_by', '')[:19]} {word}".strip()


def message_lines(found: dict[str, Any]) -> str:
    """A message as the API gives it, in lines for people."""
    lines = [*_standing_lines(found), *_answer_lines(found)]
    for name, value in found.items():
        match value:
            case _ if name in ("standing", "amended_by", "amends", "answers", "unanswered"):
                pass
            case _ if name == "body":
                lines.append(json.dumps(value, ensure_ascii=False, indent=2))
            case _ if name == "deliveries":
                lines += [_delivery_line(delivery) for delivery in value]
            case _ if name == "notices":
                lines += [f"{'notice':16} {_notice_line(notice)}" for notice in value]
            case dict():
                lines += [f"  {key:14} {item}" for key, item in value.items() if item is not None]
            case list():
                lines.append(f"{name:16} {', '.join(map(str, value))}")
            case bool():
                lines.append(f"{name:16} {'yes' if value else 'no'}")
            case None:
                pass
            case _:
                lines.append(f"{name:16} {value}")
    return "\n".join(lines)


def _standing_lines(found: dict[str, Any]) -> list[str]:
    """First of all, what was made of a message since, or what it makes of another."""
    lines = [_amended_line(one) for one in found.get("amended_by", ())]
    if (amends := found.get("amends")) is not None:
        named = amends["message"]
        if "sender" in amends:
            named += f", {amends['kind']} of {amends['sender']}, {amends['created'][:19]}"
        lines.append(f"{'of message':16} {named}{_unless_it_holds(amends)}")
    return lines


def _answer_lines(found: dict[str, Any]) -> list[str]:
    """Who has answered a sent message, and whose answer is still to come."""
    lines = [f"{'answered':16} {_answer(one)}" for one in found.get("answers", ())]
    if unanswered := found.get("unanswered"):
        lines.append(f"{'no answer yet':16} from {', '.join(unanswered)}")
    return lines


def _answer(one: dict[str, Any]) -> str:
    said = one.get("result", "").replace("_", " ")
    why = f" ({one['refusal'].replace('_', ' ')})" if "refusal" in one else ""
    mark = "" if one["standing"] == "as_sent" else f"; {one['standing'].upper()} since"
    result = f": {said}{why}" if said else ""
    return f"by {one['sender']}, {one['received'][:19]}{result}; {one['kind']} {one['id']}{mark}"


def _amended_line(one: dict[str, Any]) -> str:
    word = "WITHDRAWN" if one["kind"] == "withdrawal" else "CORRECTED"
    begin = f"{word if one['holds'] else one['kind']:16} by {one['id']} of {one['sender']}, {one['created'][:19]}"
    return begin + _unless_it_holds(one)


def _unless_it_holds(one: dict[str, Any]) -> str:
    return "" if one["holds"] else f"; it changes nothing: {one['why']}"


def _delivery_line(delivery: dict[str, Any]) -> str:
    known = [delivery.get(name) for name in ("state", "at", "code")]
    if delivery.get("late"):
        known.append("late: after it expired, within what is allowed for clocks and for the way")
    return f"  {delivery['recipient']:14} {' '.join(str(word) for word in known if word)}"


def _notice_line(notice: dict[str, Any]) -> str:
    missed = {
        "expired": "had not taken it by then",
        "returned": f"will not get it: it is shut out [{notice.get('code')}]; reach it by another way",
        "handed_over": f"is gone: {notice.get('heir')} answers in its place; send it to {notice.get('heir')}",
    }.get(notice["event"], "had not answered by then")
    return f"{notice['at'][:19]}  {notice['event']:11} {notice['recipient']:5} {missed}"


def _about(notice: dict[str, Any]) -> str:
    if "node" in notice:
        cause = f" ({notice['cause']})" if "cause" in notice else ""
        where = f"{notice['task_force']}, " if "task_force" in notice else ""
        more = "; see `seci-node roster --history`" if notice["event"] == "policy_changed" else ""
        return f"{where}by roster version {notice['roster']}{cause}{more}"
    heir = f", which {notice['heir']} takes over" if "heir" in notice else ""
    return f"message {notice['message']} of {notice['sender']}{heir}"
