"""What several rooms' tests share: a throw-away certificate authority and real, private services."""

import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from crypto import certificates
from crypto.certificates import Profile, TlsKey
from deploy.local.broker import TlsFiles
from deploy.local.services import Services, running
from hub.topology import HUB_USERS, definitions
from tests.hub.ownhub import OwnHub


@dataclass(frozen=True)
class Authority:
    """A certificate authority for one test run; everything that it issues is kept in `folder`."""

    folder: Path
    key: TlsKey
    certificate: x509.Certificate

    @classmethod
    def create(cls, folder: Path) -> "Authority":
        """A new authority, with its certificate in `ca.pem`."""
        key = certificates.new_tls_key()
        certificate = certificates.create_ca("SECI test CA", key, days=1)
        (folder / "ca.pem").write_bytes(certificates.to_pem(certificate))
        return cls(folder, key, certificate)

    def issue(self, name: str, profile: Profile = Profile.CLIENT) -> TlsFiles:
        """A certificate and key under `name`; the broker's is valid for this machine's loopback."""
        key = certificates.new_tls_key()
        csr = certificates.create_csr(name, key)
        names = {"dns": ["localhost"], "ips": ["127.0.0.1"]} if profile is Profile.BROKER else {}
        certificate = certificates.issue(csr, self.certificate, self.key, profile, common_name=name, days=1, **names)
        files = TlsFiles(self.folder / "ca.pem", self.folder / f"{name}.pem", self.folder / f"{name}.key")
        files.cert.write_bytes(certificates.to_pem(certificate))
        files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        files.key.chmod(0o600)
        return files

    def client(self, name: str | None) -> ssl.SSLContext:
        """A client's TLS context that trusts this authority, with a certificate if it has a name."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        if name is not None:
            files = self.issue(name)
            context.load_cert_chain(files.cert, files.key)
        return context


@pytest.fixture(autouse=True)
def _logs_as_at_first() -> Iterator[None]:
    """A program that logs tells its errors in another way: what one test configures is none of the next one's."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that the services' broker trusts."""
    return Authority.create(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Services]:
    """A real broker and database for the whole run. A test that stops one starts it again."""
    tls = authority.issue("broker", Profile.BROKER)
    with running(tmp_path_factory.mktemp("services"), tls, erase_after=True) as found:
        yield found


@pytest.fixture(scope="module")
def provisioned(services: Services) -> Iterator[str]:
    """A vhost with all that two nodes, bg and ro, and the hub have on the broker."""
    vhost, nodes = "provisioned", ("bg", "ro")
    services.broker.run_ctl(["import_definitions"], stdin=json.dumps(definitions(nodes, vhost)))
    yield vhost
    services.broker.run_ctl(["delete_vhost", vhost])
    for user in (*HUB_USERS, *(f"node-{node}" for node in nodes)):
        services.broker.run_ctl(["delete_user", user])


@pytest.fixture(scope="session")
def first_hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the home of the first hub of its own is kept as it was when it was new."""
    return tmp_path_factory.mktemp("first") / "hub"


@pytest.fixture
def own(services: Services, tmp_path: Path, first_hub: Path) -> OwnHub:
    """A hub whose ledger is empty and may be ruined."""
    return OwnHub(tmp_path, services.postgres, first_hub)
