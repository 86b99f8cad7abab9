"""Certificates: the issuer decides what one says, and other verifiers than ours take them for what they are."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from crypto.certificates import (
    Profile,
    check_validity,
    common_name,
    create_ca,
    create_csr,
    issue,
    new_tls_key,
    read_certificate,
    read_csr,
    to_pem,
)
from crypto.errors import CertificateRefused

CA_KEY = new_tls_key()
CA = create_ca("SECI test CA", CA_KEY)
KEY = new_tls_key()
NODE = issue(create_csr("node-ro", KEY), CA, CA_KEY, Profile.CLIENT, common_name="node-ro", days=30)
BROKER = issue(
    create_csr("broker", KEY),
    CA,
    CA_KEY,
    Profile.BROKER,
    common_name="broker",
    days=30,
    dns=["hub.example.org"],
    ips=["127.0.0.1"],
)


def policy(ca: x509.Certificate = CA, at: datetime | None = None) -> PolicyBuilder:
    """The rules of `cryptography`'s own verifier, but that a client's certificate needs no host name."""
    ee = ExtensionPolicy.webpki_defaults_ee().may_be_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    builder = PolicyBuilder().store(Store([ca])).time(at or datetime.now(UTC))
    return builder.extension_policies(ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=ee)


def test_another_verifier_takes_the_broker_s_certificate_under_its_names_only() -> None:
    for name in (x509.DNSName("hub.example.org"), x509.IPAddress(ip_address("127.0.0.1"))):
        chain = PolicyBuilder().store(Store([CA])).build_server_verifier(name).verify(BROKER, [])
        assert chain == [BROKER, CA]
    with pytest.raises(VerificationError):
        PolicyBuilder().store(Store([CA])).build_server_verifier(x509.DNSName("broker")).verify(BROKER, [])


def test_another_verifier_takes_a_node_s_certificate_as_a_client_s_and_not_as_a_server_s() -> None:
    assert policy().build_client_verifier().verify(NODE, []).chain == [NODE, CA]
    with pytest.raises(VerificationError):
        policy().build_client_verifier().verify(BROKER, [])
    with pytest.raises(VerificationError):
        PolicyBuilder().store(Store([CA])).build_server_verifier(x509.DNSName("node-ro")).verify(NODE, [])


def test_another_verifier_refuses_it_under_another_ca_or_at_another_time() -> None:
    with pytest.raises(VerificationError):
        policy(create_ca("SECI test CA", new_tls_key())).build_client_verifier().verify(NODE, [])
    for days in (-1, 31):
        with pytest.raises(VerificationError):
            policy(at=datetime.now(UTC) + timedelta(days=days)).build_client_verifier().verify(NODE, [])


def test_a_node_cannot_issue_certificates() -> None:
    forged = issue(create_csr("node-tr", new_tls_key()), NODE, KEY, Profile.CLIENT, common_name="node-tr", days=1)
    with pytest.raises(VerificationError):
        policy().build_client_verifier().verify(forged, [NODE])


def test_the_ca_may_sign_leaves_and_nothing_else() -> None:
    basic = CA.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = CA.extensions.get_extension_for_class(x509.KeyUsage)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    assert (usage.critical, usage.value.key_cert_sign, usage.value.digital_signature) == (True, True, False)
    CA.verify_directly_issued_by(CA)


@pytest.mark.parametrize(
    ("certificate", "purpose"),
    [(NODE, ExtendedKeyUsageOID.CLIENT_AUTH), (BROKER, ExtendedKeyUsageOID.SERVER_AUTH)],
    ids=["node", "broker"],
)
def test_a_leaf_has_one_purpose_and_is_no_ca(certificate: x509.Certificate, purpose: x509.ObjectIdentifier) -> None:
    extensions = certificate.extensions
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [purpose]
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_cert_sign, usage.crl_sign) == (True, False, False)
    assert certificate.public_key() == KEY.public_key()
    certificate.verify_directly_issued_by(CA)


def test_what_the_request_asks_for_beside_its_key_is_ignored() -> None:
    greedy = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node-ro")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hub.example.org")]), critical=False)
        .sign(KEY, hashes.SHA256())
    )
    found = issue(greedy, CA, CA_KEY, Profile.CLIENT, common_name="node-ro", days=1)
    assert found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    with pytest.raises(x509.ExtensionNotFound):
        found.extensions.get_extension_for_class(x509.SubjectAlternativeName)


@pytest.mark.parametrize(
    "name", ["ro", "node-", "node-RO", "node-r", "node-ro\n", "node-romaniaxy", "admin", "", "node-ro.x"]
)
def test_a_name_that_is_none_of_the_exchange_s_is_refused(name: str) -> None:
    request = create_csr("node-ro", KEY)
    with pytest.raises(CertificateRefused, match="not a name"):
        issue(request, CA, CA_KEY, Profile.CLIENT, common_name=name, days=1)


def test_a_request_for_another_name_is_refused() -> None:
    with pytest.raises(CertificateRefused, match="'node-tr'"):
        issue(create_csr("node-tr", KEY), CA, CA_KEY, Profile.CLIENT, common_name="node-ro", days=1)


def test_a_request_without_a_name_is_refused() -> None:
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(KEY, hashes.SHA256())
    with pytest.raises(CertificateRefused, match="not for 'node-ro'"):
        issue(request, CA, CA_KEY, Profile.CLIENT, common_name="node-ro", days=1)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-384", "secp256k1", "RSA"],
)
def test_a_key_that_is_not_p256_is_refused(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    builder = x509.CertificateSigningRequestBuilder().subject_name(create_csr("node-ro", KEY).subject)
    with pytest.raises(CertificateRefused, match="P-256"):
        issue(builder.sign(key, hashes.SHA256()), CA, CA_KEY, Profile.CLIENT, common_name="node-ro", days=1)


def test_an_ed25519_key_is_refused() -> None:
    builder = x509.CertificateSigningRequestBuilder().subject_name(create_csr("node-ro", KEY).subject)
    request = builder.sign(ed25519.Ed25519PrivateKey.generate(), None)
    with pytest.raises(CertificateRefused, match="P-256"):
        issue(request, CA, CA_KEY, Profile.CLIENT, common_name="node-ro", days=1)


def test_a_tampered_request_is_refused() -> None:
    mine, another = (
        key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        for key in (KEY, new_tls_key())
    )
    whole = create_csr("node-ro", KEY).public_bytes(serialization.Encoding.DER)
    tampered = x509.load_der_x509_csr(whole.replace(mine, another))
    with pytest.raises(CertificateRefused, match="own key"):
        issue(tampered, CA, CA_KEY, Profile.CLIENT, common_name="node-ro", days=1)
    renamed = x509.load_der_x509_csr(
        create_csr("node-tr", KEY).public_bytes(serialization.Encoding.DER).replace(b"node-tr", b"node-ro")
    )
    with pytest.raises(CertificateRefused, match="own key"):
        issue(renamed, CA, CA_KEY, Profile.CLIENT, common_name="node-ro", days=1)


def test_validity_is_checked_at_both_ends_with_the_next_step() -> None:
    begin, end = NODE.not_valid_before_utc, NODE.not_valid_after_utc
    for moment in (begin, datetime.now(UTC), end):
        check_validity(NODE, moment)
    with pytest.raises(CertificateRefused, match=r"node-ro expired at .*enrol again"):
        check_validity(NODE, end + timedelta(seconds=1))
    with pytest.raises(CertificateRefused, match=r"node-ro is valid from .*clock"):
        check_validity(NODE, begin - timedelta(seconds=1))


def test_a_certificate_lasts_as_long_as_was_said_and_begins_a_little_before_now() -> None:
    now = datetime.now(UTC)
    found = issue(create_csr("node-ro", KEY), CA, CA_KEY, Profile.CLIENT, common_name="node-ro", days=30)
    assert timedelta(0) < now - found.not_valid_before_utc < timedelta(minutes=15)
    assert timedelta(days=29) < found.not_valid_after_utc - now <= timedelta(days=30, seconds=1)


def test_certificates_and_requests_come_back_from_pem() -> None:
    request = create_csr("node-ro", KEY)
    assert read_certificate(to_pem(NODE)) == NODE
    assert read_csr(to_pem(request)) == request
    assert common_name(NODE) == "node-ro"


@pytest.mark.parametrize(
    "pem", [b"", b"hello", to_pem(NODE)[:-40], b"\xff" * 100], ids=["none", "text", "half", "junk"]
)
def test_what_is_no_pem_is_refused(pem: bytes) -> None:
    with pytest.raises(CertificateRefused, match="PEM"):
        read_certificate(pem)
    with pytest.raises(CertificateRefused, match="PEM"):
        read_csr(pem)


@pytest.mark.parametrize(
    ("part", "other"),
    [
        (b"\x0c\x0dSECI Exchange", b"\x0e\x0dSECI Exchange"),  # a name of a type that is none
        (b"\x2a\x86\x48\xce\x3d\x02\x01", b"\x2c\x86\x48\xce\x3d\x02\x01"),  # a key of an unknown kind
        (b"\x03\x42\x00\x04", b"\x03\x42\x00\x05"),  # a point that is none
    ],
    ids=["name", "kind of key", "point"],
)
@pytest.mark.parametrize("read", [read_certificate, read_csr])
def test_what_the_library_would_read_later_is_refused_at_once(
    read: Callable[[bytes], object], part: bytes, other: bytes
) -> None:
    item = NODE if read is read_certificate else create_csr("node-ro", KEY)
    der = item.public_bytes(serialization.Encoding.DER)
    assert part in der
    kind = b"CERTIFICATE" if read is read_certificate else b"CERTIFICATE REQUEST"
    frame = b"-----%s " + kind + b"-----\n"
    pem = frame % b"BEGIN" + base64.encodebytes(der.replace(part, other)) + frame % b"END"
    with pytest.raises(CertificateRefused, match="PEM"):
        read(pem)


def test_serial_numbers_differ() -> None:
    assert len({CA.serial_number, NODE.serial_number, BROKER.serial_number}) == 3


def test_a_request_of_a_version_that_is_none_is_refused() -> None:
    der = create_csr("ro", new_tls_key()).public_bytes(serialization.Encoding.DER)
    strange = base64.encodebytes(der.replace(b"\x02\x01\x00", b"\x02\x01\x09", 1))
    pem = b"-----BEGIN CERTIFICATE REQUEST-----\n" + strange + b"-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises(CertificateRefused):
        read_csr(pem)
