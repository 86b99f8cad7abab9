"""A token of SoftHSM, from Debian's packages: what hardware would be, without the hardware."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from crypto.hsm import Token
from deploy.local.programs import SOFTHSM

PIN: Final = "730155"
needs_softhsm = pytest.mark.skipif(
    not SOFTHSM.exists() or shutil.which("softhsm2-util") is None,
    reason="SoftHSM is not installed; `make test` says how to",
)


def make_token(folder: Path, label: str) -> Token:
    """A new token, whose folder the environment of this process names from now on: the library reads it once."""
    kept = folder / "tokens"
    kept.mkdir(parents=True)
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {kept}\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(settings)
    command = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "89" + PIN]
    subprocess.run(command, check=True, capture_output=True)
    return Token(SOFTHSM, label, PIN)
