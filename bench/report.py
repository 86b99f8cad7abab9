"""What was found: as JSON for programs and as a table for people."""

from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from bench.drain import Round
from bench.endtoend import EndToEnd

FLOOR: Final = 0.6


@dataclass(frozen=True, slots=True)
class Report:
    """All measurements of one run; None for what was not asked for."""

    machine: dict[str, Any]
    messages: int
    size: int
    rounds: list[Round] | None
    end_to_end: EndToEnd | None
    seconds: float

    @property
    def drain_ratio(self) -> float | None:
        """The median of the rounds' ratios."""
        return median(item.ratio for item in self.rounds) if self.rounds else None

    @property
    def under_floor(self) -> bool:
        """Whether the hub drains slower than is acceptable."""
        return self.drain_ratio is not None and self.drain_ratio < FLOOR

    def to_json(self) -> dict[str, Any]:
        """What goes into build/bench.json. Rates are messages per second."""
        rounds, whole = self.rounds or [], self.end_to_end
        return {
            "hub_drain_ratio": _rounded(self.drain_ratio, 3),
            "relay_drain_per_s": _rounded(median(r.relay_per_s for r in rounds) if rounds else None),
            "hub_drain_per_s": _rounded(median(r.hub_per_s for r in rounds) if rounds else None),
            "e2e_ratio": _rounded(whole.ratio if whole else None, 3),
            "e2e_messages_per_s": _rounded(whole.messages_per_s if whole else None),
            "e2e_posted_per_s": _rounded(whole.posted_per_s if whole else None),
            "relay_running_per_s": _rounded(whole.relay_running_per_s if whole else None),
            "floor": FLOOR,
            "messages": self.messages,
            "message_bytes": self.size,
            "rounds": [
                {
                    "relay_drain_per_s": _rounded(item.relay_per_s),
                    "hub_drain_per_s": _rounded(item.hub_per_s),
                    "ratio": _rounded(item.ratio, 3),
                }
                for item in rounds
            ],
            "machine": self.machine,
            "seconds": _rounded(self.seconds),
        }

    def table(self) -> str:
        """For people."""
        machine = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        lines = [f"{self.size}-byte messages, TLS 1.3 with client certificates, quorum queues; {machine}", ""]
        if self.rounds:
            lines += _row("draining", "relay/s", "hub/s", "ratio")
            for number, item in enumerate(self.rounds, 1):
                lines += _row(f"  round {number}", item.relay_per_s, item.hub_per_s, f"{item.ratio:.2f}")
            relay, hub = median(r.relay_per_s for r in self.rounds), median(r.hub_per_s for r in self.rounds)
            verdict = "" if not self.under_floor else f"  under the floor of {FLOOR}"
            lines += _row("  median", relay, hub, f"{self.drain_ratio:.2f}{verdict}")
            lines.append("")
        if self.end_to_end:
            whole = self.end_to_end
            lines += _row("running", "relay/s", "exchange/s", "ratio")
            lines += _row("  REST to receipt", whole.relay_running_per_s, whole.messages_per_s, f"{whole.ratio:.2f}")
            lines.append(f"  ({whole.messages} messages; the agents took in {whole.posted_per_s:.0f}/s)")
        return "\n".join(lines).rstrip()


def _row(title: str, *cells: str | float) -> list[str]:
    shown = [f"{cell:>12.0f}" if isinstance(cell, float) else f"{cell:>12}" for cell in cells]
    return [f"{title:<20}{''.join(shown)}"]


def _rounded(value: float | None, digits: int = 0) -> float | None:
    return None if value is None else round(value, digits or None)
