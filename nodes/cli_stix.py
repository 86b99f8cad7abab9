"""`seci-node stix`: indicators of another system as a body of `cyber.indicator`, and those of a body for another."""

import json
from typing import Annotated, Final

import typer

from nodes.cli_schema import check
from nodes.cli_send import read_body
from nodes.shell import AsJson, answer, say
from nodes.stix import from_stix, left_behind, to_stix

KIND: Final = "cyber.indicator"
stix_app: Final = typer.Typer(no_args_is_help=True, help="Indicators of computer crime in STIX 2.1.")


@stix_app.command("import")
def import_(
    file: Annotated[str, typer.Argument(help="A bundle of STIX 2.1, or - for standard input.")],
    title: Annotated[str, typer.Option(help="Of the message.")] = "Indicators of computer crime",
    as_json: AsJson = False,
) -> None:
    """Print the body of a message with a bundle's indicators; on stderr, what of the bundle is not in it."""
    found = from_stix(read_body(file), title)
    check(KIND, found.body)
    for what, count in found.left_out.items():
        say(f"left out: {count} x {what}")
    answer(found.body, as_json, json.dumps(found.body, indent=2, ensure_ascii=False))


@stix_app.command()
def export(
    file: Annotated[str, typer.Argument(help="A body of cyber.indicator, or - for standard input.")],
    as_json: AsJson = False,
) -> None:
    """Print a bundle of STIX 2.1 with the indicators of a body; on stderr, what of the body is not in it."""
    body = read_body(file)
    check(KIND, body)
    bundle = to_stix(body)
    if left := left_behind(body):
        say(f"left out: {', '.join(left)}")
    answer(bundle, as_json, json.dumps(bundle, indent=2, ensure_ascii=False))
