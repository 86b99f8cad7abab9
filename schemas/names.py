"""Names in JSON that stand twice in one object: one parser takes the first, another the last, and each reads
a message of its own. Such a text is refused.
"""

import json
from collections import Counter
from typing import Any, Final

_SHOWN: Final = 60


class NameRepeated(ValueError):
    """An object in a JSON text has two members of one name. Code `name_repeated`."""

    code = "name_repeated"


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members of an object, for `object_pairs_hook` of a JSON decoder. Raises NameRepeated."""
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise NameRepeated(f"the name {twice[:_SHOWN]!a} stands in one object more than once")
    return found


def _checked(pairs: list[tuple[str, Any]]) -> None:
    # As `once`, but nothing is kept of what has been looked at.
    if len(dict(pairs)) != len(pairs):
        once(pairs)


# Numbers are left as text: only the names matter, and making long ones costs time.
_NAMES: Final = json.JSONDecoder(object_pairs_hook=_checked, parse_int=str, parse_float=str)


def refuse_repeated(data: bytes) -> None:
    """Looks at the names of a JSON text that has been read already, as it came. Raises NameRepeated."""
    _NAMES.decode(data.decode(json.detect_encoding(data)))
