"""The hub's welcome: taken in if all of it holds, else refused before anything of it is written."""

import base64
from pathlib import Path
from typing import Any

import pytest

from crypto import certificates
from crypto.certificates import Profile
from crypto.keyfile import load_node_keys, load_tls_key
from crypto.note import NoteSigner
from crypto.trust import sign_roster
from nodes import setup
from nodes.errors import WelcomeRefused
from nodes.settings import Settings
from schemas.enrolment import Welcome
from schemas.roster import Roster
from tests.crypto.people import HUB, NOW, roster_key, roster_node
from tests.nodes.conftest import FAR, ORIGIN

CA_KEY = certificates.new_tls_key()
CA = certificates.create_ca("CA", CA_KEY)
CA_PEM = certificates.to_pem(CA).decode()
VKEY = NoteSigner(ORIGIN, HUB.signing).verifier.vkey()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Romania's folder after the first step."""
    setup.create(tmp_path / "ro", "ro", None)
    return tmp_path / "ro"


def _issued(home: Path) -> str:
    csr = certificates.create_csr("node-ro", load_tls_key(home / "tls.key", Settings.load(home).secret()))
    return certificates.to_pem(
        certificates.issue(csr, CA, CA_KEY, Profile.CLIENT, common_name="node-ro", days=1)
    ).decode()


def _welcome(home: Path, **changes: Any) -> Path:
    keys = load_node_keys(home / "node.key", Settings.load(home).secret())
    mine = roster_node(
        "ro", roster_key(keys.signing, end=FAR), roster_key(keys.encryption[0], end=FAR), task_forces=("drugs",)
    )
    fields: dict[str, Any] = {
        "node": "ro",
        "certificate_pem": _issued(home),
        "ca_pem": CA_PEM,
        "broker_host": "localhost",
        "broker_port": 5671,
        "vhost": "siex",
        "hub_key": base64.b64encode(HUB.signing.public.public_bytes()).decode(),
        "log_origin": ORIGIN,
        "log_vkey": VKEY,
        "roster": base64.b64encode(sign_roster(Roster(version=1, at=NOW, nodes=(mine,)), HUB.signing)).decode(),
    }
    file = home / "welcome.json"
    file.write_text(Welcome(**fields | changes).model_dump_json())
    return file


@pytest.mark.parametrize("ca_pem", [CA_PEM, CA_PEM + CA_PEM])
async def test_a_welcome_that_holds_is_taken_in(home: Path, ca_pem: str) -> None:
    settings = await setup.welcome(home, _welcome(home, ca_pem=ca_pem))
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
        changes = {"ca_pem": _issued(home)}
    before = (home / "node.json").read_bytes()
    with pytest.raises(WelcomeRefused) as refused:
        await setup.welcome(home, _welcome(home, **changes))
    assert refused.value.next_step
    assert (home / "node.json").read_bytes() == before
    assert not (home / "ca.pem").exists()
