"""What every command of `seci-node` shares: its options, and how it speaks."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from crypto import typed
from nodes.settings import HOME_VARIABLE

Home = Annotated[Path, typer.Option(envvar=HOME_VARIABLE, help="The node's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def answer(result: Any, as_json: bool, text: str) -> None:
    """Data, to stdout."""
    typer.echo(json.dumps(result) if as_json else typed.shown(text))


def say(text: str) -> None:
    """Everything else, to stderr."""
    typer.echo(typed.shown(text), err=True)
