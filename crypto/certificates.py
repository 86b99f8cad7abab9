"""A small certification authority for the exchange's TLS: one CA, the broker, the hub's users, the nodes.

Keys are P-256 (RFC 5480), which every TLS stack speaks. The issuer decides what a certificate
says; a request only proves that its maker holds the key. Profiles follow RFC 5280.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from crypto.errors import CertificateRefused

TlsKey = ec.EllipticCurvePrivateKey
COMMON_NAME: Final = re.compile(r"node-[a-z]{2,8}(-[0-9]{1,4})?|hub-[a-z]+|operator-[a-z0-9.-]{1,32}|broker")
_SKEW: Final = timedelta(minutes=10)
# The library reads the parts only when they are asked for: they are, at once, so that nothing is raised later.
_UNREADABLE: Final = (ValueError, InvalidSignature, UnsupportedAlgorithm, x509.InvalidVersion)


class Profile(Enum):
    """What a certificate is for: connecting to the broker, or being the broker."""

    CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
    BROKER = ExtendedKeyUsageOID.SERVER_AUTH


def new_tls_key() -> TlsKey:
    """A fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def create_ca(name: str, key: TlsKey, days: int = 3650, after: x509.Certificate | None = None) -> x509.Certificate:
    """A self-signed CA certificate that may issue leaf certificates and nothing else; it is younger than `after`."""
    subject = _name(name)
    begin = datetime.now(UTC) - _SKEW
    if after is not None:
        begin = max(begin, after.not_valid_before_utc + timedelta(seconds=1))
    return (
        _builder(subject, subject, key.public_key(), days, begin)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def create_cross(new: x509.Certificate, old: x509.Certificate, old_key: TlsKey) -> x509.Certificate:
    """A certificate of the new authority's key by the old one, under the name that both have; good as long as the old.

    Raises CertificateRefused for authorities of two names: what the new one issues would have too long a path.
    """
    key = new.public_key()
    if new.subject != old.subject or not isinstance(key, ec.EllipticCurvePublicKey):
        raise CertificateRefused("an authority takes another's place under the other's name, with a P-256 key")
    return (
        x509.CertificateBuilder()
        .subject_name(new.subject)
        .issuer_name(old.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(new.not_valid_before_utc)
        .not_valid_after(min(new.not_valid_after_utc, old.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(_authority(old), critical=False)
        .sign(old_key, hashes.SHA256())
    )


def create_csr(common_name: str, key: TlsKey) -> x509.CertificateSigningRequest:
    """A request (RFC 2986) for a certificate under this name."""
    return x509.CertificateSigningRequestBuilder().subject_name(_name(common_name)).sign(key, hashes.SHA256())


def issue(
    csr: x509.CertificateSigningRequest,
    ca: x509.Certificate,
    ca_key: TlsKey,
    profile: Profile,
    *,
    common_name: str,
    days: int,
    asked: str | None = None,
    dns: Sequence[str] = (),
    ips: Sequence[str] = (),
) -> x509.Certificate:
    """A certificate for the request's key under `common_name`. Raises CertificateRefused.

    The name, validity, use and host names are the issuer's; the request is for that name, or for `asked`. Whatever
    else it asks for is ignored.
    """
    if not COMMON_NAME.fullmatch(common_name):
        raise CertificateRefused(f"{common_name!r} is not a name of a node, a hub user, an operator or the broker")
    key = check_csr(csr, asked or common_name)
    names = [*(x509.DNSName(name) for name in dns), *(x509.IPAddress(ip_address(ip)) for ip in ips)]
    builder = (
        _builder(_name(common_name), ca.subject, key, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([profile.value]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(_authority(ca), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(ca_key, hashes.SHA256())


@dataclass(frozen=True, slots=True)
class RevokedCertificate:
    """A certificate that no longer counts: its serial number, since when, and why (a reason code of RFC 5280)."""

    serial: int
    at: datetime
    reason: x509.ReasonFlags


def create_crl(
    ca: x509.Certificate, ca_key: TlsKey, revoked: Iterable[RevokedCertificate], number: int, at: datetime
) -> x509.CertificateRevocationList:
    """A revocation list (RFC 5280 section 5) of the CA; of two, the one with the higher number counts.

    It is good for as long as the CA is: a new one is pushed when there is anything new, and one that ran out would
    keep out everybody.
    """
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.subject)
        .last_update(at)
        .next_update(ca.not_valid_after_utc)
        .add_extension(_authority(ca), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for item in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(item.serial).revocation_date(item.at)
        if item.reason is not x509.ReasonFlags.unspecified:
            # RFC 5280 section 5.3.1: absent instead.
            entry = entry.add_extension(x509.CRLReason(item.reason), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(ca_key, hashes.SHA256())


def read_crl(der: bytes, ca: x509.Certificate) -> x509.CertificateRevocationList:
    """The revocation list in `der`, by that CA. Raises CertificateRefused."""
    try:
        crl = x509.load_der_x509_crl(der)
        key = ca.public_key()
        good = isinstance(key, ec.EllipticCurvePublicKey) and crl.is_signature_valid(key)
    except (*_UNREADABLE, TypeError) as error:
        raise CertificateRefused("not a revocation list in DER form") from error
    if not good:
        raise CertificateRefused("a revocation list is not signed by the exchange's CA")
    return crl


def check_csr(csr: x509.CertificateSigningRequest, common_name: str) -> ec.EllipticCurvePublicKey:
    """Its key. Raises CertificateRefused unless it asks for this name, with a P-256 key that has signed it."""
    if _common_name(csr.subject) != common_name:
        raise CertificateRefused(f"the request is for {_common_name(csr.subject)!r}, not for {common_name!r}")
    if not csr.is_signature_valid:
        raise CertificateRefused("the request is not signed by its own key; make a new one")
    key = csr.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CertificateRefused("the request's key is not P-256; make a new one")
    return key


def check_validity(certificate: x509.Certificate, now: datetime) -> None:
    """Raises CertificateRefused, with the dates and the next step, unless valid at `now`."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    name = common_name(certificate)
    if now > end:
        raise CertificateRefused(
            f"the certificate of {name} expired at {end:%Y-%m-%d %H:%M} UTC; enrol again for a new one"
        )
    if now < begin:
        raise CertificateRefused(f"the certificate of {name} is valid from {begin:%Y-%m-%d %H:%M} UTC; check the clock")


def issuer_of(certificate: x509.Certificate, authorities: Sequence[x509.Certificate]) -> x509.Certificate | None:
    """The one of the authorities that has signed the certificate."""
    for authority in authorities:
        try:
            certificate.verify_directly_issued_by(authority)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return authority
    return None


def check_issued(certificate: x509.Certificate, authorities: Sequence[x509.Certificate]) -> None:
    """Raises CertificateRefused unless one of the authorities has signed the certificate."""
    if issuer_of(certificate, authorities) is None:
        raise CertificateRefused(f"the certificate of {common_name(certificate)} is of no authority that is known here")


def common_name(certificate: x509.Certificate) -> str:
    """The subject's common name, which is the broker's user name."""
    return _common_name(certificate.subject)


def host_names(certificate: x509.Certificate) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The DNS names and the IP addresses that a certificate is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return (), ()
    ips = tuple(str(ip) for ip in names.get_values_for_type(x509.IPAddress))
    return tuple(names.get_values_for_type(x509.DNSName)), ips


def digest_of(certificate: x509.Certificate) -> bytes:
    """SHA-256 of the certificate, 32 bytes: its name in short."""
    return certificate.fingerprint(hashes.SHA256())


def to_pem(item: x509.Certificate | x509.CertificateSigningRequest | x509.CertificateRevocationList) -> bytes:
    """PEM."""
    return item.public_bytes(serialization.Encoding.PEM)


def read_certificate(pem: bytes) -> x509.Certificate:
    """Raises CertificateRefused for what is not a PEM certificate."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        _ = (certificate.subject, certificate.public_key(), certificate.not_valid_after_utc)
    except _UNREADABLE as error:
        raise CertificateRefused("not a certificate in PEM form") from error
    return certificate


def read_authorities(pem: bytes) -> list[x509.Certificate]:
    """One or more certificates of authorities. Raises CertificateRefused for anything else in PEM."""
    try:
        found = x509.load_pem_x509_certificates(pem)
        uses = [certificate.extensions.get_extension_for_class(x509.BasicConstraints).value for certificate in found]
        _ = [(certificate.subject, certificate.public_key()) for certificate in found]
    except (*_UNREADABLE, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        raise CertificateRefused("not the certificate of an authority in PEM form") from error
    if not all(use.ca for use in uses):
        raise CertificateRefused("a certificate that may not issue others stands where an authority's should")
    return found


def read_authority(der: bytes) -> x509.Certificate:
    """One certificate of an authority. Raises CertificateRefused for anything else in DER."""
    try:
        certificate = x509.load_der_x509_certificate(der)
    except _UNREADABLE as error:
        raise CertificateRefused("not the certificate of an authority in DER form") from error
    return read_authorities(to_pem(certificate))[0]


def to_der(certificate: x509.Certificate) -> bytes:
    """DER."""
    return certificate.public_bytes(serialization.Encoding.DER)


def read_csr(pem: bytes) -> x509.CertificateSigningRequest:
    """Raises CertificateRefused for what is not a PEM certificate request."""
    try:
        request = x509.load_pem_x509_csr(pem)
        _ = (request.subject, request.public_key(), request.is_signature_valid)
    except _UNREADABLE as error:
        raise CertificateRefused("not a certificate request in PEM form") from error
    return request


def _name(common_name: str) -> x509.Name:
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "SECI Exchange")
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int, begin: datetime | None = None
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin or now - _SKEW)
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority(ca: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
