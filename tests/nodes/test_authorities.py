"""A node takes over the authorities that the hub names, tells it so, and asks for a certificate of the newest."""

from pathlib import Path

import pytest

from crypto.authorities import sign_authorities
from crypto.certificates import (
    Profile,
    create_ca,
    create_cross,
    create_csr,
    digest_of,
    issue,
    new_tls_key,
    read_authorities,
    to_der,
    to_pem,
)
from crypto.errors import CertificateRefused, SignatureInvalid
from crypto.keyfile import load_tls_key
from crypto.keys import SigningKey
from nodes import authorities, renewal, setup
from nodes.settings import Settings
from schemas.authorities import Authorities
from tests.crypto.people import BG, HUB
from tests.nodes.welcomes import CA, CA_KEY, welcome

KEY = new_tls_key()
NEW = create_ca("CA", KEY, after=CA)
CROSS = to_der(create_cross(NEW, CA, CA_KEY))
ROLLED = Authorities(authorities=(to_der(CA), to_der(NEW)), crosses=(CROSS,))
SWITCHED = Authorities(authorities=(to_der(NEW), to_der(CA)), crosses=(CROSS,))
FINISHED = Authorities(authorities=(to_der(NEW),))


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    """Romania's, enrolled under the old authority."""
    home = tmp_path / "ro"
    setup.create(home, "ro")
    return await setup.welcome(home, welcome(home))


def _hear(settings: Settings, told: Authorities, by: SigningKey = HUB.signing) -> bool:
    return authorities.take_in(settings, sign_authorities(told, by), HUB.signing.public)


def _held(settings: Settings) -> list[bytes]:
    return [digest_of(one) for one in read_authorities((settings.home / "ca.pem").read_bytes())]


async def test_a_node_follows_and_says_so_once(settings: Settings) -> None:
    assert authorities.to_tell(settings) is None
    for told, tls in ((ROLLED, False), (SWITCHED, True)):
        assert _hear(settings, told)
        assert renewal.is_behind(settings.home) == tls
        report = authorities.to_tell(settings)
        assert report is not None
        assert (list(report.authorities), report.issuer) == (_held(settings), digest_of(CA))
        authorities.told(settings, report)
        assert authorities.to_tell(settings) is None
        # The same again changes nothing; but the hub asks.
        assert not _hear(settings, told)
        assert authorities.to_tell(settings) is not None
    # Without a certificate of the new one the old one stays: it is the way to the hub.
    assert not _hear(settings, FINISHED)
    assert len(_held(settings)) == 2
    csr = create_csr("node-ro", load_tls_key(settings.home / "tls.key", settings.secret()))
    certificate = issue(csr, NEW, KEY, Profile.CLIENT, common_name="node-ro", days=1)
    (settings.home / "tls.pem").write_bytes(to_pem(certificate))
    report = authorities.to_tell(settings)
    assert report is not None and report.issuer == digest_of(NEW)
    assert _hear(settings, FINISHED)
    assert _held(settings) == [digest_of(NEW)]
    assert not renewal.is_behind(settings.home)


def test_what_is_not_the_hub_s_or_not_vouched_for_changes_nothing(settings: Settings) -> None:
    before = (settings.home / "ca.pem").read_bytes()
    with pytest.raises(SignatureInvalid):
        _hear(settings, ROLLED, BG.signing)
    with pytest.raises(CertificateRefused):
        _hear(settings, ROLLED.model_copy(update={"crosses": ()}))
    assert (settings.home / "ca.pem").read_bytes() == before
    assert authorities.to_tell(settings) is None
