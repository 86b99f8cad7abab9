"""How often a message is given back for want of room, whatever the sizes of those around it: never until it is poison.

A model of the broker: before RabbitMQ 4.3 each return counts against the queue's delivery limit.
"""

import asyncio
import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from hub import intake
from hub.intake import Pace, Source

ROOM = 1_000_000
PREFETCH = 1000
PACE = Pace(prefetch=PREFETCH, batch=200, shared_batch=32, rate=1e9, burst=10**9)


class Broker:
    """One queue with one consumer: its messages' sizes, and how often each was given back."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.waiting, self.returns = deque(enumerate(sizes)), [0] * len(sizes)
        self.is_closed, self.consumers = False, {"": None}
        self._given: dict[int, tuple[int, int]] = {}
        self._tag, self._prefetch, self._take = 0, 0, None

    async def basic_qos(self, *, prefetch_count: int) -> None:
        self._prefetch = prefetch_count

    async def basic_consume(self, _: str, take: Any, **__: str) -> None:
        self._take = take

    async def basic_cancel(self, _: str) -> None: ...

    async def basic_ack(self, tag: int, *, multiple: bool) -> None:
        assert multiple
        self._given = {other: item for other, item in self._given.items() if other > tag}

    async def basic_nack(self, tag: int, *, multiple: bool, requeue: bool) -> None:
        assert multiple and requeue
        back = [other for other in self._given if not tag or other <= tag]
        for other in reversed(back):
            number, size = self._given.pop(other)
            self.returns[number] += 1
            self.waiting.appendleft((number, size))

    async def give(self) -> None:
        """As much as was asked for."""
        take: Any = self._take
        while self.waiting and len(self._given) < self._prefetch:
            number, size = self.waiting.popleft()
            self._tag += 1
            self._given[self._tag] = number, size
            properties = SimpleNamespace(message_type="poem", headers=None)
            delivery = SimpleNamespace(delivery_tag=self._tag, redelivered=False)
            await take(
                SimpleNamespace(body=bytes(size), delivery=delivery, header=SimpleNamespace(properties=properties))
            )

    @property
    def empty(self) -> bool:
        return not (self.waiting or self._given)


async def _at_most_given_back(sizes: Sequence[int]) -> int:
    broker = Broker(sizes)
    source = Source("ro", "q", broker, PACE, asyncio.Event())
    await source.consume()
    while not broker.empty:
        await broker.give()
        await source.trust()
        await broker.give()
        if source.waiting:
            taken = source.take(len(source.waiting), 0.0)
            await source.acknowledge(taken[-1].tag)
        await source.renew(0.0)
    return max(broker.returns)


def _growing(by: float) -> list[int]:
    return [min(ROOM, int(900 * by**number)) for number in range(1200)]


def _random(seed: int) -> list[int]:
    chance = random.Random(seed)
    return [min(ROOM, int(900 * math.exp(chance.expovariate(chance.uniform(0.5, 3))))) for _ in range(1500)]


def _worst(_: int = 0) -> list[int]:
    # Small ones, and again and again behind them what is larger than all so far.
    sizes = list[int]()
    for prefetch in (1000, 700, 500, 300, 100, 30, 10, 3, 1):
        sizes += [ROOM // prefetch] * (prefetch // 2) + [900] * (prefetch // 4)
    return sizes


@pytest.mark.parametrize(
    ("sizes", "value"),
    [
        *((_growing, by) for by in (1.0001, 1.001, 1.003, 1.01, 1.1, 1.5)),
        *((_random, seed) for seed in range(20)),
        (_worst, 0),
    ],
)
async def test_a_message_in_order_never_counts_as_poison(
    sizes: Callable[[Any], list[int]], value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "ROOM_BYTES", ROOM)
    # All that came is taken into account for what is asked for next, so all of that has room.
    assert await _at_most_given_back(sizes(value)) <= 1
