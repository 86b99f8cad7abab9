"""The hub's welcome: taken in if all of it holds, else refused before anything of it is written."""

from pathlib import Path

import pytest

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
