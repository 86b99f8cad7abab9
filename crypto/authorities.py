"""One certification authority takes the place of another: what the hub says of it, and what a node may believe.

The new authority has the name of the old one, so the certificate of its key by the old one is self-issued (RFC 5280
section 6.1) and counts for no length of path; RFC 4210 section 4.4 calls it NewWithOld. There is no OldWithNew: who
trusts only the new one must not come to trust the old one again.
"""

from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from crypto import cose
from crypto.certificates import issuer_of, read_authority
from crypto.errors import CertificateRefused, TooLarge
from crypto.keys import SigningKey, VerifyKey
from crypto.trust import Trust
from schemas.authorities import Authorities, AuthoritiesHeld

AUTHORITIES_TYPE: Final = "application/vnd.seci.authorities+cbor"
HELD_TYPE: Final = "application/vnd.seci.authorities-held+cbor"
MAX_AUTHORITIES: Final = 32 * 1024
Certificates = Sequence[x509.Certificate]


def sign_authorities(told: Authorities, hub: SigningKey) -> bytes:
    """The hub's word on its authorities."""
    return cose.sign1(told.to_bytes(), AUTHORITIES_TYPE, hub)


def open_authorities(data: bytes, hub: VerifyKey) -> Authorities:
    """Raises TooLarge, EnvelopeMalformed, AlgorithmRefused, SignatureInvalid, ControlRefused."""
    signed = cose.parse_sign1(_bounded(data), AUTHORITIES_TYPE)
    signed.verify(hub)
    return Authorities.from_bytes(signed.payload)


def signer_of_authorities(data: bytes) -> bytes:
    """The id of the key that the hub's word claims to be signed with. Raises EnvelopeMalformed, AlgorithmRefused."""
    return cose.parse_sign1(data, AUTHORITIES_TYPE).kid


def sign_held(held: AuthoritiesHeld, node: SigningKey) -> bytes:
    """A node's word on what it trusts. Raises HsmUnavailable."""
    return cose.sign1(held.to_bytes(), HELD_TYPE, node)


def open_held(data: bytes, trust: Trust) -> AuthoritiesHeld:
    """Raises TooLarge, EnvelopeMalformed, AlgorithmRefused, SignatureInvalid, SenderUnknown, KeyUnknown, KeyNotValid,
    ControlRefused."""
    signed = cose.parse_sign1(_bounded(data), HELD_TYPE)
    held = AuthoritiesHeld.from_bytes(signed.payload)
    signed.verify(trust.signing_key(held.node, signed.kid, held.at))
    return held


def signer_of_held(data: bytes) -> bytes:
    """The id of the key that a node's word claims to be signed with. Raises EnvelopeMalformed, AlgorithmRefused."""
    return cose.parse_sign1(data, HELD_TYPE).kid


def successors(held: Certificates, told: Authorities) -> list[x509.Certificate]:
    """The authorities to trust from now on, by one who trusts `held` and was told; the one that issues is the first.

    A new one needs a certificate by an older one that is trusted already. Trust goes from the older to the younger
    and never back: of what was said before, and comes again, nothing is believed. Raises CertificateRefused.
    """
    said = [read_authority(der) for der in told.authorities]
    crosses = [read_authority(der) for der in told.crosses]
    if _age(said[0]) < _age(held[0]) or _youngest(said) < _youngest(held):
        return list(held)
    for new in said:
        if new not in held and not any(_leads_to(cross, new, held) for cross in crosses):
            raise CertificateRefused("the hub names an authority that none which is trusted here has vouched for")
    return said


def _leads_to(cross: x509.Certificate, new: x509.Certificate, held: Certificates) -> bool:
    older = issuer_of(cross, held)
    return older is not None and _age(older) < _age(new) and _identity(cross) == _identity(new)


def _identity(certificate: x509.Certificate) -> tuple[bytes, bytes]:
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return certificate.subject.public_bytes(), key


def _age(certificate: x509.Certificate) -> float:
    return certificate.not_valid_before_utc.timestamp()


def _youngest(certificates: Certificates) -> float:
    return max(_age(certificate) for certificate in certificates)


def _bounded(data: bytes) -> bytes:
    if len(data) > MAX_AUTHORITIES:
        raise TooLarge(f"a word on authorities has at most {MAX_AUTHORITIES} bytes; this one has {len(data)}")
    return data
