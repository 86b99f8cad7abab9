"""The hub's welcome: taken in if all of it holds, else refused before anything of it is written."""

import base64
from pathlib import Path

import pytest

from crypto.enrolment import verify_request
from nodes import setup
from nodes.errors import WelcomeRefused
from nodes.settings import Settings
from tests.nodes.conftest import ORIGIN
from tests.nodes.welcomes import CA_PEM, VKEY, issued, welcome


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Romania's folder after the first step."""
    setup.create(tmp_path / "ro", "ro", None)
    return tmp_path / "ro"


@pytest.mark.parametrize("ca_pem", [CA_PEM, CA_PEM + CA_PEM])
async def test_a_welcome_that_holds_is_taken_in(home: Path, ca_pem: str) -> None:
    settings = await setup.welcome(home, welcome(home, ca_pem=ca_pem))
    assert settings.enrolled
    assert settings == Settings.load(home)


@pytest.mark.parametrize(
    "changes",
    [
        {"ca_pem": ""},
        {"ca_pem": "PEM"},
        {"ca_pem": CA_PEM[:-60]},
        {"ca_pem": CA_PEM.replace("MII", "MIJ", 1)},
        {"ca_pem": CA_PEM + CA_PEM.replace("MII", "MIJ", 1)},
        {"ca_pem": "not an authority"},
        {"log_vkey": ""},
        {"log_vkey": ORIGIN},
        {"log_vkey": VKEY[:-4]},
        {"log_vkey": VKEY.replace("+", "+0", 1)},
        {"log_vkey": VKEY.replace(ORIGIN, "another")},
        {"log_vkey": VKEY + "\N{EURO SIGN}"},
    ],
)
async def test_a_welcome_with_a_broken_authority_or_log_key_is_refused(home: Path, changes: dict[str, str]) -> None:
    if changes.get("ca_pem") == "not an authority":
        changes = {"ca_pem": issued(home)}
    before = (home / "node.json").read_bytes()
    with pytest.raises(WelcomeRefused) as refused:
        await setup.welcome(home, welcome(home, **changes))
    assert refused.value.next_step
    assert (home / "node.json").read_bytes() == before
    assert not (home / "ca.pem").exists()


async def test_a_node_without_a_witness_key_gets_one_and_a_request_that_names_it(home: Path) -> None:
    settings, before = Settings.load(home), setup.read_request(home)
    (home / "witness.key").unlink()
    made = setup.witness_key(settings)
    asked = setup.read_request(home)
    verify_request(asked)
    assert asked.witness_key == base64.b64encode(made.public.public_bytes()).decode() != before.witness_key
    assert (asked.signing_key, asked.encryption_key) == (before.signing_key, before.encryption_key)
    assert asked.fingerprint() == before.fingerprint()
    assert setup.witness_key(settings).public == made.public
    assert setup.create(home, "ro", None) == settings
    assert setup.read_request(home).witness_key == asked.witness_key
