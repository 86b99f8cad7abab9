"""`seci-node map`: from a national system's export to messages, and on to the agent if that is asked for."""

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer

from crypto.keyfile import load_node_keys
from crypto.progress import Progress
from nodes.client import ApiRefused, call
from nodes.errors import AgentUnreachable, InputRefused, MappingInvalid, NodeError, RecordsRefused
from nodes.mapped import Fault, Mapped, map_all, read_records
from nodes.mapping import Mapping, read_mapping
from nodes.recordids import id_key, record_id
from nodes.records import MAX_INPUT
from nodes.settings import HOME_VARIABLE, Settings
from nodes.shell import AsJson, answer, say
from nodes.times import iso
from schemas import registry
from schemas.amended import CORRECTION

# What the API may refuse of one record and not of the next: the others are sent all the same.
_OF_ONE: Final = (
    "body_invalid",
    "request_invalid",
    "id_reused",
    "too_large",
    "message_unknown",
    "task_force_mismatch",
    "reply_not_to_asker",
    "recipient_unknown",
    "recipient_not_a_member",
    "operation_mismatch",
    "operation_unplanned",
)
# A warning of an operation's name is the same for each message that has it.
_OF_NAME: Final = "operation: "
Warned = list[tuple[Mapped, str]]
# Of what was sent before under the same id: it reached nobody.
_LOST: Final = ("refused", "expired")


def map_(
    input: Annotated[str, typer.Argument(help="The export: a CSV, JSON or XML file, or - for standard input.")],
    mapping: Annotated[Path, typer.Option(help="The mapping, a TOML file; docs/mapping.md tells how to write one.")],
    home: Annotated[
        Path | None, typer.Option(envvar=HOME_VARIABLE, help="The node's folder: each message then has its id.")
    ] = None,
    send: Annotated[
        bool,
        typer.Option("--send", help="Send the messages through the running agent; what was sent is not sent again."),
    ] = False,
    new_operation: Annotated[
        bool, typer.Option("--new-operation", help="Send them although no plan that is here names their operation.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Write or send none if any record is wrong.")] = False,
    as_json: AsJson = False,
) -> None:
    """Turn records of a national system into messages, one line of JSON each, as POST /v1/messages takes them.

    Exit code 3 if some records are wrong or refused, or if there are none; 2 if all are wrong, 4 if the agent refuses
    all.
    """
    if send and home is None:
        raise typer.BadParameter("--send needs the node's folder: name it with --home")
    form = read_mapping(_read(str(mapping), MappingInvalid))
    key = None if home is None else _id_key(home)
    now = time.time_ns() // 1_000_000
    records = _map(form, _read(input, InputRefused), key, now)
    good = [mapped for mapped in records if mapped.message is not None]
    if len(good) < len(records) and (strict or not good):
        _refuse(records, good)
    faults, code = _faults(records), 3
    unread = sorted(form.sources().difference(*(mapped.read for mapped in records))) if records else []
    told: dict[str, Any]
    if home is not None and send:
        said = [_with_word(mapped) for mapped in good] if new_operation else good
        sent, refused, warnings = _send(home, said, iso(now) or "")
        faults, code = [*faults, *_faults(refused)], 3 if sent or not refused else 4
        told, lines = {"sent": sent}, [_sent_line(item) for item in sent]
        new = sum(item["new"] for item in sent)
        done = f"{len(sent)} are with the agent: {new} new, {len(sent) - new} sent before"
    else:
        warnings = [(mapped, warning) for mapped in good for warning in mapped.warnings]
        messages = [mapped.message for mapped in good]
        told = {"messages": messages}
        lines = [json.dumps(message, ensure_ascii=False) for message in messages]
        done = f"{len(messages)} make messages"
    if as_json or lines:
        odd = [{"record": of.record.number, "key": list(of.key), "warning": warning} for of, warning in warnings]
        found = {"records": len(records), **told, "errors": faults, "warnings": odd, "unread": unread}
        answer(found, as_json, "\n".join(lines))
    if not as_json:
        _say_all(warnings, faults, unread)
    say(f"{len(records)} records; {done}" if records else "there is no record in the input, and so no message")
    if faults or not records:
        raise typer.Exit(code)


def _with_word(mapped: Mapped) -> Mapped:
    return replace(mapped, message={**(mapped.message or {}), "new_operation": True})


def _say_all(warnings: Warned, faults: Sequence[dict[str, Any]], unread: Sequence[str]) -> None:
    alike = Counter(warning for _, warning in warnings if warning.startswith(_OF_NAME))
    for warning, number in alike.items():
        say(f"warning: {number} of the messages: {warning}")
    for mapped, warning in warnings:
        if warning not in alike:
            say(f"warning: {mapped.named()}: {warning}")
    for fault in faults:
        say(f"{fault['field']}: found {fault['found']}; it {fault['wanted']}")
    for source in unread:
        say(f"note: no record has anything at {source}: does the mapping name it rightly?")


def _refuse(records: Sequence[Mapped], good: Sequence[Mapped]) -> NoReturn:
    detail = f"{len(records) - len(good)} of {len(records)} records are wrong, and nothing was written or sent"
    step = "correct them in the national system, or the mapping"
    raise RecordsRefused(detail, f"{step}, or leave --strict out" if good else step, _faults(records))


def _faults(records: Sequence[Mapped]) -> list[dict[str, Any]]:
    """All faults, in the records' order; what lies in the mapping alone, and so in each record, is told once."""
    told = [fault for mapped in records for fault in mapped.told()]
    alike = Counter(map(_of_mapping, told))
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for number, fault in enumerate(told):
        same = _of_mapping(fault)
        if alike[same] == 1 or not same:
            found[str(number),] = fault
        elif same not in found:
            # What the agent refuses as a whole is no matter of one field.
            of_field = "" if fault["target"] == "message" else ", which the mapping reads from nothing"
            field = f"{alike[same]} records alike: {fault['target']}{of_field}"
            found[same] = fault | {"field": field, "records": alike[same]}
    return list(found.values())


def _of_mapping(fault: dict[str, Any]) -> tuple[str, ...]:
    """What makes such a fault the same in two records; empty if it comes of the record itself."""
    if fault["source"] or fault["target"] == "key":
        return ()
    return fault["target"], fault["found"], fault["wanted"]


def _read(source: str, refusal: type[NodeError]) -> bytes:
    """The bytes of a file, and one more than may be if it is too large. Raises the refusal."""
    try:
        if source == "-":
            return sys.stdin.buffer.read(MAX_INPUT + 1)
        with Path(source).open("rb") as file:
            return file.read(MAX_INPUT + 1)
    except OSError as error:
        raise refusal(f"{source} does not read: {error.strerror}", "name a file that there is") from error


def _id_key(home: Path) -> bytes:
    settings = Settings.load(home)
    return id_key(load_node_keys(home / "node.key", settings.secret()).storage)


def _map(mapping: Mapping, data: bytes, key: bytes | None, now: int) -> list[Mapped]:
    found, progress = read_records(mapping, data), Progress("records")
    records = []
    for mapped in map_all(mapping, found, now):
        records.append(_with_id(mapped, mapping, key))
        progress(len(records), len(found))
    progress.end()
    return records


def _with_id(mapped: Mapped, mapping: Mapping, key: bytes | None) -> Mapped:
    if mapped.message is None or key is None:
        return mapped
    return replace(mapped, message={"id": str(record_id(key, mapping, mapped.key)), **mapped.message})


def _send(home: Path, good: Sequence[Mapped], begin: str) -> tuple[list[dict[str, Any]], list[Mapped], Warned]:
    """What the agent took, what it refused, and its warnings of what is new since `begin`.

    Raises AgentUnreachable, ApiRefused when no other would do better.
    """
    sent, refused, progress = list[dict[str, Any]](), list[Mapped](), Progress("messages")
    warned: Warned = []
    try:
        for number, mapped in enumerate(good, 1):
            found, faults = _post(home, mapped.message or {})
            if found is None or found["state"] in _LOST:
                faults = faults if found is None else [_lost(found)]
                refused.append(replace(mapped, message=None, faults=tuple(faults)))
            else:
                new = found["queued"] >= begin
                warnings = found.pop("warnings", ())
                warned += [(mapped, warning) for warning in warnings if new]
                sent.append({"record": mapped.record.number, "key": list(mapped.key), "new": new, **found})
            progress(number, len(good))
    except (AgentUnreachable, ApiRefused):
        progress.end()
        say(f"{len(sent)} of {len(good)} are with the agent; repeat the command, and they are not sent again")
        raise
    progress.end()
    return sent, refused, warned


def _post(home: Path, message: dict[str, Any]) -> tuple[dict[str, Any] | None, list[Fault]]:
    """What the agent has of a message, new or from before; or why it does not take it. Raises as `_send`."""
    try:
        return call(home, "POST", "/v1/messages", json=message), []
    except ApiRefused as error:
        if error.code == "id_reused":
            return _before(home, message)
        if error.code not in _OF_ONE:
            raise
        if error.fields:
            return None, [Fault(item["field"], "", item["found"], item["wanted"]) for item in error.fields]
        return None, [Fault("message", "", str(error), f"is refused ({error.code}): {error.next_step}")]


def _before(home: Path, message: dict[str, Any]) -> tuple[dict[str, Any] | None, list[Fault]]:
    """What was sent of a record that reads differently now: enough, if a correction or withdrawal has said so since."""
    sent = call(home, "GET", f"/v1/messages/{message['id']}")
    known = {name: sent[name] for name in ("id", "state", "thread", "recipients")}
    known["queued"] = sent["times"]["queued"]
    if sent["standing"] == "withdrawn":
        return known | {"standing": "withdrawn"}, []
    corrections = [one for one in sent.get("amended_by", ()) if one["kind"] == CORRECTION and one["holds"]]
    if corrections:
        by, holds = corrections[-1]["id"], call(home, "GET", f"/v1/messages/{corrections[-1]['id']}")
        if _read_as(message, message["body"]) == _read_as(message, holds["body"]["content"]["body"]):
            return known | {"standing": "corrected"}, []
        found = f"a record that was corrected, by {by}, and reads differently now"
    elif _read_as(message, message["body"]) == _read_as(message, sent["body"]) and not _differs(message, sent):
        return known, []
    else:
        found = f"a record that was sent before, as {sent['id']}, and reads differently now"
    return None, [Fault("message", "", found, "is left as it was sent: send a correction of that message")]


def _read_as(message: dict[str, Any], body: Any) -> Any:
    # Numbers may have been written as texts, and identifiers without what the node adds.
    return json.loads(registry.body_bytes(message["kind"], message.get("kind_version", 1), body))


def _differs(message: dict[str, Any], sent: dict[str, Any]) -> bool:
    """Whether what is beside the body was sent otherwise than it is stated now."""
    names = ("task_force", "agency", "priority", "handling", "operation", "in_reply_to")
    if any(name in message and message[name] != sent.get(name) for name in names):
        return True
    if "to" in message and sorted(set(message["to"])) != sent["recipients"]:
        return True
    return any(name in message and not _same_time(message[name], sent.get(name)) for name in ("reply_by", "expires"))


def _same_time(one: str, other: str | None) -> bool:
    return other is not None and datetime.fromisoformat(one) == datetime.fromisoformat(other)


def _lost(found: dict[str, Any]) -> Fault:
    # The hub lets no id through twice, so under this one the record never comes to anybody.
    before = f"a record that was sent before, as {found['id']}, and {found['state']}"
    step = "is not sent again: see why with `seci-node show`, and send it under an id of its own"
    return Fault("message", "", before, step)


def _sent_line(sent: dict[str, Any]) -> str:
    known = "new" if sent["new"] else f"sent before{', ' + sent['standing'] + ' since' if 'standing' in sent else ''}"
    return f"{sent['id']} {sent['state']}, {known}; record {sent['record']}; to {', '.join(sent['recipients'])}"
