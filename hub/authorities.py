"""The hub's certification authority, and how another takes its place: files of the home, one step after another.

    ca.pem  [old]       -> `roll`    a new key and certificate, and one of that key by the old one (crypto/authorities)
            [old, new]  -> `switch`  the new one issues; the old one is trusted while anybody has a certificate of it
            [new, old]  -> `finish`  the old one is trusted no more
            [new]

The first in ca.pem issues, ca.key is its key. Killed anywhere, a step goes on when it is taken again.

ca.next.key    the new one's key, until it issues
ca.cross.pem   the new one, and its certificate by the old one, until the old one is no more
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography import x509

from crypto import certificates, keyfile
from crypto.certificates import TlsKey
from crypto.errors import CertificateRefused
from crypto.keyfile import Secret, write_private
from schemas.authorities import Authorities

CA: Final = "ca"
_FILE: Final = f"{CA}.pem"
_CROSS: Final = f"{CA}.cross.pem"


class Stage(StrEnum):
    """How far one authority has taken another's place."""

    SETTLED = "settled"
    ROLLED = "rolled"
    SWITCHED = "switched"


@dataclass(frozen=True, slots=True)
class Issuing:
    """The authority that issues, and its key."""

    certificate: x509.Certificate
    key: TlsKey


@dataclass(frozen=True, slots=True)
class Known:
    """The authorities that are trusted, the one that issues first; and what the newer one has of the older."""

    authorities: tuple[x509.Certificate, ...]
    cross: x509.Certificate | None

    @property
    def stage(self) -> Stage:
        """What was done last."""
        if len(self.authorities) == 1:
            return Stage.SETTLED
        return Stage.SWITCHED if self.newest == self.authorities[0] else Stage.ROLLED

    @property
    def newest(self) -> x509.Certificate:
        """The youngest of the authorities: the one that issues, or will."""
        return max(self.authorities, key=lambda one: one.not_valid_before_utc)

    def news(self) -> Authorities:
        """What the nodes are told."""
        crosses = () if self.cross is None else (certificates.to_der(self.cross),)
        return Authorities(authorities=tuple(certificates.to_der(one) for one in self.authorities), crosses=crosses)


def known(home: Path) -> Known:
    """The authorities of the home. Raises CertificateRefused, OSError."""
    authorities = tuple(certificates.read_authorities((home / _FILE).read_bytes()))
    prepared = _prepared(home)
    return Known(authorities, None if prepared is None or len(authorities) == 1 else prepared[1])


def issuing(home: Path, secret: Secret) -> Issuing:
    """The authority whose key is in the home. Raises CertificateRefused, KeyFileRefused, WrongPassphrase, OSError."""
    key = keyfile.load_tls_key(home / f"{CA}.key", secret)
    # By its key: between two files that are put in place, the first in ca.pem may be the other one.
    for one in known(home).authorities:
        if one.public_key() == key.public_key():
            return Issuing(one, key)
    raise CertificateRefused("ca.key is not the key of any authority in ca.pem; restore both from the same backup")


def prepare(home: Path, secret: Secret) -> x509.Certificate:
    """Makes the authority that is to take the old one's place, and its certificate by the old one: not trusted yet.

    Raises CertificateRefused, KeyFileRefused, WrongPassphrase, OSError.
    """
    prepared, now = _prepared(home), known(home)
    # One that a `finish` which was killed has left is the authority of today.
    if prepared is not None and (now.stage is Stage.ROLLED or prepared[0] not in now.authorities):
        return prepared[0]
    old, file = issuing(home, secret), home / f"{CA}.next.key"
    if not file.exists():
        keyfile.save_tls_key(file, certificates.new_tls_key(), secret)
    key = keyfile.load_tls_key(file, secret)
    new = certificates.create_ca(certificates.common_name(old.certificate), key, after=old.certificate)
    cross = certificates.create_cross(new, old.certificate, old.key)
    write_private(home / _CROSS, certificates.to_pem(new) + certificates.to_pem(cross))
    return new


def trust_both(home: Path) -> None:
    """The last of `roll`: what was prepared is trusted. Raises CertificateRefused, OSError."""
    prepared, now = _prepared(home), known(home)
    if prepared is not None and prepared[0] not in now.authorities:
        _write(home, (*now.authorities, prepared[0]))


def next_key(home: Path, secret: Secret) -> Issuing:
    """The authority that is to issue next. Raises CertificateRefused, KeyFileRefused, WrongPassphrase, OSError."""
    return Issuing(known(home).newest, keyfile.load_tls_key(home / f"{CA}.next.key", secret))


def is_decided(home: Path) -> bool:
    """Whether `switch` was begun, and is to be gone on with."""
    return (home / f"{CA}.next.pem").exists()


def let_newest_issue(home: Path) -> None:
    """The first of `switch`: from now on the newest issues, and the old one's key is gone.

    Raises CertificateRefused, OSError.
    """
    now = known(home)
    if now.stage is Stage.ROLLED and not is_decided(home):
        both = sorted(now.authorities, key=lambda one: one.not_valid_before_utc, reverse=True)
        write_private(home / f"{CA}.next.pem", b"".join(certificates.to_pem(one) for one in both))
    keyfile.put_tls(home, CA)


def trust_newest(home: Path) -> None:
    """`finish`: the newest alone is trusted. Raises CertificateRefused, OSError."""
    _write(home, (known(home).newest,))
    (home / _CROSS).unlink(missing_ok=True)


def cross_for(home: Path, certificate: x509.Certificate) -> bytes:
    """PEM that goes behind a broker's certificate of the newest, for who trusts only the old one; or nothing."""
    now = known(home)
    if now.cross is None or certificates.issuer_of(certificate, [now.newest]) is None:
        return b""
    return certificates.to_pem(now.cross)


def _prepared(home: Path) -> tuple[x509.Certificate, x509.Certificate] | None:
    file = home / _CROSS
    if not file.exists():
        return None
    new, cross = certificates.read_authorities(file.read_bytes())
    return new, cross


def _write(home: Path, authorities: tuple[x509.Certificate, ...]) -> None:
    write_private(home / _FILE, b"".join(certificates.to_pem(one) for one in authorities))
