"""Which kinds each task force uses: data, in `kinds.toml` beside this module, read once."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

from schemas.codes import TASK_FORCES, lineage

_READ: Final[dict[str, Any]] = tomllib.loads(files("schemas").joinpath("kinds.toml").read_text(encoding="utf-8"))


def _used_by(task_force: str) -> tuple[str, ...]:
    own = (name for code in lineage(task_force) for name in _READ["task_forces"][code])
    return tuple(dict.fromkeys((*_READ["common"], *own)))


# By a task force's code: the names of its kinds, those of all first.
USED_BY: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({code: _used_by(code) for code in TASK_FORCES})


def users_of(kind: str) -> tuple[str, ...]:
    """The codes of the task forces that use a kind."""
    return tuple(code for code, names in USED_BY.items() if kind in names)
