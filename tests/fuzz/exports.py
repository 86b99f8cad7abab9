"""Exports of national systems, each with the mapping that is an example for it."""

from pathlib import Path
from typing import Final

from nodes.errors import InputRefused
from nodes.mapped import map_all, read_records
from nodes.mapping import read_mapping
from tests.fuzz.target import OF_JSON, OF_TEXT, Target

_EXAMPLES: Final = Path(__file__).parents[2] / "deploy" / "examples" / "mapping"


def exports() -> tuple[Target, ...]:
    """The three examples. A record that is wrong is a fault with a name, and no error."""
    return _target("vehicles", "csv"), _target("seizures", "xml"), _target("cases", "json")


def _target(name: str, suffix: str) -> Target:
    mapping = read_mapping((_EXAMPLES / f"{name}.toml").read_bytes())

    def mapped(data: bytes) -> object:
        found = list(map_all(mapping, read_records(mapping, data)))
        assert all((item.message is None) == bool(item.told()) for item in found)
        return found

    seed = (_EXAMPLES / f"{name}.{suffix}").read_bytes()
    return Target(f"export, {suffix}", (seed,), OF_JSON if suffix == "json" else OF_TEXT, mapped, (InputRefused,))
