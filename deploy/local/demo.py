"""`make demo`: the main job on real services, told as it happens, with proof at the end.

Writes build/demo/summary.json and ends with 1 if anything is not as it should be.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from deploy.local import processes
from deploy.local.attacker import run_publish, run_sent_envelope
from deploy.local.errors import LocalError
from deploy.local.exchange import Exchange, prepare_tls
from deploy.local.forgery import seal_as
from deploy.local.instance import REPOSITORY, discard
from deploy.local.leaks import find_leaks
from deploy.local.officers import Officers
from deploy.local.scenario import ALERT, EXPECTED_SUMS, MARKER, OPERATION, REPLY, REQUEST, SEIZURES, Line
from deploy.local.services import running
from schemas.refusals import RefusalCode

CAST = ("ro", "bg", "tr", "hr", "seci")
BURST = 40
PATIENCE_S = 90


@dataclass
class Demo:
    """The demo on a running exchange. `faults` are what went wrong; empty is success."""

    exchange: Exchange
    posted: list[tuple[str, str]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def play(self) -> dict[str, Any]:
        """The whole story; returns the summary."""
        tell("1. Romania alerts the task force on trafficking")
        alert = self.post(ALERT)
        tell("2. Bulgaria asks Turkey about a vehicle; Turkey answers in the thread")
        request = self.post(REQUEST)
        self.await_received("tr", [request])
        self.post(Line("tr", {**REPLY, "in_reply_to": request}))
        tell(f"3. Four nodes send the seizures of {OPERATION} to the Centre")
        for line in SEIZURES:
            self.post(line)
        tell("4. A forged, a tampered and a replayed message, and an id used twice")
        self.await_settled()
        self.attack(alert)
        tell(f"5. The hub is killed (SIGKILL) while {BURST} messages are under way, and started again")
        self.kill_hub_in_flight()
        tell("6. Ana, a security officer, changes who may say what to whom, which takes another one")
        self.change_a_rule()
        self.await_settled()
        tell("7. Proofs")
        return self.account()

    def post(self, line: Line) -> str:
        """Posts a message and remembers it."""
        with self.exchange.api(line.sender) as api:
            answer = api.post("/v1/messages", json=line.request)
        if answer.status_code != 202:
            raise LocalError(f"{line.sender} would not take {line.request['kind']}: {answer.text}")
        id = str(answer.json()["id"])
        self.posted.append((line.sender, id))
        return id

    def await_settled(self) -> None:
        """Waits until every message posted so far is delivered to all its recipients."""
        until = time.monotonic() + PATIENCE_S
        waiting = list(self.posted)
        while waiting and time.monotonic() < until:
            waiting = [item for item in waiting if not _is_delivered(self.state(*item))]
            time.sleep(0.1)
        self.faults += [f"{id} of {sender}: not delivered after {PATIENCE_S} s" for sender, id in waiting]

    def await_received(self, node: str, ids: Sequence[str]) -> None:
        """Waits until a node's inbox holds these messages."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            if set(ids) <= {message["id"] for message in self.inbox(node)}:
                return
            time.sleep(0.1)
        raise LocalError(f"{node} did not receive {', '.join(ids)}")

    def state(self, sender: str, id: str) -> dict[str, Any]:
        """A sent message as the sender's API shows it."""
        with self.exchange.api(sender) as api:
            found: dict[str, Any] = api.get(f"/v1/messages/{id}").json()
            return found

    def inbox(self, node: str) -> list[dict[str, Any]]:
        """All of a node's inbox."""
        with self.exchange.api(node) as api:
            found: list[dict[str, Any]] = api.get("/v1/inbox", params={"limit": 500}).json()["messages"]
            return found

    def attack(self, alert: str) -> None:
        """Plays a hostile Croatia and expects each refusal by its code."""
        captured = run_sent_envelope(self.exchange.node_home("ro"), alert)
        middle = len(captured) // 2
        tampered = captured[:middle] + bytes([captured[middle] ^ 1]) + captured[middle + 1 :]
        trials = (
            ("forged: Romania's message published by Croatia", "hr", captured, RefusalCode.SENDER_MISMATCH),
            ("tampered: one bit of Romania's message changed", "ro", tampered, RefusalCode.SIGNATURE_INVALID),
            ("forged: signed by Croatia in Romania's name", "hr", self.forge(), RefusalCode.SENDER_MISMATCH),
            ("replayed: an old id with new content", "ro", self.reuse(alert), RefusalCode.ID_REUSED),
        )
        for why, node, envelope, code in trials:
            before = self.exchange.hub("status")["refused"].get(str(code), 0)
            run_publish(self.exchange.node_home(node), envelope)
            if self.await_refusal(str(code), before + 1):
                self.refused.append({"why": why, "code": str(code)})
                tell(f"   refused  {code:18} {why}")
            else:
                self.faults.append(f"not refused with {code}: {why}")
        run_publish(self.exchange.node_home("ro"), captured)
        tell("   ignored  -                  replayed: Romania's own message, unchanged, once more")

    def forge(self) -> bytes:
        """A message in Romania's name, signed with Croatia's key."""
        return seal_as(self.exchange.node_home("hr"), "ro")

    def reuse(self, id: str) -> bytes:
        """Another message of Romania's under an id that it has used."""
        return seal_as(self.exchange.node_home("ro"), "ro", id)

    def await_refusal(self, code: str, count: int) -> bool:
        """Waits until the hub has recorded so many refusals of this code."""
        until = time.monotonic() + PATIENCE_S / 3
        while time.monotonic() < until:
            if self.exchange.hub("status")["refused"].get(code, 0) >= count:
                return True
            time.sleep(0.2)
        return False

    def kill_hub_in_flight(self) -> None:
        """Posts a burst, kills the hub in the middle of it, posts the rest, starts the hub again."""
        hub = next(p for p in processes.recorded(self.exchange.folder) if p.name == "hub")
        for number in range(BURST):
            if number == BURST // 2:
                processes.kill(self.exchange.folder, [hub])
                tell(f"   hub killed after {number} posts; the agents go on accepting")
            sender = ("ro", "bg", "tr", "hr")[number % 4]
            body = {"title": f"Border check {number}", "text": f"Routine figures {number}. {MARKER}"}
            self.post(Line(sender, {"kind": "alert", "task_force": "fraud", "body": body}))
        self.exchange.start_hub()
        tell("   hub started again")

    def change_a_rule(self) -> None:
        """Two officers, each with an account; from here on every act at the hub has a name in the ledger."""
        officers = Officers(self.exchange)
        for name in ("ana", "bob"):
            officers.add(name, by="ana")
        for line in officers.act_together("ana", "bob"):
            tell(f"   {line}")
        if not officers.in_force("bg", PATIENCE_S / 3):
            self.faults.append("the new rule is not in force at bg")

    def account(self) -> dict[str, Any]:
        """What happened to every message, the checks, and the summary."""
        messages = [self.told(sender, id) for sender, id in self.posted]
        self.check_inboxes()
        self.check_sums()
        ledger = self.exchange.hub("ledger", "verify")
        tell(f"   ledger verified: {ledger['size']} entries, root {ledger['root'][:16]}...")
        leaks = find_leaks(self.exchange, MARKER)
        self.faults += [f"plaintext found in {place}" for place in leaks]
        if not leaks:
            tell("   no plaintext in the broker's data, the hub's database or any log")
        for node in ("bg", "ro"):
            self.check_rest(node)
        return {
            "ok": not self.faults,
            "messages": messages,
            "refused": self.refused,
            "ledger": {"size": ledger["size"], "root": ledger["root"], "verified": ledger["ok"]},
            "faults": self.faults,
        }

    def told(self, sender: str, id: str) -> dict[str, Any]:
        """One message's line of the account and its part of the summary."""
        state = self.state(sender, id)
        delivered = ", ".join(f"{d['recipient']} {d.get('at', '-')[11:23]}" for d in state["deliveries"])
        if len(self.posted) <= BURST or (sender, id) in self.posted[:-BURST]:
            times = state["times"]
            tell(
                f"   {state['kind']:13} {sender} -> {','.join(state['recipients'])} [{state['task_force']}] "
                f"queued {str(times['queued'])[11:23]} accepted {str(times.get('accepted'))[11:23]}, "
                f"delivered {delivered}; ledger {state['ledger_index']}, proof verified"
            )
        if not state["receipt_verified"] or state["state"] != "accepted":
            self.faults.append(f"{id}: {state['state']}, receipt verified: {state['receipt_verified']}")
        states = {name: value for name, value in state["times"].items() if value is not None}
        states |= {f"delivered:{d['recipient']}": d.get("at") for d in state["deliveries"]}
        return {
            "id": id,
            "sender": sender,
            "recipients": state["recipients"],
            "task_force": state["task_force"],
            "kind": state["kind"],
            "states": states,
            "ledger_index": state["ledger_index"],
            "receipt_verified": state["receipt_verified"],
        }

    def check_inboxes(self) -> None:
        """Every recipient has every message once, and nobody has any other."""
        expected: dict[str, list[str]] = {node: [] for node in CAST}
        for sender, id in self.posted:
            for recipient in self.state(sender, id)["recipients"]:
                expected[recipient].append(id)
        for node in CAST:
            found = [message["id"] for message in self.inbox(node)]
            if sorted(found) != sorted(expected[node]):
                self.faults.append(f"inbox of {node}: {len(found)} messages, {len(expected[node])} expected")
        total = sum(len(ids) for ids in expected.values())
        tell(f"   {len(self.posted)} messages posted, {total} deliveries: none lost, none twice")

    def check_sums(self) -> None:
        """The Centre's node adds the seizures up to the figures of page 16."""
        sums: dict[tuple[str, str], Decimal] = {}
        for message in self.inbox("seci"):
            if message["kind"] == "drugs.seizure" and message["operation"] == OPERATION:
                for item in message["body"]["seizures"]:
                    key = (item["substance"], item["unit"])
                    sums[key] = sums.get(key, Decimal(0)) + Decimal(item["quantity"])
        if sums != {key: Decimal(value) for key, value in EXPECTED_SUMS.items()}:
            self.faults.append(f"the Centre's sums are not those of page 16: {sums}")
        tell(f"   {OPERATION} at the Centre: " + ", ".join(f"{k[0]} {v} {k[1]}" for k, v in sums.items()))

    def check_rest(self, node: str) -> None:
        """A node's store holds no plaintext either."""
        home = self.exchange.node_home(node)
        for name in ("node.db", "node.db-wal"):
            file = home / name
            if file.exists() and MARKER.encode() in file.read_bytes():
                self.faults.append(f"plaintext found in {file}")


def _is_delivered(state: dict[str, Any]) -> bool:
    return state["state"] == "accepted" and all(d["state"] == "delivered" for d in state["deliveries"])


def tell(text: str) -> None:
    """A line of the story."""
    print(text, flush=True)


def run(folder: Path) -> dict[str, Any]:
    """Plays the demo in `folder`, which is made anew; returns the summary, of a failure too."""
    discard(folder)
    folder.mkdir(mode=0o700, parents=True)
    try:
        with running(folder, prepare_tls(folder)) as services:
            exchange = Exchange(folder, services, CAST)
            exchange.set_up()
            exchange.start_hub()
            for node in CAST:
                exchange.start_node(node)
            exchange.await_nodes(CAST)
            return Demo(exchange).play()
    except LocalError as error:
        return {"ok": False, "messages": [], "refused": [], "ledger": {}, "faults": [str(error)]}


def main() -> None:
    """Runs the demo, writes the summary, ends with 1 if anything is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.demo", description=__doc__)
    parser.add_argument("--folder", type=Path, default=REPOSITORY / ".local" / "demo", help="where it runs; made anew")
    parser.add_argument("--summary", type=Path, default=REPOSITORY / "build" / "demo" / "summary.json")
    given = parser.parse_args()
    begin = time.monotonic()
    summary = run(given.folder)
    given.summary.parent.mkdir(parents=True, exist_ok=True)
    given.summary.write_text(json.dumps(summary, indent=2) + "\n")
    for fault in summary["faults"]:
        tell(f"FAULT: {fault}")
    verdict = "ok" if summary["ok"] else "FAILED"
    tell(
        f"{verdict} after {time.monotonic() - begin:.0f} s; summary in {given.summary}; logs in {given.folder / 'log'}"
    )
    sys.exit(0 if summary["ok"] else 1)


if __name__ == "__main__":
    main()
