"""Programs of many commands: each is imported when it is called, with all that it alone needs.

To import all of them takes longer than most of them take to answer.
"""

import gc
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from crypto import typed

# By its name: where a command or a group of them is, as `hub.cli_status:status`, and its line in the program's help.
Places = Mapping[str, tuple[str, str]]
_PLAIN: Final[dict[str, Any]] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
}


def program(text: str, places: Places) -> typer.Typer:
    """A program of these commands, in their order; `text` is its help."""

    class Commands(TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            # To list them, and to find what was mistyped, their names and lines do.
            attributes["commands"] = {name: TyperCommand(name, help=line) for name, (_, line) in places.items()}
            super().__init__(**attributes)

        def resolve_command(self, ctx: Any, args: list[str]) -> Any:
            name, command, rest = super().resolve_command(ctx, args)
            return name, command if name is None else _imported(name, places[name][0]), rest

    return typer.Typer(cls=Commands, no_args_is_help=True, help=text, callback=typed.with_version, **_PLAIN)


def _imported(name: str, place: str) -> Any:
    module, _, attribute = place.partition(":")
    # What an import makes stays: to look through it for garbage again and again takes a seventh of its time.
    gc.disable()
    try:
        found, alone = getattr(import_module(module), attribute), typer.Typer(**_PLAIN)
    finally:
        gc.enable()
    if isinstance(found, typer.Typer):
        alone.add_typer(found, name=name)
    else:
        alone.command(name)(found)
    return get_group(alone).commands[name]
