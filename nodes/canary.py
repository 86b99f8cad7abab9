"""The agent's canary: the question that its witness puts to the hub anyway, and the answer that comes of it or not.

    agent --checkpoint_request--> broker --> hub --checkpoint, signed--> broker --> agent

A connection to the broker can look alive and bring nothing, and the hub behind it can be down: an agent for which
nobody posts would not notice. The hub answers each question, also while its ledger rests, so that silence says it.
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
            f"the hub has not answered for {int(self.unanswered_s)} s: it is down, the broker brings nothing, or much "
            "waits before its answer; messages are kept and sent later"
        ]

    def since(self, at: int) -> int | None:
        """Since when (ms) a question waits, as seen at `at`."""
        return None if self.unanswered_s is None else at - int(self.unanswered_s * 1000)

    def described(self, at: int) -> dict[str, Any]:
        """For the API."""
        return {"answered": iso(self.newest), "unanswered_since": iso(self.since(at)), "late": self.late}


class Canary:
    """Keeps when the hub was asked and answered. Questions go with the link that they went over, unanswered."""

    def __init__(self) -> None:
        self._newest: int | None = None
        # When the first question was begun that has no answer behind it, and over which link.
        self._begun: float | None = None
        self._link: LinkState | None = None

    def ask(self, link: LinkState) -> None:
        """A question is begun. To be called before whatever may hang on its way to the broker."""
        if self._begun is None or self._link != link:
            self._begun, self._link = time.monotonic(), link

    def hear(self, now: int) -> None:
        """An answer has come that the hub has signed, at `now` (ms)."""
        self._newest, self._begun = now, None

    def rest(self) -> None:
        """The hub is not asked any more, for now."""
        self._begun = None

    def look(self, link: LinkState, pause_s: float) -> Answers:
        """How it stands over the present link; the hub is asked each `pause_s` seconds."""
        begun = self._begun
        if begun is None or not link.connected or self._link != link:
            return Answers(self._newest)
        unanswered_s = time.monotonic() - begun
        return Answers(self._newest, unanswered_s, unanswered_s > max(LATE_PAUSES * pause_s, LEAST_S))
