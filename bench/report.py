"""What was found: as JSON for programs and as a table for people."""

from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from bench.busy import DISTURBED
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
            "relay_drain_per_s": _rounded(median(r.relay.per_s for r in rounds) if rounds else None),
            "hub_drain_per_s": _rounded(median(r.hub.per_s for r in rounds) if rounds else None),
            "e2e_ratio": _rounded(whole.ratio if whole else None, 3),
            "e2e_messages_per_s": _rounded(whole.messages_per_s if whole else None),
            "e2e_posted_per_s": _rounded(whole.posted_per_s if whole else None),
            "relay_running_per_s": _rounded(whole.relay_running_per_s if whole else None),
            "floor": FLOOR,
            "messages": self.messages,
            "message_bytes": self.size,
            "rounds": [
                {
                    "relay_drain_per_s": _rounded(item.relay.per_s),
                    "hub_drain_per_s": _rounded(item.hub.per_s),
                    "ratio": _rounded(item.ratio, 3),
                    "others_cores": [_rounded(item.relay.others, 2), _rounded(item.hub.others, 2)],
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
                lines += _row(f"  round {number}", item.relay.per_s, item.hub.per_s, item.ratio, note=_mark(item))
            relay, hub = median(r.relay.per_s for r in self.rounds), median(r.hub.per_s for r in self.rounds)
            verdict = f"under the floor of {FLOOR}" if self.under_floor else ""
            lines += _row("  median", relay, hub, self.drain_ratio or 0.0, note=verdict)
            lines.append("")
        if self.end_to_end:
            whole = self.end_to_end
            lines += _row("running", "relay/s", "exchange/s", "ratio")
            lines += _row("  REST to receipt", whole.relay_running_per_s, whole.messages_per_s, whole.ratio)
            lines.append(f"  ({whole.messages} messages; the agents took in {whole.posted_per_s:.0f}/s)")
        return "\n".join(lines).rstrip()


def _mark(item: Round) -> str:
    others = max(item.relay.others or 0.0, item.hub.others or 0.0)
    return f"disturbed: others used {others:.1f} cores" if others > DISTURBED else ""


def _row(title: str, left: str | float, middle: str | float, ratio: str | float, note: str = "") -> list[str]:
    rates = "".join(f"{cell:>12}" if isinstance(cell, str) else f"{cell:>12.0f}" for cell in (left, middle))
    shown = ratio if isinstance(ratio, str) else f"{ratio:.2f}"
    return [f"{title:<20}{rates}{shown:>8}  {note}".rstrip()]


def _rounded(value: float | None, digits: int = 0) -> float | None:
    return None if value is None else round(value, digits or None)
