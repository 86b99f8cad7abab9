"""The checker must see what it is there to see: each fault, made by hand, fails it."""

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace

import pytest

from deploy.local.exchange import Exchange
from tests.faults.checker import Record, Stores, check, judge, mark
from tests.faults.load import ACCEPTED, NO_ANSWER, Post, under_load
from tests.system.play import ALERT

POSTS = (
    Post("ro", "a", ("bg", "tr"), (ACCEPTED,)),
    Post("bg", "b", ("tr",), (NO_ANSWER, ACCEPTED)),
    Post("tr", "c", ("ro",), (NO_ANSWER, NO_ANSWER)),
)
DELIVERIES = (("ro", "a", "bg"), ("ro", "a", "tr"), ("bg", "b", "tr"))
SENT = (("ro", "a"), ("bg", "b"))
STORES = Stores(frozenset(SENT), frozenset(SENT), frozenset(DELIVERIES), Counter(DELIVERIES))
RECORD = Record(Counter(SENT), Counter(DELIVERIES), chain=True)
READ = dict.fromkeys(DELIVERIES, ALERT["body"])
NEVER_KEPT = ("tr", "c", "ro")


def test_all_is_well() -> None:
    verdict = judge(POSTS[:2], STORES, RECORD, READ)
    assert verdict.passed
    assert (verdict.attempted, verdict.accepted, verdict.delivered, verdict.recovered) == (2, 2, 2, 1)
    assert verdict.as_json()["passed"] is True


def test_what_no_agent_took_is_no_loss_but_named() -> None:
    verdict = judge(POSTS, STORES, RECORD, READ)
    assert (verdict.refused, verdict.lost, verdict.passed) == (("tr/c at tr",), (), False)
    assert replace(verdict, refused=()).passed


def test_what_is_still_under_way_is_no_end() -> None:
    assert not replace(judge(POSTS[:2], STORES, RECORD, READ), unsettled=("q.in.ro",)).passed


def test_a_message_that_its_sender_took_for_failed_counts_as_recovered() -> None:
    sent, deliveries = (*SENT, ("tr", "c")), (*DELIVERIES, NEVER_KEPT)
    stores = Stores(frozenset(sent), frozenset(sent), frozenset(deliveries), Counter(deliveries))
    read = READ | {NEVER_KEPT: ALERT["body"]}
    verdict = judge(POSTS, stores, Record(Counter(sent), Counter(deliveries), chain=True), read)
    assert replace(verdict, refused=()).passed
    assert (verdict.accepted, verdict.delivered, verdict.recovered) == (2, 3, 2)


@pytest.mark.parametrize(
    ("stores", "record", "field", "found"),
    [
        (replace(STORES, held=Counter(DELIVERIES[1:])), RECORD, "lost", ("ro/a at bg",)),
        (STORES, replace(RECORD, accepted=Counter(SENT[1:])), "lost", ("ro/a at the hub",)),
        (replace(STORES, kept=frozenset((*SENT, ("tr", "c")))), RECORD, "lost", ("tr/c at the hub", "tr/c at ro")),
        (replace(STORES, held=Counter((*DELIVERIES, ("ro", "a", "hr")))), RECORD, "unexpected", ("ro/a at hr",)),
        (replace(STORES, held=Counter((*DELIVERIES, ("hr", "z", "bg")))), RECORD, "unexpected", ("hr/z at bg",)),
        (replace(STORES, held=Counter(2 * DELIVERIES[:1] + DELIVERIES[1:])), RECORD, "duplicated", ("ro/a at bg",)),
        (STORES, replace(RECORD, accepted=Counter(2 * SENT[:1] + SENT[1:])), "duplicated", ("ro/a at the hub",)),
        (STORES, replace(RECORD, delivered=Counter(2 * DELIVERIES[:1])), "duplicated", ("ro/a at bg",)),
        (replace(STORES, receipts=frozenset(SENT[1:])), RECORD, "unproven", ("ro/a at ro",)),
        (replace(STORES, acknowledged=frozenset(DELIVERIES[1:])), RECORD, "unproven", ("ro/a at bg",)),
        (STORES, replace(RECORD, accepted=Counter((*SENT, ("hr", "z")))), "unexpected", ("hr/z at the hub",)),
        (STORES, replace(RECORD, delivered=Counter((*DELIVERIES, ("ro", "a", "hr")))), "unexpected", ("ro/a at hr",)),
        (STORES, replace(RECORD, chain=False), "chain", False),
    ],
)
def test_what_is_wrong_is_named(stores: Stores, record: Record, field: str, found: object) -> None:
    verdict = replace(judge(POSTS, stores, record, READ), refused=())
    assert getattr(verdict, field) == found
    assert not verdict.passed


@pytest.mark.parametrize("read", [{}, {("bg", "b", "tr"): {"title": "Lorry", "text": "Another one."}}])
def test_what_reads_otherwise_than_it_was_posted_is_named(read: dict[tuple[str, str, str], object]) -> None:
    others = {delivery: body for delivery, body in READ.items() if delivery != ("bg", "b", "tr")}
    verdict = judge(POSTS[:2], STORES, RECORD, others | read)
    assert (verdict.altered, verdict.passed) == (("bg/b at tr",), False)


def test_a_fault_without_load_proves_nothing() -> None:
    nothing = Stores(frozenset(), frozenset(), frozenset(), Counter())
    assert not judge((), nothing, Record(Counter(), Counter(), chain=True), {}).passed


@pytest.mark.system
def test_what_a_node_really_loses_is_missed(exchange: Exchange) -> None:
    since = mark(exchange)
    with under_load(exchange, ("ro",)) as load:
        load.go_on(3)
    assert check(exchange, load.posts, since).passed
    post = load.posts[0]
    with closing(sqlite3.connect(exchange.node_home(post.recipients[0]) / "node.db")) as store, store:
        store.execute("DELETE FROM inbox WHERE id = ?", (post.id,))
    with closing(sqlite3.connect(exchange.node_home("ro") / "node.db")) as store, store:
        store.execute("DELETE FROM delivery WHERE id = ? AND recipient = ?", (post.id, post.recipients[0]))
    verdict = check(exchange, load.posts, since, patience=0)
    name = f"ro/{post.id} at {post.recipients[0]}"
    assert (verdict.lost, verdict.unproven, verdict.passed) == ((name,), (name,), False)
