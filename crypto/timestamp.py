"""RFC 3161 timestamps: an authority outside of the exchange (a TSA) signs that some bytes existed at a time.

What is verified here verifies with `openssl ts -verify` too. Revocation is not looked at: whoever trusts a root is to
take it out of the file when it is not to be trusted any more.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from rfc3161_client import (
    Accuracy,
    HashAlgorithm,
    MessageImprint,
    PKIStatus,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from crypto.der import with_sorted_certificates
from crypto.errors import (
    TimestampForeign,
    TimestampMalformed,
    TimestampNotGranted,
    TimestampUntrusted,
    TsaRootsUnusable,
)

T = TypeVar("T")
MAX_RESPONSE: Final = 32_768
MAX_ROOTS: Final = 1_048_576
_DIGESTS: Final = {
    x509.ObjectIdentifier("2.16.840.1.101.3.4.2.1"): "sha256",
    x509.ObjectIdentifier("2.16.840.1.101.3.4.2.2"): "sha384",
    x509.ObjectIdentifier("2.16.840.1.101.3.4.2.3"): "sha512",
}


@dataclass(frozen=True, slots=True)
class Question:
    """What to send to a TSA (DER), and the nonce that its answer must have."""

    request: bytes
    nonce: int


@dataclass(frozen=True, slots=True)
class Timestamp:
    """What a TSA signed: when (ms since the epoch), give or take `within` (ms); `tsa` is its certificate's subject."""

    at: int
    within: int
    tsa: str


def ask(data: bytes) -> Question:
    """A question for a timestamp over the SHA-256 of `data`; the TSA learns nothing else of it."""
    request = TimestampRequestBuilder().data(data).hash_algorithm(HashAlgorithm.SHA256).build()
    return Question(request.as_bytes(), cast(int, request.nonce))


def read_roots(pem: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates that a TSA's own may go back to. Raises TsaRootsUnusable."""
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TsaRootsUnusable("no certificates in PEM") from error


def verify_timestamp(
    response: bytes, data: bytes, roots: Sequence[x509.Certificate], nonce: int | None = None
) -> Timestamp:
    """What a TSA's answer (DER) proves of `data`.

    Raises TimestampMalformed, TimestampNotGranted, TimestampForeign (other data or nonce), TimestampUntrusted.
    """
    if len(response) > MAX_RESPONSE:
        raise TimestampMalformed(f"the answer is larger than {MAX_RESPONSE} bytes")
    decoded = _read(lambda: decode_timestamp_response(with_sorted_certificates(response)))
    if decoded.status != PKIStatus.GRANTED:
        raise TimestampNotGranted(f"the TSA gave no timestamp: status {decoded.status}")
    if nonce is not None and _read(lambda: decoded.tst_info.nonce) != nonce:
        raise TimestampForeign("the timestamp is the answer to another question: its nonce is not ours")
    if not _is_of(_read(lambda: decoded.tst_info.message_imprint), data):
        raise TimestampForeign("the timestamp is of other bytes")
    _check_signature(decoded, data, roots)
    return _read(lambda: _said(decoded))


def _read(part: Callable[[], T]) -> T:
    """A part of what was decoded, some of which is read only when it is asked for."""
    try:
        return part()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension) as error:
        raise TimestampMalformed("the answer is no RFC 3161 response with a timestamp") from error


def _is_of(imprint: MessageImprint, data: bytes) -> bool:
    name = _DIGESTS.get(imprint.hash_algorithm)
    return name is not None and hashlib.new(name, data).digest() == imprint.message


def _check_signature(decoded: TimeStampResponse, data: bytes, roots: Sequence[x509.Certificate]) -> None:
    if not roots:
        raise TimestampUntrusted("no root is trusted")
    try:
        _read(lambda: VerifierBuilder(roots=list(roots)).build().verify_message(decoded, data))
    except VerificationError as error:
        raise TimestampUntrusted("the signature does not go back to a root that is trusted") from error
    # RFC 3161 asks for it (2.4.2) and openssl insists, but the package does not look: and what openssl refuses is of no
    # use to an auditor.
    der = _read(lambda: _signer(decoded)).public_bytes(Encoding.DER)
    token = decoded.time_stamp_token()
    if not any(hashlib.new(name, der).digest() in token for name in ("sha1", *_DIGESTS.values())):
        raise TimestampUntrusted("the timestamp does not name the certificate that signed it by its digest")


def _signer(decoded: TimeStampResponse) -> x509.Certificate:
    found = decoded.signed_data
    (signer,) = found.signer_infos
    certificates = [x509.load_der_x509_certificate(der) for der in found.certificates]
    names = (signer.issuer, signer.serial_number)
    return next(item for item in certificates if (item.issuer, item.serial_number) == names)


def _said(decoded: TimeStampResponse) -> Timestamp:
    info = decoded.tst_info
    accuracy: Accuracy | None = info.accuracy
    within = 0
    if accuracy is not None:
        within = (accuracy.seconds or 0) * 1000 + (accuracy.millis or 0) + bool(accuracy.micros)
    subject = _signer(decoded).subject.rfc4514_string()
    # It may be shown on a terminal.
    return Timestamp(
        round(info.gen_time.timestamp() * 1000), within, "".join(c if c.isprintable() else "?" for c in subject)
    )
