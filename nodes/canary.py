"""The agent's canary: the question that its witness puts to the hub anyway, and the answer that comes of it or not.

    agent --checkpoint_request--> broker --> hub --checkpoint, signed--> broker --> agent

A connection to the broker can look alive and bring nothing, and the hub behind it can be down: an agent for which
nobody posts would not notice. The hub answers each question, also while its ledger rests, so that silence says it.
Receipts, which wait before the answer when there is much to do, are its word as well.
Ages are of the monotonic clock: one that is set forward or back makes no silence and hides none.
"""

import time
from dataclasses import dataclass
from typing import Any, Final

from nodes.link import LinkState
from nodes.times import iso

# So many questions may be lost, with a worker that dies or a hub that is started again.
LATE_PAUSES: Final = 3
# However short the pause is, an answer may take so long.
LEAST_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Answers:
    """What came of the questions: when the newest answer did (ms; None: none since the start), for how many seconds
    there has been a question and no answer behind it (None: there is no such question), and whether that is too long.
    """

    newest: int | None = None
    unanswered_s: float | None = None
    late: bool = False

    def warnings(self) -> list[str]:
        """What a person must know of it; empty if all is well."""
        if not self.late or self.unanswered_s is None:
            return []
        return [
            f"the hub has not answered for {int(self.unanswered_s)} s: it is down, the broker takes or brings nothing, "
            "this node's disk is full, or much waits before its answer; messages are kept and sent later"
        ]

    def since(self, at: int) -> int | None:
        """Since when (ms) a question waits, as seen at `at`."""
        return None if self.unanswered_s is None else at - int(self.unanswered_s * 1000)

    def described(self, at: int) -> dict[str, Any]:
        """For the API."""
        return {"answered": iso(self.newest), "unanswered_since": iso(self.since(at)), "late": self.late}


class Canary:
    """Keeps when the hub was asked and answered. The time without a link between two of them does not count."""

    def __init__(self) -> None:
        self._newest: int | None = None
        # When the first question was begun that has no answer behind it, over which link the newest went, and until
        # when that is known to have been in vain.
        self._begun: float | None = None
        self._link: LinkState | None = None
        self._in_vain = 0.0
        self._brought = False

    def ask(self, link: LinkState) -> None:
        """A question is begun. To be called before whatever may hang on its way to the broker."""
        now = time.monotonic()
        if self._begun is None:
            self._begun = now
        elif self._link != link:
            # A broker that takes nothing costs one link after the other.
            self._begun = now - (self._in_vain - self._begun)
        self._link, self._in_vain = link, now

    def wait_on(self) -> None:
        """The question is with the broker, or has been given up with its link."""
        self._in_vain = time.monotonic()

    def bring(self) -> None:
        """Something has come that the hub has signed; to be followed by `hear` once that is stored."""
        self._brought = True

    def hear(self, now: int) -> None:
        """What has come is stored, at `now` (ms)."""
        if self._brought:
            self._brought, self._newest, self._begun = False, now, None

    def rest(self) -> None:
        """The hub is not asked any more, for now."""
        self._begun = None

    def look(self, link: LinkState, pause_s: float) -> Answers:
        """How it stands over the present link; the hub is asked each `pause_s` seconds."""
        begun = self._begun
        if begun is None or not link.connected:
            return Answers(self._newest)
        # Over a new link nothing has been asked yet: what was in vain until then still is.
        unanswered_s = (time.monotonic() if self._link == link else self._in_vain) - begun
        return Answers(self._newest, unanswered_s, unanswered_s > max(LATE_PAUSES * pause_s, LEAST_S))
