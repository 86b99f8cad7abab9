"""What was found: as JSON for programs and as a table for people."""

from dataclasses import dataclass
from typing import Any

from bench.figure import Figure


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one run, on which machine, when it began (ISO 8601), and how long it took."""

    machine: dict[str, Any]
    figures: tuple[Figure, ...]
    seconds: float
    began: str = ""

    def to_json(self, earlier: dict[str, Any]) -> dict[str, Any]:
        """What goes into build/bench.json: each ratio by its name, and under `figures` all that is known of it.

        Of the `earlier` file, what was measured on the same machine and not again stays, with when that was.
        """
        kept = earlier.get("figures", {}) if earlier.get("machine") == self.machine else {}
        figures = kept | {item.name: _described(item) | {"run": self.began} for item in self.figures}
        return {
            **{name: item["ratio"] for name, item in figures.items()},
            "figures": figures,
            "machine": self.machine,
            "seconds": round(self.seconds),
        }

    def table(self) -> str:
        """For people."""
        machine = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        lines = [f"TLS 1.3 with client certificates, quorum queues, everything on one machine: {machine}", ""]
        lines.append(f"{'':<20}{'unit':<13}{'ours':>9}{'beside':>9}{'ratio':>8}  {'target':<9}")
        lines += [_row(item) for item in self.figures]
        return "\n".join(lines)


def _described(item: Figure) -> dict[str, Any]:
    return {
        "unit": item.unit,
        "ours": round(item.ours, 2),
        "beside": round(item.beside, 2),
        "ratio": round(item.ratio, 3),
        "target": None if item.target is None else str(item.target),
        "missed": item.missed,
        "others_cores": None if item.others is None else round(item.others, 2),
        **item.details,
    }


def _row(item: Figure) -> str:
    marks = [item.note] if item.note else []
    if item.missed:
        marks.insert(0, "MISSED")
    if item.disturbed:
        marks.append(f"disturbed: others used {item.others:.1f} cores")
    target = "" if item.target is None else str(item.target)
    numbers = f"{item.ours:>9.{_digits(item.ours)}f}{item.beside:>9.{_digits(item.beside)}f}{item.ratio:>8.2f}"
    return f"{item.name:<20}{item.unit:<13}{numbers}  {target:<9}{'; '.join(marks)}".rstrip()


def _digits(value: float) -> int:
    return 0 if value >= 100 else 1
