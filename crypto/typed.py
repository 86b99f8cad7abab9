"""How all programs take what was typed and tell what is wrong with it: plain lines, or one JSON object, and no boxes.

An error has a stable code, what happened, and what to do next. With `--json` it is the command's answer, on stdout.
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Annotated, Any, Final, cast

import typer
from pydantic import ValidationError

from schemas.header import PROTOCOL_VERSION
from schemas.wording import wanted

DISTRIBUTION: Final = "seci-exchange"
USAGE: Final = "usage"
# What Click ends with, too, when nobody reads.
UNREAD: Final = 1
# What Typer makes of words that it cannot understand. Its root has no public name; this kind of it has.
_UsageError: Final = cast("type[Exception]", typer.BadParameter.__base__)


def _tell_version(wanted: bool) -> None:
    if not wanted:
        return
    found = {"version": version(DISTRIBUTION), "protocol": PROTOCOL_VERSION}
    typer.echo(json.dumps(found) if as_json() else f"{DISTRIBUTION} {found['version']}, protocol {PROTOCOL_VERSION}")
    raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Say which version this is, and end.")
]
# What the ledger, SQLite and PostgreSQL count with.
MOST: Final = 2**63 - 1


def with_version(version: Version = False) -> None:
    """For a program of several commands, as its callback."""


def one_of(known: Collection[str]) -> Callable[[str], str]:
    """A parser for an option that takes one of these names."""

    def parse(text: str) -> str:
        if text not in known:
            raise typer.BadParameter(f"there is no {text!r}; known are {', '.join(known)}")
        return text

    return parse


def run(app: typer.Typer, program: str) -> None:
    """Does what was typed, and raises SystemExit: with the command's exit code, or 2 if it cannot be understood.

    What the command itself raises goes through.
    """
    # What libraries log is not for who types: the command's own error says it. A service logs in its own way.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        with while_read():
            code = app(prog_name=program, standalone_mode=False)
    except typer.Abort:
        raise SystemExit(1) from None
    except _UsageError as error:
        _tell(error, program)
        raise SystemExit(2) from error
    raise SystemExit(code or 0)


@contextmanager
def while_read() -> Iterator[None]:
    """Ends the program without a word if nobody reads what the block prints any more, as after `head`."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # The signal for it stays ignored, as Python has it: it would end an agent as well, without a word, whenever
        # somebody's connection breaks at the wrong moment.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(UNREAD) from None


def fail(program: str, code: str, detail: str, next_step: str, fields: Sequence[Mapping[str, str]] = ()) -> None:
    """Tells an error in the form that was asked for. `fields` name each a `field`, what was `found`,
    and what is `wanted`, as it goes on behind `it`.
    """
    if as_json():
        failure = {"ok": False, "code": code, "detail": detail, "next": next_step, "errors": [dict(f) for f in fields]}
        typer.echo(json.dumps(failure))
        return
    # A program that logs has it by now; one that logs nothing need not import it to fail.
    structlog = sys.modules.get("structlog")
    if structlog is not None and structlog.is_configured() and not sys.stderr.isatty():
        # A program that logs: whoever collects its lines takes JSON only.
        structlog.get_logger().critical("ended", code=code, detail=detail, next=next_step)
        return
    lines = [f"  {item['field']}: found {item['found']}; it {item['wanted']}" for item in fields]
    said = [f"{program}: {detail} [{code}]", *lines, f"next: {next_step}"]
    typer.echo("\n".join(map(printable, said)), err=True)


def printable(line: str) -> str:
    """A line for people. What strangers wrote must not steer the terminal, turn the order of what is read, or pass
    for a line of ours.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def shown(text: str) -> str:
    """The same of a text of some lines."""
    return "\n".join(map(printable, text.split("\n")))


def why(error: BaseException) -> str:
    """What a library's error says, for a sentence of ours; the name of its class tells nobody more."""
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else "it broke off")


def as_json() -> bool:
    """Whether JSON was asked for, even if nothing else of what was typed can be understood."""
    return "--json" in sys.argv


def _tell(error: Exception, program: str) -> None:
    context: typer.Context | None = getattr(error, "ctx", None)
    path = program if context is None else context.command_path
    text: str = error.format_message()  # type: ignore[attr-defined]
    if type(error).__name__ == "NoArgsIsHelpError":
        # Nothing was typed: the text is the whole help.
        typer.echo(text, err=True)
        return
    detail, fields = " ".join(text.split()).rstrip("."), []
    if isinstance(error.__cause__, ValidationError):
        name = _name(error)
        detail = f"wrong: {name}"
        fields = [
            {"field": name, "found": str(item["input"]), "wanted": wanted(item)}
            for item in error.__cause__.errors(include_url=False)
        ]
    fail(program, USAGE, detail, f"see {path} --help", fields)


def _name(error: Exception) -> str:
    parameter: Any = getattr(error, "param", None)
    return max(parameter.opts, key=len) if parameter.param_type_name == "option" else str(parameter.name).upper()
