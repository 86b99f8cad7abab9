"""A node whose signing key is in a token: it sends, tells when the token is gone, and has no key in clear anywhere."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from crypto.envelope import verify
from crypto.keyfile import NodeKeys, load_node_keys, load_signing_key, tls_password
from crypto.keys import SignatureAlgorithm
from nodes import outbox, setup
from nodes.settings import Settings
from nodes.store import Store
from tests.crypto.softhsm import PIN, make_token, needs_softhsm
from tests.nodes.welcomes import ROOT, running, welcome

pytestmark = [needs_softhsm, pytest.mark.system]
ALERT = ("send", "--kind", "alert", "--task-force", "drugs", "--json")
BODY = b'{"title": "Stolen van", "text": "White van, last seen near Giurgiu"}'


def _typed(home: Path, *words: str, body: bytes = b"") -> tuple[int, dict[str, Any]]:
    argv = [sys.executable, "-m", "nodes.cli", *words, "--home", str(home)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, input=body, timeout=60)
    return done.returncode, json.loads(done.stdout) if "--json" in words else {}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Romania's folder, its signing key made in a token by `seci-node init`; enrolled."""
    token, home, pin = make_token(tmp_path / "softhsm", "ro"), tmp_path / "ro", tmp_path / "pin"
    pin.touch(0o600)
    pin.write_text(PIN)
    where = ("--pkcs11-module", str(token.module), "--pkcs11-token", token.label, "--pkcs11-pin-file", str(pin))
    assert _typed(home, "init", "--node", "ro", *where)[0] == 0
    pin.unlink()
    asyncio.run(setup.welcome(home, welcome(home)))
    return home


def test_a_node_with_a_token_sends_and_says_when_the_token_is_gone(home: Path, tmp_path: Path) -> None:
    keys = load_node_keys(home / "node.key", Settings.load(home).secret())
    assert keys.signing.reference is not None
    tokens, away = tmp_path / "softhsm" / "tokens", tmp_path / "away"
    tokens.rename(away)
    with running(home) as agent:
        code, said = _typed(home, *ALERT, body=BODY)
        assert (code, said["code"]) == (5, "hsm_unavailable")
        away.rename(tokens)
        code, sent = _typed(home, *ALERT, body=BODY)
        assert (code, sent["state"]) == (0, "queued")
        command = Path(f"/proc/{agent.pid}/cmdline").read_bytes() + Path(f"/proc/{agent.pid}/environ").read_bytes()
    box = Store.open(home / "node.db", keys.storage)
    try:
        [item] = asyncio.run(box.run(outbox.ready, 10, time.time_ns() // 1_000_000, urgent=False))
    finally:
        box.close()
    assert keys.signing.public.algorithm is SignatureAlgorithm.ES256
    assert str(verify(item.envelope, lambda header, kid: keys.signing.public).header.id) == sent["id"]
    for what, secret in _secrets(home, keys).items():
        assert secret not in command, what
        for file in home.iterdir():
            # What opens the others is in clear by its nature, and may be elsewhere.
            assert file.name == "secret.key" or secret not in file.read_bytes(), f"{what} in {file.name}"


def _secrets(home: Path, keys: NodeKeys) -> dict[str, bytes]:
    secret = Settings.load(home).secret()
    return {
        "pin": PIN.encode(),
        "encryption key": keys.encryption[0].seed,
        "storage key": keys.storage,
        "witness key": load_signing_key(home / "witness.key", secret).private_bytes()[1:],
        "password of the TLS key": tls_password(home / "tls.key", secret),
    }
