"""A hostile node that speaks to the hub: refused or quarantined with its code, on record, and nobody else is hurt."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import cbor2
import pytest
from aio_pika import Message

from crypto.envelope import MAX_ENVELOPE, digest_of
from crypto.trust import sign_acknowledgement
from deploy.local import processes
from deploy.local.attacker import open_channel, run_publish, run_sent_envelope
from deploy.local.exchange import Exchange
from deploy.local.forgery import keys_of, seal_as
from schemas.control import AcknowledgedMessage, Acknowledgement, MessageType, Outcome
from schemas.header import new_id
from tests.system.forbidden import EVERYWHERE
from tests.system.play import await_delivered, post, process, state, until
from tests.system.watching import Log, check_neighbours_served, check_on_record, check_refused, holders

pytestmark = pytest.mark.system

_LEDGER_SIZE = "SELECT count(*) FROM ledger_leaf"


@pytest.mark.parametrize(
    ("why", "publisher", "sealer", "name", "changes", "code"),
    [
        ("signed with its own key in another's name", "hr", "hr", "ro", {}, "sender_mismatch"),
        ("in its own name with a key that is not its own", "hr", "ro", "hr", {}, "key_unknown"),
        ("for an unknown task force", "hr", "hr", "hr", {"task_force": "piracy"}, "task_force_unknown"),
        ("of an unknown kind", "hr", "hr", "hr", {"kind": "poem"}, "kind_unknown"),
        ("of a kind for other task forces", "hr", "hr", "hr", {"kind": "vehicle.stolen"}, "kind_not_of_task_force"),
        ("of a witness to whoever may know", "hr", "hr", "hr", {"kind": "witness.movement"}, "policy_refused"),
        ("of an unknown version", "hr", "hr", "hr", {"kind_version": 9}, "kind_unknown"),
        ("created an hour ahead", "hr", "hr", "hr", {"ahead_ms": 3_600_000}, "created_in_future"),
        ("created a month ago", "hr", "hr", "hr", {"ahead_ms": -30 * 86_400_000}, "sender_unknown"),
    ],
)
def test_the_hub_refuses_a_message(
    exchange: Exchange, why: str, publisher: str, sealer: str, name: str, changes: dict[str, Any], code: str
) -> None:
    shift = changes.get("ahead_ms")
    if isinstance(shift, int):
        created = time.time_ns() // 1_000_000 + shift
        changes = {"created": created, "expires": created + 40 * 86_400_000}
    envelope, log = seal_as(exchange.node_home(sealer), name, **changes), Log.of(exchange, "hub")
    run_publish(exchange.node_home(publisher), envelope)
    check_refused(exchange, log, publisher, envelope, code)
    check_neighbours_served(exchange)


def test_another_s_envelope_replayed_is_refused_and_harms_it_not(exchange: Exchange) -> None:
    id, log = post(exchange, "ro", to=["bg"]), Log.of(exchange, "hub")
    await_delivered(exchange, [("ro", id)])
    envelope = run_sent_envelope(exchange.node_home("ro"), id)
    run_publish(exchange.node_home("hr"), envelope)
    check_refused(exchange, log, "hr", envelope, "sender_mismatch")
    # Its sender may still send it again.
    run_publish(exchange.node_home("ro"), envelope)
    check_neighbours_served(exchange)
    assert holders(exchange, id) == {"bg": 1}
    assert state(exchange, "ro", id)["state"] == "accepted"


def test_a_message_replayed_unchanged_is_delivered_once(exchange: Exchange) -> None:
    id = post(exchange, "ro", to=["bg"])
    await_delivered(exchange, [("ro", id)])
    size = int(exchange.services.postgres.run_sql(_LEDGER_SIZE))
    envelope = run_sent_envelope(exchange.node_home("ro"), id)
    run_publish(exchange.node_home("ro"), envelope, envelope)
    check_neighbours_served(exchange)
    assert holders(exchange, id) == {"bg": 1}
    # The neighbour's message and its acknowledgement, and nothing for the copies.
    assert int(exchange.services.postgres.run_sql(_LEDGER_SIZE)) == size + 2


@pytest.mark.parametrize("whose", ["hr", "ro"])
def test_an_id_cannot_be_used_again(exchange: Exchange, whose: str) -> None:
    if whose == "ro":
        id = post(exchange, "ro", to=["bg"])
        await_delivered(exchange, [("ro", id)])
    else:
        id = str(new_id())
        run_publish(exchange.node_home("hr"), seal_as(exchange.node_home("hr"), "hr", id))
        until("first one delivered", lambda: holders(exchange, id)["bg"] == 1)
    other = seal_as(exchange.node_home("hr"), "hr", id)
    run_publish(exchange.node_home("hr"), other)
    check_on_record(exchange, "hr", other, "id_reused")
    check_neighbours_served(exchange)
    assert holders(exchange, id) == {"bg": 1}


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"CC": EVERYWHERE}, "further_addresses"),
        ({"CC": EVERYWHERE, "BCC": EVERYWHERE}, "further_addresses"),
        ({"CC": ["nowhere"]}, "further_addresses"),
        ({"CC": ["nowhere"], "padding": "x" * 5000}, "headers_unreadable"),
    ],
)
def test_a_message_with_further_addresses_is_quarantined(
    exchange: Exchange, headers: dict[str, Any], reason: str
) -> None:
    id, log = str(new_id()), Log.of(exchange, "hub")
    envelope = seal_as(exchange.node_home("hr"), "hr", id)
    asyncio.run(_publish_with_headers(exchange, envelope, headers))
    check_refused(exchange, log, "hr", envelope, reason)
    check_neighbours_served(exchange)
    assert holders(exchange, id) == {}


def test_further_addresses_that_the_broker_hides_reach_nobody(exchange: Exchange) -> None:
    id, log = str(new_id()), Log.of(exchange, "hub")
    envelope = seal_as(exchange.node_home("hr"), "hr", id)
    asyncio.run(_publish_with_headers(exchange, envelope, {"BCC": EVERYWHERE}))
    until("delivered", lambda: holders(exchange, id)["bg"] == 1)
    check_neighbours_served(exchange)
    # By its own urgent lane it came twice: one entry in the ledger, one delivery, to whom the header says.
    assert holders(exchange, id) == {"bg": 1}
    log.await_words('"accepted"', id)
    assert exchange.services.postgres.run_sql(f"SELECT count(*) FROM message WHERE id = '{id}'") == "1"  # noqa: S608


async def _publish_with_headers(exchange: Exchange, envelope: bytes, headers: dict[str, Any]) -> None:
    async with open_channel(exchange.node_home("hr")) as channel:
        target = await channel.get_exchange("in.hr", ensure=False)
        message = Message(envelope, type="envelope", delivery_mode=2, headers=headers)
        await target.publish(message, "normal", mandatory=True, timeout=10)


def test_more_than_an_envelope_may_have_is_refused(exchange: Exchange) -> None:
    huge, log = bytes(MAX_ENVELOPE + 1), Log.of(exchange, "hub")
    run_publish(exchange.node_home("hr"), huge)
    check_refused(exchange, log, "hr", huge, "too_large")
    check_neighbours_served(exchange)


def test_what_cannot_be_parsed_is_quarantined_and_holds_nobody_up(exchange: Exchange) -> None:
    log, home = Log.of(exchange, "hub"), exchange.node_home("hr")
    for kind, bodies, code in (
        (MessageType.ENVELOPE, (b"", b"\x00", b"no envelope at all"), "envelope_malformed"),
        (MessageType.ACKNOWLEDGEMENT, (b"no acknowledgement",), "envelope_malformed"),
        ("poem", (b"of no type we know",), "unknown_type"),
    ):
        run_publish(home, *bodies, kind=kind)
        for body in bodies:
            check_refused(exchange, log, "hr", body, code)
    await_delivered(exchange, [("hr", post(exchange, "hr"))])
    check_neighbours_served(exchange)


class _Raw(str):
    """Text that goes over the wire as the bytes given, whatever they are."""

    raw: bytes

    @classmethod
    def of(cls, raw: bytes) -> "_Raw":
        text = cls("raw")
        text.raw = raw
        return text

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return self.raw


async def test_properties_that_are_no_text_stop_nobody(exchange: Exchange) -> None:
    log = Log.of(exchange, "hub")
    reasons = {b"\xff\xfe": "headers_unreadable", b"a\x00b": "unknown_type", b"\xc3": "headers_unreadable"}
    for number, (raw, reason) in enumerate(reasons.items()):
        async with open_channel(exchange.node_home("hr")) as channel:
            target = await channel.get_exchange("in.hr", ensure=False)
            body = b"hostile properties %d" % number
            message = Message(body, delivery_mode=2, type=_Raw.of(raw), headers={_Raw.of(raw): "x"})
            await target.publish(message, "normal", mandatory=True, timeout=10)
        await asyncio.to_thread(check_refused, exchange, log, "hr", body, reason)
    await asyncio.to_thread(check_neighbours_served, exchange)
    assert "UnicodeDecodeError" not in log.text()


def test_millions_of_small_items_cost_the_others_nothing(exchange: Exchange) -> None:
    # To build one of these and to encode it again would take the hub 3 s, in which it does nothing else.
    count = MAX_ENVELOPE - 100
    bombs = [b"\x9a" + (count - n).to_bytes(4) + b"\xa0" * (count - n) for n in range(30)]
    log = Log.of(exchange, "hub")
    run_publish(exchange.node_home("hr"), *bombs)
    check_neighbours_served(exchange)
    for bomb in bombs:
        check_refused(exchange, log, "hr", bomb, "envelope_malformed")


def test_a_large_wrong_acknowledgement_costs_the_others_nothing(exchange: Exchange) -> None:
    items = cbor2.dumps({"v": 1, "recipient": "hr", "sender": "ro", "at": 1, "items": [0] * 1_000_000})
    forged, log = cbor2.dumps(cbor2.CBORTag(18, [b"", {}, items, bytes(64)])), Log.of(exchange, "hub")
    run_publish(exchange.node_home("hr"), forged, forged + b"\x00", kind=MessageType.ACKNOWLEDGEMENT)
    check_neighbours_served(exchange)
    check_refused(exchange, log, "hr", forged, "too_large")
    check_refused(exchange, log, "hr", forged + b"\x00", "too_large")


@pytest.mark.parametrize(
    ("why", "recipient", "signer", "code"),
    [
        ("for a message that is not to it", "hr", "hr", "not_addressed"),
        ("in the recipient's name with its own key", "bg", "hr", "key_unknown"),
        ("in the recipient's name with the recipient's stolen key", "bg", "bg", "sender_mismatch"),
    ],
)
def test_it_cannot_acknowledge_for_another(
    exchange: Exchange, why: str, recipient: str, signer: str, code: str
) -> None:
    with _asleep(exchange, "bg"):
        id = post(exchange, "ro", to=["bg"])
        until("accepted", lambda: state(exchange, "ro", id)["state"] == "accepted")
        envelope = digest_of(run_sent_envelope(exchange.node_home("ro"), id))
        item = AcknowledgedMessage(id=UUID(id), envelope=envelope, outcome=Outcome.DELIVERED)
        word = Acknowledgement(recipient=recipient, sender="ro", at=time.time_ns() // 1_000_000, items=(item,))
        forged = sign_acknowledgement(word, keys_of(exchange.node_home(signer)).signing)
        run_publish(exchange.node_home("hr"), forged, kind=MessageType.ACKNOWLEDGEMENT)
        check_on_record(exchange, "hr", forged, code)
        # A neighbour's mail, from one that had nothing to do with it to another.
        await_delivered(exchange, [("tr", post(exchange, "tr", to=["ro"]))])
        assert [delivery["state"] for delivery in state(exchange, "ro", id)["deliveries"]] != ["delivered"], why
    await_delivered(exchange, [("ro", id)])


@contextmanager
def _asleep(exchange: Exchange, node: str) -> Iterator[None]:
    agent = process(exchange.folder, f"node-{node}")
    processes.pause(agent)
    try:
        yield
    finally:
        processes.resume(agent)
