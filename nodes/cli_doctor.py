"""`seci-node doctor`: what works and what does not, stage by stage."""

import asyncio
from dataclasses import asdict

import typer

from nodes.doctor import examine
from nodes.shell import AsJson, Home, answer


def doctor(home: Home, as_json: AsJson = False) -> None:
    """Check keys, enrolment, certificate, roster, ledger, clock, the way to the broker, the agent and the hub.

    Up to the first stage that fails: then exit code 3.
    """
    stages = asyncio.run(examine(home))
    lines = []
    for stage in stages:
        lines.append(f"{'ok  ' if stage.ok else 'FAIL'} {stage.name:13} {stage.found} ({stage.ms} ms)")
        if stage.next:
            lines.append(f"     next: {stage.next}")
    answer({"stages": [asdict(stage) for stage in stages]}, as_json, "\n".join(lines))
    if not all(stage.ok for stage in stages):
        raise typer.Exit(3)
