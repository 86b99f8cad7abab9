"""The verifier in Go, over packages of Go's checksum database; see thirdparty/verify.go."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "thirdparty" / "verify.go"
# Where Debian's packages put the sources of Go libraries.
GOPATH = "/usr/share/gocode"
needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed; `make test` says how to")


def build(folder: Path) -> Path:
    """The program, built in an empty folder."""
    program = folder / "verify"
    settings = {"GO111MODULE": "off", "GOPATH": GOPATH, "GOCACHE": str(folder / "cache"), "GOFLAGS": "", "GOENV": "off"}
    command = ["go", "build", "-o", str(program), str(SOURCE)]
    made = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return program
