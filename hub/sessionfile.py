"""Where the token of a session is kept: a file that only its owner reads, gone with the login at the machine.

`SECI_HUB_SESSION` names another file; a token itself is in no environment and no argument.
"""

import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from crypto.keyfile import write_private
from hub.errors import FileUnwritable

VARIABLE: Final = "SECI_HUB_SESSION"


def place(home: Path) -> Path:
    """Where the session with the hub in `home` is: in the user's runtime directory, or in one like it."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(runtime) / "seci-hub" if runtime else Path(tempfile.gettempdir()) / f"seci-hub-{os.getuid()}"
    return folder / f"session-{hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:16]}"


def make_ready(home: Path) -> Path:
    """The file, in a folder that is there. Raises FileUnwritable, also for a folder in which others may write."""
    file = place(home)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_ours(file.parent):
            raise FileUnwritable(
                f"the session is not kept in {file.parent}: others may write there, or it is not yours",
                f"name a file in a folder of your own with {VARIABLE}",
            )
    except OSError as error:
        raise _unwritable(file, error) from error
    return file


def save(home: Path, token: str) -> Path:
    """Keeps the token. Raises FileUnwritable, as make_ready does."""
    file = make_ready(home)
    try:
        write_private(file, token.encode())
    except OSError as error:
        raise _unwritable(file, error) from error
    return file


def _unwritable(file: Path, error: OSError) -> FileUnwritable:
    said = f"the session cannot be kept in {file.parent}: {error.strerror}"
    return FileUnwritable(said, f"name a file with {VARIABLE}")


def read(home: Path) -> str | None:
    """The token, if there is one that nobody else could have put there or read."""
    file = place(home)
    try:
        with file.open() as opened:
            found = os.fstat(opened.fileno())
            private = found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077
            return opened.read(200).strip() if private else None
    except (OSError, UnicodeDecodeError):
        return None


def forget(home: Path) -> None:
    """Deletes the file."""
    place(home).unlink(missing_ok=True)


def _is_ours(folder: Path) -> bool:
    found = folder.lstat()
    return found.st_uid == os.getuid() and not stat.S_ISLNK(found.st_mode) and not found.st_mode & 0o022
