"""TLS contexts that verify: TLS 1.3 only, the peer's certificate and name always checked.

aio-pika's own example of client certificates switches verification off by accident. So a context
is made here and nowhere else, and is asserted before use; but for `asking_context`, which verifies nobody.
"""

import ssl
from datetime import UTC, datetime
from pathlib import Path

from crypto.certificates import check_validity, read_certificate
from crypto.errors import CertificateRefused, TlsUnsafe, WrongPassphrase


def client_context(ca: Path, certificate: Path, key: Path, password: bytes) -> ssl.SSLContext:
    """A context that trusts `ca` alone and shows `certificate`.

    Raises CertificateRefused (own certificate missing or expired: found before any connection),
    WrongPassphrase, TlsUnsafe.
    """
    try:
        check_validity(read_certificate(certificate.read_bytes()), datetime.now(UTC))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(cafile=str(ca))
    except OSError as error:
        raise CertificateRefused(f"{error.filename or ca} does not read: {error.strerror}") from error
    try:
        context.load_cert_chain(str(certificate), str(key), password=password)
    except ssl.SSLError as error:
        raise WrongPassphrase(f"{key} does not open, or is not the key of {certificate}") from error
    except OSError as error:
        raise CertificateRefused(f"{key} does not read: {error.strerror}") from error
    assert_verifying(context)
    return context


def refuse_revoked(context: ssl.SSLContext, crl: Path) -> None:
    """Has the context refuse a peer whose certificate is on the revocation list in `crl` (PEM), from now on.

    A peer of another CA than the list's is refused too: there must be a list for each. Raises CertificateRefused.
    """
    try:
        context.load_verify_locations(cafile=str(crl))
    except OSError as error:
        raise CertificateRefused(f"{crl} does not read as a revocation list") from error
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF


def server_context(authority: str) -> ssl.SSLContext:
    """A client's context that trusts this authority alone (PEM), and shows no certificate.

    Raises CertificateRefused, TlsUnsafe.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(cadata=authority)
    except (ssl.SSLError, ValueError) as error:
        raise CertificateRefused("the hub's authority is no certificate in PEM form") from error
    assert_verifying(context)
    return context


def asking_context() -> ssl.SSLContext:
    """For one question alone: who are you? It verifies nobody, so nothing secret may be said over it, and what
    comes counts only once it was held against what is known by another way.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def assert_verifying(context: ssl.SSLContext) -> None:
    """Raises TlsUnsafe unless the context checks the peer's certificate and name, over TLS 1.3 or later."""
    if context.verify_mode is not ssl.CERT_REQUIRED:
        raise TlsUnsafe("the TLS context does not verify the peer's certificate")
    if not context.check_hostname:
        raise TlsUnsafe("the TLS context does not check the peer's name")
    if context.minimum_version < ssl.TLSVersion.TLSv1_3:
        raise TlsUnsafe("the TLS context allows versions before TLS 1.3")
