"""What an exported ledger proves, in plain words and as JSON; and how `seci-verify` writes lines and times."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from crypto.history import NAMED
from crypto.keys import key_id_of
from nodes.verify_ledger import Audit
from nodes.verify_stamps import Stamps


def line(label: str, text: str) -> str:
    """A line of what is proven."""
    return f"  {label:11} {text}"


def when(millis: int) -> str:
    """ISO 8601 in UTC with milliseconds."""
    try:
        return datetime.fromtimestamp(millis / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        # A witness may state any number of seconds.
        return f"{millis} ms since 1970"


def ledger_lines(found: Audit) -> Iterator[str]:
    """All that it proves, and what it does not."""
    newest, tally = found.cosigned.checkpoint, found.tally
    if found.policy:
        yield f"PROVEN under the policy, the ledger of the log {newest.origin}:"
    else:
        yield f"PROVEN if its key is the log's, the ledger of the log {newest.origin}:"
        yield line("the key", f"{found.vkeys[0]},")
        yield line("", "as the export itself names it: compare it over another way, or use --policy")
    yield line("entries", f"{newest.size}, each computed again from its salt and bytes, none missing or added")
    if tally.first_at is not None and tally.last_at is not None:
        yield line("", f"from {when(tally.first_at)} to {when(tally.last_at)} by the hub's clock")
    if tally.back:
        yield line("", f"{tally.back} are older than the one before, by {tally.back_most} ms at most;")
        yield line("", f"the first is entry {tally.back_first}")
    yield line("root", f"{newest.root.hex()}, signed by the log")
    checked = "each signed by the log" if found.signed else "their signatures not verified (--quick)"
    yield line("history", f"{found.checkpoints} checkpoints on the way, each of what this tree was then; {checked}")
    yield from _witness_lines(found)
    for item in found.known:
        yield line("known", f"{item.file} is this ledger when it had {item.cosigned.checkpoint.size} entries")
    yield from _stamp_lines(found.stamps)
    if found.roster is not None:
        names = ", ".join(node.node for node in found.roster.nodes) or "nobody"
        yield line("rosters", f"{found.rosters}, each signed by the log and in its place; the newest, version")
        yield line("", f"{found.roster.version} of {when(found.roster.at)}, has {names}")
    for step in found.handovers:
        yield line("the key", f"was handed over by entry {step.size} to {key_id_of(step.new).hex()},")
        yield line("", f"as both keys signed; the old one counts for no tree of more than {step.size + 1} entries")
    for event, number in sorted(tally.events.items()):
        yield line(event, str(number))
    if tally.erasures:
        places = ", ".join(map(str, tally.erased)) + (", ..." if tally.erasures > len(tally.erased) else "")
        yield line(
            "erased", f"{tally.erasures}, as entries `erased` say, of which only the leaf hash is left: {places}"
        )
    yield line("not shown", "whether members signed what entries say of them: evidence bundles show it")
    yield line("rate", f"{rate(found):.0f} entries/s, {found.seconds:.2f} s")


def _witness_lines(found: Audit) -> Iterator[str]:
    witnessed = found.witnessed
    names = [f"{name} {when(at * 1000)}" for name, at in witnessed.witnesses]
    size, behind = witnessed.checkpoint.size, found.cosigned.checkpoint.size - witnessed.checkpoint.size
    if not names:
        yield line("witnesses", "none of the policy's: the log's word alone that this is its only history")
        if behind:
            yield line("", f"signed with each type of key up to {size} entries, the {behind} behind these with one")
        return
    yield line("witnesses", ", ".join(names))
    if behind:
        yield line("", f"up to {size} entries; for the {behind} behind these it is the log's word alone")


def _stamp_lines(stamps: Stamps) -> Iterator[str]:
    if not stamps.held:
        if stamps.count:
            yield line("timestamps", f"{stamps.count} in the export, not verified: add --tsa-roots")
        return
    yield line("timestamps", f"{len(stamps.held)} by a TSA hold, over checkpoints of this ledger;")
    for item in dict.fromkeys((stamps.held[0], stamps.held[-1])):
        yield line("", f"the first {item.size} entries existed by {when(item.said.at)}, give or take")
        yield line("", f"{item.said.within} ms, says {item.said.tsa}")
    if stamps.others:
        name, code = stamps.others[0]
        yield line("", f"{len(stamps.others)} do not hold, the first {name} [{code}]")


def _stamp_fields(stamps: Stamps) -> dict[str, Any]:
    held = [
        {"size": item.size, "existed_by": when(item.said.at), "within_ms": item.said.within, "tsa": item.said.tsa}
        for item in (stamps.held[:1] + stamps.held[-1:])
    ]
    return {
        "count": stamps.count,
        "verified": len(stamps.held),
        "first": held[0] if held else None,
        "newest": held[-1] if held else None,
        "not_held": [{"file": name, "code": code} for name, code in stamps.others[:NAMED]],
    }


def rate(found: Audit) -> float:
    """Entries per second, all in all."""
    return found.cosigned.checkpoint.size / max(found.seconds, 1e-9)


def ledger_fields(found: Audit) -> dict[str, Any]:
    """The same for programs."""
    newest, tally, witnessed = found.cosigned.checkpoint, found.tally, found.witnessed
    return {
        "ok": True,
        "policy": found.policy,
        "keys": list(found.vkeys),
        "origin": newest.origin,
        "size": newest.size,
        "root": newest.root.hex(),
        "checkpoints": found.checkpoints,
        "signatures": found.signed,
        "policy_met_at": witnessed.checkpoint.size,
        "witnessed": {
            "size": witnessed.checkpoint.size if witnessed.witnesses else 0,
            "witnesses": [{"name": name, "at": when(at * 1000)} for name, at in witnessed.witnesses],
        },
        "known": [{"file": str(item.file), "size": item.cosigned.checkpoint.size} for item in found.known],
        "timestamps": _stamp_fields(found.stamps),
        "handovers": [{"index": item.size, "key": key_id_of(item.new).hex()} for item in found.handovers],
        "rosters": found.rosters,
        "roster": None
        if found.roster is None
        else {"version": found.roster.version, "nodes": [node.node for node in found.roster.nodes]},
        "events": dict(sorted(tally.events.items())),
        "erased": {"count": tally.erasures, "first": tally.erased},
        "first_at": None if tally.first_at is None else when(tally.first_at),
        "last_at": None if tally.last_at is None else when(tally.last_at),
        "clock_back": {"count": tally.back, "first": tally.back_first, "most_ms": tally.back_most},
        "seconds": round(found.seconds, 3),
        "entries_per_s": round(rate(found)),
    }
