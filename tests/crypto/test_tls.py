"""TLS contexts: one that would not verify is refused, and a handshake holds only with the right peer."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from crypto import keyfile
from crypto.certificates import (
    Profile,
    RevokedCertificate,
    TlsKey,
    create_ca,
    create_crl,
    create_cross,
    create_csr,
    issue,
    new_tls_key,
    read_certificate,
    read_crl,
    to_pem,
)
from crypto.errors import CertificateRefused, TlsUnsafe, WrongPassphrase
from crypto.keyfile import Secret
from crypto.tls import assert_verifying, client_context, refuse_revoked


class Authority:
    """A CA in a folder, and whom it certified."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        keyfile.generate_key_file(folder / "secret.key")
        self.secret = Secret.from_key_file(folder / "secret.key")
        self.key: TlsKey = new_tls_key()
        self.certificate: x509.Certificate = create_ca("SECI test CA", self.key)
        (folder / "ca.pem").write_bytes(to_pem(self.certificate))

    def certify(self, name: str, profile: Profile, days: int = 1, dns: tuple[str, ...] = ()) -> None:
        """Writes `<name>.pem` and `<name>.key`."""
        key = new_tls_key()
        keyfile.save_tls_key(self.folder / f"{name}.key", key, self.secret)
        certificate = issue(
            create_csr(name, key), self.certificate, self.key, profile, common_name=name, days=days, dns=dns
        )
        (self.folder / f"{name}.pem").write_bytes(to_pem(certificate))

    def client(self, name: str = "node-ro", ca: Path | None = None) -> ssl.SSLContext:
        """A client's context, made by the code under test."""
        key = self.folder / f"{name}.key"
        password = keyfile.tls_password(key, self.secret)
        return client_context(ca or self.folder / "ca.pem", self.folder / f"{name}.pem", key, password)

    def server(self, name: str = "broker") -> ssl.SSLContext:
        """A broker's context: wants a client's certificate of this CA."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        key = self.folder / f"{name}.key"
        context.load_cert_chain(self.folder / f"{name}.pem", key, keyfile.tls_password(key, self.secret).decode())
        context.load_verify_locations(self.folder / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        return context


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    """The exchange's CA, with a broker and a node."""
    authority = Authority(tmp_path / "ours")
    authority.certify("broker", Profile.BROKER, dns=("localhost",))
    authority.certify("node-ro", Profile.CLIENT)
    return authority


@pytest.fixture
def theirs(tmp_path: Path) -> Authority:
    """Somebody else's CA, of the same name."""
    authority = Authority(tmp_path / "theirs")
    authority.certify("broker", Profile.BROKER, dns=("localhost",))
    authority.certify("node-ro", Profile.CLIENT)
    return authority


def handshake(
    client: ssl.SSLContext, server: ssl.SSLContext, name: str = "localhost"
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends of a TLS connection in memory, after one byte has gone each way."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    left = client.wrap_bio(to_client, to_server, server_hostname=name)
    right = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for end in (left, right):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    for sender, receiver in ((left, right), (right, left)):
        sender.write(b"x")
        assert receiver.read(1) == b"x"
    return left, right


def test_a_handshake_holds_over_tls_1_3_with_both_peers_known(ours: Authority) -> None:
    client, server = handshake(ours.client(), ours.server())
    assert client.version() == "TLSv1.3"
    for end, name in ((client, "broker"), (server, "node-ro")):
        peer = end.getpeercert()
        assert peer is not None
        assert (("commonName", name),) in peer["subject"]


def test_a_broker_of_another_ca_is_refused(ours: Authority, theirs: Authority) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(ours.client(), theirs.server())


def test_a_broker_of_another_name_is_refused(ours: Authority) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(ours.client(), ours.server(), name="elsewhere.example.org")


def test_a_node_cannot_stand_as_the_broker(ours: Authority) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(ours.client(), ours.server("node-ro"))


def test_a_client_of_another_ca_is_refused_by_the_broker(ours: Authority, theirs: Authority) -> None:
    stranger = theirs.client(ca=ours.folder / "ca.pem")
    with pytest.raises(ssl.SSLError):
        handshake(stranger, ours.server())


def test_a_broker_of_tls_1_2_is_refused(ours: Authority) -> None:
    server = ours.server()
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        handshake(ours.client(), server)


def no_check(context: ssl.SSLContext) -> None:
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE


def optional_check(context: ssl.SSLContext) -> None:
    context.check_hostname = False
    context.verify_mode = ssl.CERT_OPTIONAL


def no_name(context: ssl.SSLContext) -> None:
    context.check_hostname = False


def older_version(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(no_check, "certificate"), (optional_check, "certificate"), (no_name, "name"), (older_version, "TLS 1.3")],
)
def test_a_context_that_would_not_verify_is_refused(spoil: Callable[[ssl.SSLContext], None], said: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    assert_verifying(context)
    spoil(context)
    with pytest.raises(TlsUnsafe, match=said):
        assert_verifying(context)


def test_a_context_trusts_the_exchange_s_ca_and_no_other(ours: Authority) -> None:
    context = ours.client()
    assert [ca["subject"][-1] for ca in context.get_ca_certs()] == [(("commonName", "SECI test CA"),)]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_an_expired_certificate_is_found_before_any_connection(ours: Authority) -> None:
    expire(ours)
    with pytest.raises(CertificateRefused, match="expired"):
        ours.client()


def expire(authority: Authority) -> None:
    """Gives the node a certificate of its key that ended yesterday."""
    key = keyfile.load_tls_key(authority.folder / "node-ro.key", authority.secret)
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(create_csr("node-ro", key).subject)
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now - timedelta(days=1))
        .sign(authority.key, hashes.SHA256())
    )
    (authority.folder / "node-ro.pem").write_bytes(to_pem(certificate))


@pytest.mark.parametrize("name", ["ca.pem", "node-ro.pem", "node-ro.key"])
def test_a_missing_file_is_named(ours: Authority, name: str) -> None:
    (ours.folder / name).unlink()
    with pytest.raises(CertificateRefused, match=name):
        client_context(ours.folder / "ca.pem", ours.folder / "node-ro.pem", ours.folder / "node-ro.key", b"x")


def test_a_wrong_password_is_refused(ours: Authority) -> None:
    with pytest.raises(WrongPassphrase):
        client_context(ours.folder / "ca.pem", ours.folder / "node-ro.pem", ours.folder / "node-ro.key", b"wrong")


def test_a_key_of_another_certificate_is_refused(ours: Authority) -> None:
    password = keyfile.tls_password(ours.folder / "broker.key", ours.secret)
    with pytest.raises(WrongPassphrase, match="not the key of"):
        client_context(ours.folder / "ca.pem", ours.folder / "node-ro.pem", ours.folder / "broker.key", password)


def test_a_ca_file_that_is_none_is_refused(ours: Authority) -> None:
    (ours.folder / "ca.pem").write_text("hello")
    with pytest.raises(CertificateRefused):
        ours.client()


def test_a_broker_of_another_ca_is_taken_once_ours_vouches_for_that(ours: Authority, theirs: Authority) -> None:
    # Neither may have another authority below it: of the same name, it does not count.
    cross = to_pem(create_cross(theirs.certificate, ours.certificate, ours.key))
    for name, more in (("broker.pem", cross), ("ca.pem", to_pem(ours.certificate))):
        with (theirs.folder / name).open("ab") as file:
            file.write(more)
    handshake(ours.client(), theirs.server())
    handshake(theirs.client(), theirs.server())


def test_a_broker_on_the_newest_revocation_list_is_refused(ours: Authority) -> None:
    context, broker = ours.client(), read_certificate((ours.folder / "broker.pem").read_bytes())
    node = read_certificate((ours.folder / "node-ro.pem").read_bytes())
    now = datetime.now(UTC)
    for number, revoked in enumerate(([], [node], [node, broker])):
        listed = [RevokedCertificate(one.serial_number, now, x509.ReasonFlags.key_compromise) for one in revoked]
        crl = create_crl(ours.certificate, ours.key, listed, number, now - timedelta(seconds=9 - number))
        assert read_crl(crl.public_bytes(Encoding.DER), ours.certificate) == crl
        (ours.folder / "crl.pem").write_bytes(to_pem(crl))
        refuse_revoked(context, ours.folder / "crl.pem")
        if broker in revoked:
            with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
                handshake(context, ours.server())
        else:
            handshake(context, ours.server())


def test_a_revocation_list_of_another_ca_or_of_no_ca_is_refused(ours: Authority, theirs: Authority) -> None:
    crl = create_crl(theirs.certificate, theirs.key, [], 1, datetime.now(UTC))
    for der in (crl.public_bytes(Encoding.DER), b"", b"\x30\x00"):
        with pytest.raises(CertificateRefused):
            read_crl(der, ours.certificate)
    with pytest.raises(CertificateRefused):
        refuse_revoked(ours.client(), ours.folder / "secret.key")
