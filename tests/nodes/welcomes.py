"""What the hub would answer to Romania's enrolment, and an agent enrolled by it, whose broker never answers."""

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crypto import certificates
from crypto.certificates import Profile
from crypto.keyfile import load_node_keys, load_tls_key
from crypto.note import NoteSigner
from crypto.trust import sign_roster
from nodes.settings import Settings
from schemas.enrolment import Welcome
from schemas.roster import Roster, RosterKey
from tests.crypto.people import BG, HUB, NOW, roster_key, roster_node
from tests.nodes.conftest import FAR, ORIGIN, entry
from tests.nodes.twofaced import Log

CA_KEY = certificates.new_tls_key()
CA = certificates.create_ca("CA", CA_KEY)
CA_PEM = certificates.to_pem(CA).decode()
VKEY = NoteSigner(ORIGIN, HUB.signing).verifier.vkey()
ROOT = Path(__file__).parents[2]
LEDGER = Log().grow(3)
PATIENCE_S = 30


def issued(home: Path, days: int = 1) -> str:
    """Romania's certificate, in PEM."""
    csr = certificates.create_csr("node-ro", load_tls_key(home / "tls.key", Settings.load(home).secret()))
    return certificates.to_pem(
        certificates.issue(csr, CA, CA_KEY, Profile.CLIENT, common_name="node-ro", days=days)
    ).decode()


def signed_for(home: Path, version: int = 1, *more: RosterKey) -> bytes:
    """A roster of Romania, with the keys in its folder and `more`, and Bulgaria."""
    keys = load_node_keys(home / "node.key", Settings.load(home).secret())
    mine = roster_node("ro", roster_key(keys.signing, end=FAR), roster_key(keys.encryption[0], end=FAR), *more)
    return sign_roster(Roster(version=version, at=NOW, nodes=(entry(BG), mine)), HUB.signing)


def welcome(home: Path, **changes: Any) -> Path:
    """A welcome file for Romania, whose roster has Bulgaria too."""
    signed = signed_for(home)
    fields: dict[str, Any] = {
        "node": "ro",
        "certificate_pem": issued(home),
        "ca_pem": CA_PEM,
        "broker_host": "localhost",
        "broker_port": 1,
        "vhost": "siex",
        "hub_key": base64.b64encode(HUB.signing.public.public_bytes()).decode(),
        "log_origin": ORIGIN,
        "log_vkey": VKEY,
        "roster": base64.b64encode(LEDGER.published(signed).news(signed)).decode(),
    }
    file = home / "welcome.json"
    file.write_text(Welcome(**fields | changes).model_dump_json())
    return file


@contextmanager
def running(home: Path, *before: str) -> Iterator[subprocess.Popen[str]]:
    """An agent at work, as `seci-node run` starts it, or what stands `before` it; its stderr is in `home/agent.log`."""
    argv = [sys.executable, "-m", *before, "nodes.cli", "run", "--home", str(home)]
    with (home / "agent.log").open("a") as log:
        process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=log, text=True)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not _announced(home, process):
            assert process.poll() is None and time.monotonic() < deadline, (home / "agent.log").read_text()
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


def _announced(home: Path, process: subprocess.Popen[str]) -> bool:
    file = home / "api.json"
    return file.exists() and json.loads(file.read_text())["pid"] == process.pid
