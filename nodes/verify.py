"""`seci-verify`: what an evidence bundle or an exported ledger proves, in plain words. Offline; it asks for a policy.

It imports nothing of the agent, so that an auditor need not set one up.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from cryptography import x509

from crypto import typed
from crypto.bundle import MAX_EVIDENCE, Evidence
from crypto.errors import CryptoError, LedgerUnproven, NoteInvalid, PolicyInvalid, TsaRootsUnusable
from crypto.evidence import Answer, Established, Logged, verify_evidence
from crypto.policy import MAX_POLICY_SIZE, Cosigned, Policy, read_checkpoint
from crypto.progress import Progress
from crypto.timestamp import MAX_RESPONSE, MAX_ROOTS, Timestamp, read_roots, verify_timestamp
from nodes.verify_kind import other_kind
from nodes.verify_ledger import verify_ledger
from nodes.verify_words import ledger_fields, ledger_lines, line, when
from schemas.control import ControlRefused, Event

UNPROVEN: Final = 1
USAGE: Final = 2
PROGRAM: Final = "seci-verify"

_NEXT: Final = {
    "evidence_malformed": "name a file that `seci-node receipt` wrote, as it wrote it, or ask its sender for another",
    "note_invalid": "see that the policy has the key of this log, the Ed25519 one in any case; if it has both, ask for "
    "evidence that is witnessed; "
    "if that is not it, do not rely on what you were given",
    "not_witnessed": "ask the witnesses for their cosignatures, or judge by a policy that asks for fewer",
    "roster_key_missing": "add the log's Ed25519 key to the policy, beside the other: rosters are signed with that one "
    "alone (docs/ledger.md)",
    "timestamp_foreign": "name the checkpoint and the answer that belong together, each as it was written",
    "timestamp_malformed": "name a file that `seci-hub ledger timestamps` wrote, as it wrote it, or ask for another",
    "timestamp_untrusted": "if it is another TSA's, get its root from the TSA; else do not rely on the timestamp",
}
_POLICY: Final = "correct the policy: docs/ledger.md shows one"
_ROOTS: Final = "name a file with the root certificates that the TSA publishes, in PEM"
_NEXT_OF_LEDGERS: Final = {
    "unfinished": "let the export be run again on its folder: it goes on",
    "file_missing": "copy the file again, or let the export be run again on its folder: it writes what is missing",
    "file_truncated": "copy the file again; if it is so at its origin, delete it and let the export be run again",
    "export_older": "ask for an export of today",
    "history_forked": "keep the folder and the checkpoint as they are: together they are proof against the log",
}
Told = tuple[list[str], dict[str, Any]]
"""What is proven: in plain words, and as JSON."""

app: Final = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def verify(
    what: Annotated[
        Path,
        typer.Argument(
            help="What `seci-node receipt` wrote, or the folder of `seci-hub ledger export`; or a checkpoint."
        ),
    ],
    policy: Annotated[
        Path | None,
        typer.Option(
            help="Keys to trust, of the log and its witnesses (C2SP tlog-policy; docs/ledger.md says how to write it); "
            "a ledger names one itself."
        ),
    ] = None,
    timestamp: Annotated[
        Path | None, typer.Option(help="A TSA's answer (RFC 3161), which says when the checkpoint existed.")
    ] = None,
    tsa_roots: Annotated[
        Path | None,
        typer.Option(help="With --timestamp, or of a ledger: certificates (PEM) that the TSA's own must go back to."),
    ] = None,
    known: Annotated[
        list[Path] | None, typer.Option(help="Of a ledger: a checkpoint that somebody holds. May be repeated.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Of a ledger: take earlier checkpoints by their roots, without signatures.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    version: typed.Version = False,
) -> None:
    """Verify what proves a message (who sent it, when, to whom, what became of it), or a whole ledger from its leaves.

    With --timestamp and --tsa-roots: verify when a checkpoint of the ledger, and all entries before it, existed.
    Offline: no network, no account, no node. Exit code 1 if it is not proven, 2 if a file does not read or the policy
    is none.
    """
    if (timestamp is None) is not (tsa_roots is None) and not (timestamp is None and what.is_dir()):
        raise typer.BadParameter("--timestamp and --tsa-roots go together; only an export has timestamps in it")
    if policy is None and (timestamp is not None or not what.is_dir()):
        typed.fail(PROGRAM, typed.USAGE, "Missing option '--policy'", f"see {PROGRAM} --help")
        raise typer.Exit(USAGE)
    try:
        trusted = None if policy is None else Policy.from_bytes(_read(policy, MAX_POLICY_SIZE))
        if timestamp is not None and tsa_roots is not None:
            lines, fields = _timed(what, _read(timestamp, MAX_RESPONSE), _read(tsa_roots, MAX_ROOTS), _of(trusted))
        elif what.is_dir():
            roots = () if tsa_roots is None else read_roots(_read(tsa_roots, MAX_ROOTS))
            lines, fields = _ledger(what, trusted, known or (), roots, quick=quick)
        else:
            lines, fields = _bundle(_evidence(what), _of(trusted))
    except (PolicyInvalid, TsaRootsUnusable) as error:
        file, step = (tsa_roots, _ROOTS) if isinstance(error, TsaRootsUnusable) else (policy, _POLICY)
        typed.fail(PROGRAM, error.code, typed.printable(f"{file}: {error}"), step)
        raise typer.Exit(USAGE) from error
    except OSError as error:
        detail = typed.printable(f"{error.filename} does not read: {error.strerror}")
        typed.fail(PROGRAM, "file_unreadable", detail, "name a file that is there, and that you may read")
        raise typer.Exit(USAGE) from error
    except LedgerUnproven as error:
        step = _NEXT_OF_LEDGERS.get(error.fault, "do not rely on this export; keep it, and ask for another")
        _fail(error, step, as_json, fault=str(error.fault), file=error.file, index=error.index)
        raise typer.Exit(UNPROVEN) from error
    except (CryptoError, ControlRefused) as error:
        step = _NEXT.get(error.code, "do not rely on this bundle; ask for another, written anew by `seci-node receipt`")
        _fail(error, step, as_json)
        raise typer.Exit(UNPROVEN) from error
    typer.echo(json.dumps(fields) if as_json else "\n".join(map(typed.printable, lines)))


def _evidence(file: Path) -> bytes:
    data = _read(file, MAX_EVIDENCE)
    other = other_kind(data)
    if other is not None:
        typed.fail(PROGRAM, typed.USAGE, typed.printable(f"{file} is {other.what}"), other.next_step)
        raise typer.Exit(USAGE)
    return data


def _bundle(data: bytes, policy: Policy) -> Told:
    found = verify_evidence(Evidence.from_bytes(data), policy)
    return list(_lines(found)), _described(found)


def _ledger(
    folder: Path, policy: Policy | None, known: Sequence[Path], roots: Sequence[x509.Certificate], *, quick: bool
) -> Told:
    progress = Progress("entries")
    try:
        found = verify_ledger(folder, policy, known, progress, signed=not quick, roots=roots)
    finally:
        progress.end()
    return list(ledger_lines(found)), ledger_fields(found)


def _timed(file: Path, said: bytes, roots: bytes, policy: Policy) -> Told:
    trusted, data = read_roots(roots), _read(file, MAX_EVIDENCE)
    checkpoint, time = _checkpoint(data, policy), verify_timestamp(said, data, trusted)
    return list(_time_lines(checkpoint, time)), _time_fields(checkpoint, time)


def _of(policy: Policy | None) -> Policy:
    return policy or Policy.of([], [], 0)


def _read(file: Path, most: int) -> bytes:
    with file.open("rb") as opened:
        return opened.read(most + 1)


def _checkpoint(data: bytes, policy: Policy) -> Cosigned:
    try:
        # Without a quorum: a timestamp is given before witnesses cosign.
        return read_checkpoint(data.decode(), policy)
    except UnicodeDecodeError as error:
        raise NoteInvalid("the file is no checkpoint") from error


def _time_lines(cosigned: Cosigned, said: Timestamp) -> Iterator[str]:
    checkpoint = cosigned.checkpoint
    yield f"PROVEN under the policy, by the log {checkpoint.origin} and a TSA:"
    yield from _both_keys(cosigned)
    yield line("checkpoint", f"{checkpoint.size} entries, root {checkpoint.root.hex()},")
    times = [f"{name} {when(at * 1000)}" for name, at in cosigned.witnesses]
    yield line("", _cosigned(times))
    yield line("existed", f"by {when(said.at)}, give or take {said.within} ms, says {said.tsa},")
    yield line("", "and with it every entry under it")


def _both_keys(cosigned: Cosigned) -> Iterator[str]:
    # The policy asks it of every checkpoint.
    if len(cosigned.algorithms) > 1:
        yield line("the log", f"signed with both of its keys, {' and '.join(cosigned.algorithms)}")


def _time_fields(cosigned: Cosigned, said: Timestamp) -> dict[str, Any]:
    checkpoint = cosigned.checkpoint
    return {
        "ok": True,
        "log_algorithms": list(cosigned.algorithms),
        "checkpoint": {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex()},
        "witnesses": [{"name": name, "at": when(at * 1000)} for name, at in cosigned.witnesses],
        "existed_by": when(said.at),
        "within_ms": said.within,
        "tsa": said.tsa,
    }


def _fail(error: CryptoError | ControlRefused, step: str, as_json: bool, **more: Any) -> None:
    if as_json:
        typer.echo(
            json.dumps({"ok": False, "code": error.code, **more, "detail": str(error), "next": step, "errors": []})
        )
    else:
        named = f"{error.code}: {more['fault']}, {more['file']}" if more else error.code
        typer.echo(typed.printable(f"NOT PROVEN: {error} [{named}]") + f"\nnext: {step}", err=True)


def _lines(found: Established) -> Iterator[str]:
    entry, header = found.basis.entry, found.header
    yield f"PROVEN under the policy, by the log {found.basis.proven.checkpoint.origin}:"
    yield from _both_keys(found.basis.cosigned)
    yield line("message", str(header.id if header is not None else entry.message))
    yield line("envelope", f"SHA-256 {found.digest.hex()}")
    if header is None or found.signed is None:
        yield line("sender", f"{_name(found, entry.sender or entry.node)}, by the ledger's word alone: its signature")
        yield line("", "is in the envelope, which the bundle leaves out")
    else:
        roster = found.signed.roster
        yield line("sender", f"{_name(found, header.sender)}, which signed it with key {found.signed.kid.hex()},")
        yield line("", f"its own by the roster version {roster.version} of {when(roster.at)}")
        yield from _revoked(found.signed.revoked, entry.at)
    if found.recipient is not None:
        yield line("shown by", f"{_name(found, found.recipient)}, a recipient")
    said = header or entry
    if said.kind is not None:
        operation = "" if said.operation is None else f", operation {said.operation}"
        yield line("what", f"{said.kind} version {said.kind_version}, task force {said.task_force}{operation}")
        yield line("", f"handling {said.handling}, priority {said.priority}")
    if said.created is not None:
        yield line("written", f"{when(said.created)} by the sender's clock")
    yield line("to", ", ".join(_name(found, node) for node in said.recipients or ()) or "not said")
    if found.decision is not None:
        why = "" if entry.code is None else f" [{entry.code}]: {entry.detail or ''}"
        yield line(str(entry.event), f"{when(entry.at)} by the hub{why}")
        yield from _places(found.decision)
    for answer in found.answers:
        yield from _answer_lines(found, answer)
    if found.decision is None:
        yield line("not shown", "when the hub accepted it: it takes no word on what it did not accept")
    if silent := _silent(found):
        yield line("not shown", f"what became of it at {', '.join(silent)}")
    if found.body is not None:
        yield line("content", f"{len(found.body)} bytes, exactly what the sender signed:")
        yield from (f"  | {text}" for text in found.body.decode(errors="backslashreplace").splitlines())


def _revoked(at: int | None, logged: int) -> Iterator[str]:
    if at is not None:
        yield line("", f"the key {'was revoked later' if logged <= at else 'had been revoked'}, on {when(at)}")


def _cosigned(times: Sequence[str]) -> str:
    # There may be cosignatures that the policy knows nothing of: they prove nothing under it.
    return f"cosigned by {', '.join(times)}" if times else "cosigned by no witness of the policy: the log's word alone"


def _answer_lines(found: Established, answer: Answer) -> Iterator[str]:
    why = "" if answer.item.code is None else f" [{answer.item.code}]"
    yield line(str(answer.item.outcome), f"{_name(found, answer.recipient)} {when(answer.logged.entry.at)}{why}")
    yield line("", f"signed by the recipient itself {when(answer.at)}, roster version {answer.roster.version}")
    yield from _revoked(answer.revoked, answer.logged.entry.at)
    yield from _places(answer.logged)


def _places(logged: Logged) -> Iterator[str]:
    checkpoint = logged.proven.checkpoint
    yield line("", f"entry {logged.proven.index} under the checkpoint of {checkpoint.size} entries, root")
    yield line("", f"{checkpoint.root.hex()},")
    times = [f"{name} {when(at * 1000)}" for name, at in logged.cosigned.witnesses]
    yield line("", _cosigned(times))


def _name(found: Established, node: str) -> str:
    return f"{node} ({found.names[node]})" if node in found.names else node


def _silent(found: Established) -> list[str]:
    said = found.header or found.basis.entry
    heard = {answer.recipient for answer in found.answers}
    accepted = found.decision is None or found.decision.entry.event is Event.ACCEPTED
    return [node for node in said.recipients or () if accepted and node not in heard]


def _described(found: Established) -> dict[str, Any]:
    entry, said = found.basis.entry, found.header or found.basis.entry
    return {
        "ok": True,
        "log_algorithms": list(found.basis.cosigned.algorithms),
        "message": str(found.header.id if found.header is not None else entry.message),
        "envelope": found.digest.hex(),
        "sender": found.header.sender if found.header is not None else entry.sender or entry.node,
        "signed": None
        if found.signed is None
        else {
            "key": found.signed.kid.hex(),
            "roster": found.signed.roster.version,
            "revoked": None if found.signed.revoked is None else when(found.signed.revoked),
        },
        "kind": said.kind,
        "kind_version": said.kind_version,
        "task_force": said.task_force,
        "operation": said.operation,
        "created": None if said.created is None else when(said.created),
        "recipients": list(said.recipients or ()),
        "shown_by": found.recipient,
        "decision": None if found.decision is None else {**_entry(found.decision), "detail": entry.detail},
        "answers": [
            {
                "recipient": answer.recipient,
                **_entry(answer.logged),
                "signed_at": when(answer.at),
                "roster": answer.roster.version,
                "revoked": None if answer.revoked is None else when(answer.revoked),
            }
            for answer in found.answers
        ],
        "not_shown": _silent(found),
        "content": None if found.body is None else found.body.decode(errors="backslashreplace"),
    }


def _entry(logged: Logged) -> dict[str, Any]:
    checkpoint = logged.proven.checkpoint
    return {
        "event": str(logged.entry.event),
        "at": when(logged.entry.at),
        "code": None if logged.entry.code is None else str(logged.entry.code),
        "index": logged.proven.index,
        "checkpoint": {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex()},
        "witnesses": [{"name": name, "at": when(at * 1000)} for name, at in logged.cosigned.witnesses],
    }


def main() -> None:
    """The entry point."""
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal of another character set shows what it lacks escaped.
        sys.stdout.reconfigure(errors="backslashreplace")
    typed.run(app, PROGRAM)


if __name__ == "__main__":
    main()
