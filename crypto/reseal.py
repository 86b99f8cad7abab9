"""Another secret for a home's keys: all its sealed files are sealed anew, or none, whenever this is killed.

Each is written beside the old one first, under a name with a mark; then the caller saves its settings with the new
secret and the mark, which is the moment that decides; then the new ones take the place of the old. Whoever reads the
settings calls `finish` with the mark before the first key is opened, and so ends what was begun.
"""

import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from crypto.errors import KeyFileRefused
from crypto.keyfile import Secret, SecretSource, is_sealed, open_file, seal_file, sync_folder

MARK_SIZE: Final = 8
_ANEW: Final = re.compile(r"(.+)\.([0-9a-f]{16})\.anew")


def check_another(home: Path, old: SecretSource, new: SecretSource) -> None:
    """Raises KeyFileRefused for the place that the secret is in by now: who then destroyed the old one had none."""
    if old.place(home) == new.place(home):
        raise KeyFileRefused("the keys open with the secret there already; name another place for the new one")


def prepare(home: Path, old: Secret, new: Secret) -> str:
    """Seals all of a home's keys anew, beside the old ones. The mark under which they wait.

    What was prepared before and never decided on goes. Raises KeyFileRefused, WrongPassphrase, OSError.
    """
    mark = secrets.token_hex(MARK_SIZE)
    for file in sorted(home.iterdir()):
        if _ANEW.fullmatch(file.name):
            file.unlink()
        elif is_sealed(file):
            seal_file(home / f"{file.name}.{mark}.anew", open_file(file, old), new)
    return mark


def finish(home: Path, mark: str | None) -> None:
    """Puts what waits under a mark in its place. Raises OSError."""
    if mark is None:
        return
    moved = False
    for file in sorted(home.glob(f"*.{mark}.anew")):
        if found := _ANEW.fullmatch(file.name):
            # Of several that start at one time, another may have been quicker.
            with suppress(FileNotFoundError):
                file.replace(home / found[1])
            moved = True
    if moved:
        sync_folder(home)
