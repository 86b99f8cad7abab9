"""Processes that we started: how they are recorded, known again, signalled and ended.

A record is `<folder>/run/<name>.json`. It holds the start time that the kernel gives for the pid, so that
another process that has got the same pid later is never taken for ours, and never signalled.
"""

import contextlib
import json
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

GRACE_SECONDS = 15.0
_POLL_SECONDS = 0.02
# Linux; elsewhere ps(1) knows.
_HAS_PROC = Path("/proc/self/stat").exists()

# Children of this very process, kept so that they can be reaped.
_children: dict[int, subprocess.Popen[bytes]] = {}
# How those ended that were.
_codes: dict["Process", int] = {}


@dataclass(frozen=True, slots=True)
class Process:
    """A process that we started, by pid and start time. `stop_signal` asks it to end in order."""

    name: str
    pid: int
    started: str
    stop_signal: int = signal.SIGTERM
    survives: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a program runs as, as subprocess takes it; None stands for the caller."""

    uid: int | None = None
    gid: int | None = None
    groups: list[int] | None = None


def identity(account: str | None) -> Identity:
    """The identity of an account of this machine, without its further groups; of the caller for None."""
    if account is None:
        return Identity()
    entry = pwd.getpwnam(account)
    return Identity(entry.pw_uid, entry.pw_gid, [])


def spawn(
    folder: Path,
    name: str,
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    log: Path,
    cwd: Path | None = None,
    account: str | None = None,
    stop_signal: int = signal.SIGTERM,
    survives: bool = False,
) -> Process:
    """Start a program in a session of its own and record it under `folder`.

    Output is appended to `log`. `account` is whom to run as (root only). `survives` says that it is meant to
    outlive this process.
    """
    runner = identity(account)
    with log.open("ab") as output:
        child = subprocess.Popen(
            argv,
            env=dict(env),
            cwd=cwd or folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=runner.uid,
            group=runner.gid,
            extra_groups=runner.groups,
        )
    _children[child.pid] = child
    process = Process(name, child.pid, start_time(child.pid) or "", stop_signal, survives)
    _write_record(folder, process)
    return process


def recorded(folder: Path) -> tuple[Process, ...]:
    """The processes recorded under `folder` that are alive; records of others are removed."""
    found = []
    for path in sorted((folder / "run").glob("*.json")):
        process = Process(**json.loads(path.read_text()))
        if alive(process):
            found.append(process)
        else:
            path.unlink(missing_ok=True)
    return tuple(found)


def alive(process: Process) -> bool:
    """Whether the process that we started, and not another with its pid, is running."""
    if start_time(process.pid) == process.started != "":
        return True
    # Only then reaped: what ends between the two would stay a zombie for ever, and whoever asks the kernel for its pid,
    # as PostgreSQL does before it starts, would hear that it is still there.
    child = _children.get(process.pid)
    if child is not None and (code := child.poll()) is not None:
        _children.pop(process.pid, None)
        _codes[process] = code
    return False


def exit_code(process: Process) -> int | None:
    """With which code it ended, as subprocess gives it; None if it is alive, or was no child of this very process."""
    if alive(process) or process in _codes:
        return _codes.get(process)
    # Its first thread has ended, and others of its threads are about to: so long the kernel does not give the code.
    child = _children.pop(process.pid, None)
    if child is not None:
        _codes[process] = child.wait(GRACE_SECONDS)
    return _codes.get(process)


def send(process: Process, signum: int) -> None:
    """Signal the process if it is still ours."""
    if alive(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signum)


def end(folder: Path, processes: Iterable[Process], grace: float = GRACE_SECONDS) -> tuple[str, ...]:
    """Ask all to end in order, wait `grace` seconds, kill what is left, forget them. The names of what was killed."""
    ours = tuple(processes)
    for process in ours:
        send(process, process.stop_signal)
        send(process, signal.SIGCONT)
    _wait(ours, grace)
    left = tuple(process.name for process in ours if alive(process))
    kill(folder, ours)
    return left


def kill(folder: Path, processes: Iterable[Process]) -> None:
    """SIGKILL the processes and their direct children, wait until they are gone, forget them."""
    ours = tuple(processes)
    families = [(process, *children(process)) for process in ours if alive(process)]
    for family in families:
        for process in family:
            send(process, signal.SIGKILL)
    _wait([process for family in families for process in family], GRACE_SECONDS)
    for process in ours:
        (folder / "run" / f"{process.name}.json").unlink(missing_ok=True)


def pause(process: Process) -> None:
    """Stop the process and its direct children (SIGSTOP): connections stay open, nothing answers."""
    for member in (process, *children(process)):
        send(member, signal.SIGSTOP)


def resume(process: Process) -> None:
    """Let a paused process and its direct children go on."""
    for member in (process, *children(process)):
        send(member, signal.SIGCONT)


def children(process: Process) -> tuple[Process, ...]:
    """The direct children of a process of ours; none if it has ended."""
    if not alive(process):
        return ()
    found = ((pid, start_time(pid)) for pid in _pids_of_parent(process.pid))
    return tuple(Process(f"{process.name}-{pid}", pid, started) for pid, started in found if started)


def start_time(pid: int) -> str | None:
    """The kernel's start time of a running pid, to compare as text; None if it has ended (zombies too)."""
    if _HAS_PROC:
        fields = _stat(pid)
        return None if fields is None or fields[0] == "Z" else fields[19]
    listed = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True)
    state, _, started = listed.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()


def last_lines(log: Path, count: int = 15) -> str:
    """The end of a process's log, for an error message; empty if there is no log."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(lines[-count:])


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat after the program's name: state, parent, ... start time (proc(5))."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def _pids_of_parent(parent: int) -> list[int]:
    if _HAS_PROC:
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        stats = ((pid, _stat(pid)) for pid in pids)
        return [pid for pid, fields in stats if fields is not None and int(fields[1]) == parent]
    listed = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True).stdout
    pairs = (line.split() for line in listed.splitlines())
    return [int(pid) for pid, ppid in pairs if int(ppid) == parent]


def _wait(processes: Sequence[Process], seconds: float) -> None:
    until = time.monotonic() + seconds
    while any(alive(process) for process in processes) and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)


def _write_record(folder: Path, process: Process) -> None:
    run = folder / "run"
    run.mkdir(mode=0o700, exist_ok=True)
    draft = run / f".{process.name}.draft"
    draft.write_text(json.dumps(asdict(process)))
    draft.replace(run / f"{process.name}.json")
