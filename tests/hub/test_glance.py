"""What `seci-hub top` makes of its readings."""

from hub.glance import Glance, Rates, lines, rates
from hub.reading import Reading, Waiting
from schemas.control import Event

AT = "2026-01-01T00:00:00Z"
READING = Reading(ledger=1000, roster=3, held=2, held_s=12.5, quarantined=1, overdue=0, workers=2)


def _queue(name: str, ready: int, consumers: int) -> dict[str, object]:
    return {"name": name, "ready": ready, "unacked": 0, "consumers": consumers, "state": "running"}


def test_rates_are_per_second_of_what_the_ledger_says() -> None:
    events = {Event.ACCEPTED: 30, Event.DELIVERED: 9, Event.DECLINED: 1, Event.REFUSED: 2, Event.ROSTER: 7}
    assert rates(events, 2.0) == Rates(accepted=15.0, acknowledged=5.0, refused=1.0, quarantined=0.0)


def test_what_is_not_known_yet_is_not_shown_as_nothing() -> None:
    text = "\n".join(lines(Glance(AT, reading=READING)))
    assert text.count("...") == 3
    assert "none" not in text


def test_only_queues_with_something_to_tell_are_shown() -> None:
    queues = [_queue("q.in.ro", 0, 1), _queue("q.in.bg", 7, 1), _queue("q.inbox.tr", 0, 0)]
    text = "\n".join(lines(Glance(AT, reading=READING, queues=queues)))
    assert "q.in.bg" in text
    assert "q.inbox.tr" in text
    assert "q.in.ro" not in text


def test_who_does_not_take_from_a_queue_is_named() -> None:
    queues = [_queue("q.in.ro", 0, 0), _queue("q.inbox.tr.urgent", 0, 0)]
    shown = lines(Glance(AT, reading=READING, queues=queues))
    assert [line.split(None, 4)[4] for line in shown if line.startswith("q.")] == ["NO HUB", "no agent of tr"]


def test_a_broker_that_does_not_answer_is_the_first_thing_said() -> None:
    shown = lines(Glance(AT, reading=READING, broker_trouble="NO BROKER: it is gone"))
    assert shown[0] == "NO BROKER: it is gone"
    assert shown[-1].split() == ["queues", "unknown"]


def test_each_node_with_undelivered_messages_has_a_line() -> None:
    undelivered = [Waiting("bg", 3, 61.4), Waiting("tr", 1, 2.0)]
    shown = lines(Glance(AT, reading=READING, undelivered=undelivered))
    assert [line.split() for line in shown if line.startswith(("bg", "tr"))] == [
        ["bg", "3", "61", "s"],
        ["tr", "1", "2", "s"],
    ]


def test_a_hub_without_workers_and_one_without_database_say_so() -> None:
    nobody = Reading(ledger=0, roster=0, held=0, held_s=0.0, quarantined=0, overdue=0, workers=0)
    assert "nobody takes messages in" in lines(Glance(AT, reading=nobody))[0]
    assert "TimeoutError" in lines(Glance(AT, trouble="TimeoutError"))[0]
