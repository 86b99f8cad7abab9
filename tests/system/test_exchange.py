"""The main job on real services: posted at one node, proven at the sender, delivered once at the others."""

import asyncio
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from deploy.local import processes
from deploy.local.attacker import run_publish, run_sent_envelope
from deploy.local.errors import CommandFailed
from deploy.local.exchange import Exchange
from deploy.local.forgery import seal_as
from deploy.local.instance import REPOSITORY
from deploy.local.leaks import find_leaks
from schemas.codes import TASK_FORCES
from schemas.witnessing import CheckpointRequest
from tests.system.conftest import NODES
from tests.system.play import (
    ALERT,
    await_delivered,
    bury,
    check_nothing_lost,
    end,
    inbox,
    kill,
    post,
    process,
    state,
    until,
)
from tests.system.watching import Log, check_refused

pytestmark = pytest.mark.system
MARKER = "MERIDIAN-41c9"


def _typed(exchange: Exchange, *words: str) -> tuple[int, str, str]:
    argv = [sys.executable, "-m", "hub.cli", *words, "--home", str(exchange.hub_home)]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def test_an_alert_reaches_every_member_and_is_proven_to_its_sender(exchange: Exchange) -> None:
    id = post(exchange, "ro", priority="urgent")
    await_delivered(exchange, [("ro", id)])
    found = state(exchange, "ro", id)
    assert [d["recipient"] for d in found["deliveries"]] == ["bg", "hr", "seci", "tr"]
    times = found["times"]
    assert times["queued"] <= times["sent"]
    assert times["accepted"] is not None
    assert found["ledger_index"] >= 0
    received = next(message for message in inbox(exchange, "bg") if message["id"] == id)
    assert received["body"]["title"] == "Lorry with double floor"
    assert received["sender"] == "ro"


def test_officers_send_read_and_answer_by_the_command_line(exchange: Exchange) -> None:
    examples = REPOSITORY / "deploy" / "examples"
    sent = exchange.node(
        "ro", "send", "--kind", "alert", "--task-force", "drugs", "--body", str(examples / "alert.json"), "--wait"
    )
    assert (sent["state"], sent["recipients"]) == ("accepted", ["bg", "hr", "seci", "tr"])
    more = ("--task-force", "drugs", "--body", str(examples / "alert.json"))
    assert list(exchange.node("ro", "send", "--kind", "alert", *more)) == list(sent)
    await_delivered(exchange, [("ro", sent["id"])])
    listed = exchange.node("bg", "inbox", "--kind", "alert")["messages"]
    assert sent["id"] in [message["id"] for message in listed]
    answer = ("--in-reply-to", sent["id"], "--body", str(examples / "reply.json"))
    reply = exchange.node("bg", "send", "--kind", "reply", *answer, "--wait")
    assert reply["recipients"] == ["ro"]
    await_delivered(exchange, [("bg", reply["id"])])
    assert exchange.node("ro", "show", reply["id"])["body"]["result"] == "hit"
    assert exchange.node("ro", "status")["warnings"] == []
    assert all(stage["ok"] for stage in exchange.node("ro", "doctor")["stages"])


def test_a_request_is_answered_in_its_thread(exchange: Exchange) -> None:
    question = {"purpose": "Sale of a vehicle", "legal_basis": "SECI Agreement", "question": "Is it sought?"}
    deadline = (datetime.now(UTC) + timedelta(hours=4)).isoformat()
    request = post(exchange, "bg", kind="request", task_force="vehicles", to=["tr"], body=question, reply_by=deadline)
    await_delivered(exchange, [("bg", request)])
    answer = {"result": "no_hit", "text": "Not in our registers."}
    reply = post(exchange, "tr", kind="reply", task_force=None, in_reply_to=request, body=answer)
    await_delivered(exchange, [("tr", reply)])
    received = next(message for message in inbox(exchange, "bg") if message["id"] == reply)
    assert received["in_reply_to"] == request
    assert received["thread"] == state(exchange, "bg", request)["thread"]
    assert received["task_force"] == "vehicles"
    assert reply not in [message["id"] for message in inbox(exchange, "hr")]


def test_the_same_request_posted_twice_is_one_message(exchange: Exchange) -> None:
    first = post(exchange, "ro", to=["bg"])
    await_delivered(exchange, [("ro", first)])
    own = "01a20f97-e270-71d7-88d6-b834d3465199"
    assert post(exchange, "ro", to=["bg"], id=own) == post(exchange, "ro", to=["bg"], id=own) == own
    await_delivered(exchange, [("ro", own)])
    with exchange.api("ro") as api:
        answer = api.post(
            "/v1/messages",
            json={"kind": "alert", "task_force": "fraud", "id": own, "body": {"title": "a", "text": "b"}},
        )
    assert (answer.status_code, answer.json()["code"]) == (409, "id_reused")


def test_tables_of_another_version_are_told_apart_from_a_database_that_is_down(exchange: Exchange) -> None:
    sql = exchange.services.postgres.run_sql
    sql("ALTER TABLE quarantine RENAME COLUMN reason TO cause")
    try:
        with pytest.raises(CommandFailed, match="ended with 2"):
            exchange.hub("quarantine", "list")
    finally:
        sql("ALTER TABLE quarantine RENAME COLUMN cause TO reason")
    assert exchange.hub("quarantine", "list")


def test_operators_follow_a_message_and_see_what_waits(exchange: Exchange) -> None:
    id = post(exchange, "ro", to=["bg", "tr"], operation="ROAD SHOW 2003")
    await_delivered(exchange, [("ro", id)])
    steps = exchange.hub("trace", id)["steps"]
    assert [step["event"] for step in steps] == ["created", "accepted", "delivered", "delivered"]
    assert [step["at"] for step in steps] == sorted(step["at"] for step in steps)
    assert {step["node"] for step in steps[2:]} == {"bg", "tr"}
    listed = exchange.hub("messages", "--node", "tr", "--limit", "5")["messages"]
    assert next(message for message in listed if message["id"] == id)["acknowledged"] == 2
    assert id not in [message["id"] for message in exchange.hub("messages", "--undelivered")["messages"]]
    with pytest.raises(CommandFailed, match="ended with 2"):
        exchange.hub("messages", "--node", "xx")
    waits = {queue["name"]: queue for queue in exchange.hub("queues")["queues"]}
    assert waits["q.in.ro"]["consumers"] == waits["q.quarantine"]["consumers"] == 1
    run_publish(exchange.node_home("hr"), b"no envelope at all, for operators to see")
    until("one in quarantine", lambda: exchange.hub("quarantine", "list")["quarantined"] != [])
    newest = exchange.hub("quarantine", "list")["quarantined"][0]
    assert exchange.hub("quarantine", "show", str(newest["index"])) == newest
    assert "content" not in newest


def test_a_member_no_longer_is_refused_with_the_reason(exchange: Exchange) -> None:
    end(exchange, "hub")
    earlier = post(exchange, "hr", task_force="drugs", to=["ro"])
    request = str(exchange.node_home("hr") / "enrolment.json")
    out = str(exchange.folder / "again")
    exchange.hub("enrol", request, "--task-force", "fraud", "--out", out)
    # The agent knows nothing of it yet.
    id = post(exchange, "hr", task_force="drugs", to=["ro"])
    until("sent to the broker", lambda: state(exchange, "hr", id)["state"] == "sent")
    *before, last = exchange.node("hr", "doctor")["stages"]
    assert all(stage["ok"] for stage in before)
    assert (last["name"], last["ok"], "nobody consumes q.in.hr" in last["found"]) == ("hub", False, True)
    exchange.start_hub()
    until("refused", lambda: state(exchange, "hr", id)["state"] == "refused")
    # It was a member when it wrote this one.
    await_delivered(exchange, [("hr", earlier)])
    refusal = state(exchange, "hr", id)["refusal"]
    assert refusal["code"] == "not_a_member"
    assert "ask its coordinator" in refusal["next"]
    # The agent has the new roster by now and says so before it accepts anything.
    with exchange.api("hr") as api:
        until("roster taken", lambda: api.get("/v1/status").json()["roster"]["version"] == 3)
        answer = api.post(
            "/v1/messages", json={"kind": "alert", "task_force": "drugs", "body": {"title": "a", "text": "b"}}
        )
    assert (answer.status_code, answer.json()["code"]) == (422, "not_a_member")
    every = [option for code in TASK_FORCES for option in ("--task-force", code)]
    exchange.hub("enrol", request, *every, "--out", out)
    assert exchange.hub("enrol", request, "--out", out)["roster"] == 4  # the same again changes nothing
    with exchange.api("hr") as api:
        until("roster taken", lambda: api.get("/v1/status").json()["roster"]["version"] == 4)


def test_a_coordinator_suspends_and_admits_a_member_and_everybody_obeys(exchange: Exchange) -> None:
    def members(node: str) -> list[str]:
        found: list[str] = exchange.node(node, "task-force", "members", "trafficking")["members"]
        return found

    with pytest.raises(CommandFailed, match="ended with 4"):
        exchange.node("bg", "task-force", "suspend", "trafficking", "hr", "--reason", "a slip")
    done = exchange.node("ro", "task-force", "suspend", "trafficking", "hr", "--reason", "until the audit")
    assert done["state"] == "accepted"
    until("hub and node obey", lambda: "hr" not in members("hr") and "hr" not in members("ro"))
    pairs = ("--kind", "alert", "--task-force", "trafficking", "--node", "ro", "--node", "hr")
    codes = [pair["code"] for pair in exchange.hub("policy", "matrix", *pairs)["pairs"]]
    assert codes == ["recipient_not_a_member", "not_a_member"]
    with exchange.api("hr") as api:
        answer = api.post("/v1/messages", json=ALERT | {"task_force": "trafficking"}).json()
    assert (answer["code"], "suspended from trafficking" in answer["detail"]) == ("not_a_member", True)
    # One that does not ask its agent: the hub says the same.
    forged, log = seal_as(exchange.node_home("hr"), "hr"), Log.of(exchange, "hub")
    run_publish(exchange.node_home("hr"), forged)
    check_refused(exchange, log, "hr", forged, "not_a_member")
    id = post(exchange, "ro", task_force="trafficking")
    assert state(exchange, "ro", id)["recipients"] == ["bg", "seci", "tr"]
    # Given while no hub is there, by an agent that dies of it: carried out once, when both are back.
    kill(exchange, "hub")
    exchange.node("ro", "task-force", "admit", "trafficking", "hr", "--reason", "audited", "--no-wait")
    kill(exchange, "node-ro")
    exchange.start_hub()
    exchange.start_node("ro")
    exchange.await_nodes(["ro"])
    until("it is back", lambda: "hr" in members("hr") and "hr" in members("ro"))
    until("it is told", lambda: exchange.node("ro", "task-force", "orders")["orders"][0]["state"] == "accepted")
    [back, _] = exchange.node("ro", "task-force", "orders")["orders"]
    entries = exchange.hub("ledger", "search", "--event", "membership")["entries"]
    assert [entry["index"] for entry in entries] == [back["ledger_index"], done["ledger_index"]]
    await_delivered(exchange, [("ro", id)])


def test_nothing_is_lost_when_the_hub_is_killed_in_mid_flow(exchange: Exchange) -> None:
    posted = []
    for number in range(120):
        if number in (30, 70):
            kill(exchange, "hub")
            exchange.start_hub()
        sender = NODES[number % 4]
        posted.append((sender, post(exchange, sender)))
    await_delivered(exchange, posted)
    check_nothing_lost(exchange, posted, NODES)


def test_nothing_is_lost_when_an_agent_is_killed_in_mid_flow(exchange: Exchange) -> None:
    posted = [("ro", post(exchange, "ro")) for _ in range(40)]
    kill(exchange, "node-ro")
    kill(exchange, "node-bg")
    exchange.start_node("ro")
    exchange.start_node("bg")
    exchange.await_nodes(["ro", "bg"])
    await_delivered(exchange, posted)
    check_nothing_lost(exchange, posted, NODES)


@pytest.mark.long
def test_an_agent_goes_on_accepting_while_the_broker_is_down(exchange: Exchange) -> None:
    exchange.services.broker.kill()
    with exchange.api("ro") as api:
        until("link down", lambda: not api.get("/v1/status").json()["link"]["connected"])
        assert api.get("/v1/status").json()["link"]["reason"]
    posted = [("ro", post(exchange, "ro")) for _ in range(5)]
    assert state(exchange, *posted[0])["state"] == "queued"
    for words, told in ((("status",), "broker      unreachable"), (("top", "--count", "1"), "NO BROKER")):
        code, out, err = _typed(exchange, *words)
        assert (code, told in out) == (5, True)
        # A library's own line would stand here too.
        assert [line[:9] for line in err.splitlines()] == (["seci-hub:", "next: see"] if words[0] == "top" else [])
    exchange.services.broker.start()
    await_delivered(exchange, posted)
    check_nothing_lost(exchange, posted, NODES)


def test_messages_wait_while_the_database_is_down(exchange: Exchange) -> None:
    exchange.services.postgres.kill()
    posted = [("bg", post(exchange, "bg")) for _ in range(5)]
    until("sent to the broker", lambda: all(state(exchange, *item)["state"] == "sent" for item in posted))
    exchange.services.postgres.start()
    await_delivered(exchange, posted)
    check_nothing_lost(exchange, posted, NODES)


def test_a_message_that_cannot_leave_in_time_expires_and_says_so(exchange: Exchange) -> None:
    exchange.services.broker.pause()
    try:
        expires = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
        id = post(exchange, "tr", expires=expires)
        until("expired", lambda: state(exchange, "tr", id)["state"] in ("expired", "refused"))
        assert state(exchange, "tr", id)["refusal"]["code"] == "expired"
    finally:
        exchange.services.broker.resume()
    await_delivered(exchange, [("tr", post(exchange, "tr"))])


def test_no_plaintext_outside_of_the_nodes(exchange: Exchange) -> None:
    id = post(exchange, "ro", body={"title": MARKER, "text": MARKER}, operation="CONTAINMENT 2003")
    await_delivered(exchange, [("ro", id)])
    assert find_leaks(exchange, MARKER) == []
    stores = [path for node in NODES for path in exchange.node_home(node).glob("node.db*")]
    assert stores
    assert not [path for path in stores if MARKER.encode() in path.read_bytes()]
    # The search finds what is there: a header is not secret.
    assert find_leaks(exchange, "fraud")


def test_the_ledger_finds_what_a_superuser_changes(exchange: Exchange) -> None:
    sql = exchange.services.postgres.run_sql
    flip = "UPDATE ledger_content SET entry = set_byte(entry, 5, get_byte(entry, 5) # 1) WHERE leaf_index = 0"
    sql(flip)
    try:
        verdict = exchange.hub("ledger", "verify")
        assert (verdict["ok"], verdict["code"]) == (False, "ledger_broken")
        assert "entry 0" in verdict["detail"]
    finally:
        sql(flip)
    assert exchange.hub("ledger", "verify")["ok"]


@pytest.mark.long
def test_a_dead_letter_that_was_accepted_is_delivered_after_all(exchange: Exchange) -> None:
    id = post(exchange, "ro", to=["bg"])
    await_delivered(exchange, [("ro", id)])
    quarantined = exchange.hub("status")["quarantined"]
    accepted = run_sent_envelope(exchange.node_home("ro"), id)
    # What a witness asks may die beside it any time.
    question = CheckpointRequest(old=0).to_bytes()
    dead = [
        ("q.in.ro", accepted, "envelope"),
        ("q.in.ro", question, "checkpoint_request"),
        ("q.in.hr", b"killed a worker", "envelope"),
    ]
    asyncio.run(bury(exchange, dead))
    until("one in quarantine", lambda: exchange.hub("status")["quarantined"] == quarantined + 1)
    marker = post(exchange, "ro", to=["bg"])
    await_delivered(exchange, [("ro", marker)])
    check_nothing_lost(exchange, [("ro", id), ("ro", marker)], NODES)
    assert exchange.hub("status")["quarantined"] == quarantined + 1
    assert '"dead_letter"' in (exchange.logs / "hub.log").read_text()


def test_a_queue_that_is_made_again_is_consumed_again(exchange: Exchange) -> None:
    for queue in ("q.in.bg", "q.inbox.bg"):
        exchange.services.broker.run_ctl(["delete_queue", "-p", "siex", queue])
    exchange.hub("provision")
    posted = [("bg", post(exchange, "bg", to=["ro"])), ("ro", post(exchange, "ro", to=["bg"]))]
    await_delivered(exchange, posted)


@pytest.mark.parametrize("condition", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_database_that_breaks_off_in_mid_work_loses_nothing(exchange: Exchange, condition: str) -> None:
    hub = process(exchange.folder, "hub")
    posted = []
    for number in range(60):
        posted.append(("ro", post(exchange, "ro", to=["bg"])))
        if number % 5 == 0:
            exchange.services.postgres.run_sql(
                f"SELECT {condition}(pid) FROM pg_stat_activity WHERE usename = 'seci_hub'"  # noqa: S608 ours
            )
    await_delivered(exchange, posted)
    check_nothing_lost(exchange, posted, NODES)
    assert processes.alive(hub)


_READ_ONLY = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON ledger_leaf FOR EACH ROW EXECUTE FUNCTION full_disk();
"""


@pytest.mark.long
def test_a_database_that_takes_no_writes_for_a_while_costs_no_message(exchange: Exchange) -> None:
    before = exchange.hub("status")["quarantined"]
    exchange.services.postgres.run_sql(_READ_ONLY)
    try:
        posted = [("ro", post(exchange, "ro", to=["bg"])) for _ in range(5)]
        until("sent to the broker", lambda: all(state(exchange, *item)["state"] == "sent" for item in posted))
        # Long enough for twenty deliveries of each, if every failure were one.
        time.sleep(8)
    finally:
        exchange.services.postgres.run_sql("DROP TRIGGER full_disk ON ledger_leaf; DROP FUNCTION full_disk()")
    await_delivered(exchange, posted)
    check_nothing_lost(exchange, posted, NODES)
    assert exchange.hub("status")["quarantined"] == before
