"""Load for a fault: alerts at a modest, steady rate from several nodes, as their integrators would post them.

Each sender is a thread. It chooses ids itself and posts again under the same id until it has an answer, so
that what it believes afterwards can be held against what the hub and the recipients have (see `checker`).
"""

import contextlib
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2

from deploy.local.exchange import Exchange
from schemas.header import new_id
from tests.system.play import ALERT

ACCEPTED = 202
NO_ANSWER = 0
ANSWER_S = 5.0
RETRY_S = 0.5
GIVE_UP_S = 60.0
MOST = 2_000
URGENT = 0.2


@dataclass(frozen=True, slots=True)
class Post:
    """A message that a sender tried to post; `answers` are HTTP codes in order, NO_ANSWER for none in time."""

    sender: str
    id: str
    recipients: tuple[str, ...]
    answers: tuple[int, ...]
    body: Mapping[str, Any] = field(default_factory=lambda: ALERT["body"])

    @property
    def accepted(self) -> bool:
        """Whether the sender was told that the message is safe."""
        return ACCEPTED in self.answers


class Load:
    """Senders at work. `posts` grows while they run and is complete when `under_load` has ended."""

    def __init__(self, exchange: Exchange, senders: Sequence[str], per_second: float) -> None:
        self._exchange = exchange
        self._pause = 1 / per_second
        self._stop = threading.Event()
        self._posts: list[Post] = []
        self._threads = [
            threading.Thread(target=self._send, args=(sender,), name=f"load-{sender}") for sender in senders
        ]

    @property
    def posts(self) -> tuple[Post, ...]:
        """What was posted and answered, or given up, so far."""
        return tuple(self._posts)

    def add(self, post: Post) -> None:
        """What a test has posted by itself, to be judged with the rest."""
        self._posts.append(post)

    def go_on(self, count: int) -> None:
        """Returns when `count` more posts have been answered. Not for the senders' own threads."""
        end, wanted = time.monotonic() + 2 * GIVE_UP_S, len(self._posts) + count
        while len(self._posts) < wanted:
            assert time.monotonic() < end, "the senders do not get on"
            time.sleep(0.05)

    def start(self) -> None:
        """Starts the senders."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """No new messages; returns when the last ones have been answered or given up."""
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * GIVE_UP_S)
            assert not thread.is_alive(), f"{thread.name} does not end"

    def _send(self, sender: str) -> None:
        chance = random.Random(sender)
        others = [node for node in self._exchange.nodes if node != sender]
        with _Integrator(self._exchange, sender) as integrator:
            for _ in range(MOST):
                due = time.monotonic() + self._pause
                to = sorted(chance.sample(others, chance.choice((1, 1, 2, len(others)))))
                priority = "urgent" if chance.random() < URGENT else "normal"
                id = str(new_id())
                # No two say the same, so that one cannot pass for another.
                body = ALERT["body"] | {"text": f"{id} of {sender}"}
                answers = integrator.post(ALERT | {"id": id, "to": to, "priority": priority, "body": body})
                self._posts.append(Post(sender, id, tuple(to), answers, body))
                if self._stop.wait(max(0.0, due - time.monotonic())):
                    return


class _Integrator(contextlib.ExitStack):
    """A national system that posts to its agent, over one connection as long as that lasts."""

    def __init__(self, exchange: Exchange, node: str) -> None:
        super().__init__()
        self._exchange = exchange
        self._node = node
        self._api: httpx2.Client | None = None

    def post(self, message: dict[str, Any]) -> tuple[int, ...]:
        """Posts until there is an answer that is final; returns all answers."""
        answers: list[int] = []
        end = time.monotonic() + GIVE_UP_S
        while True:
            answers.append(self._answer(message))
            if _is_final(answers[-1]) or time.monotonic() > end:
                return tuple(answers)
            time.sleep(RETRY_S)

    def _answer(self, message: dict[str, Any]) -> int:
        try:
            if self._api is None:
                self._api = self.enter_context(self._exchange.api(self._node))
            return int(self._api.post("/v1/messages", json=message, timeout=ANSWER_S).status_code)
        except (httpx2.HTTPError, OSError, ValueError):
            # An agent that is started again listens on another port.
            self._api = None
            return NO_ANSWER


def _is_final(answer: int) -> bool:
    return answer == ACCEPTED or 400 <= answer < 500


@contextlib.contextmanager
def under_load(exchange: Exchange, senders: Sequence[str], per_second: float = 4.0) -> Iterator[Load]:
    """Each of `senders` posts `per_second` messages while the block runs, to one, some or all of the others."""
    load = Load(exchange, senders, per_second)
    load.start()
    try:
        yield load
    finally:
        load.stop()
