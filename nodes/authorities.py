"""Which certification authorities this node trusts: one takes the place of another while messages go on.

    the hub names them, signed -> a new one that an older one vouches for comes into ca.pem -> the link uses it
        -> a certificate of the one that issues now is asked for (`renewal`) -> the hub is told what is held

ca.pem            the authorities; the first is the one that issues
authorities.told  what the hub was told last of what is held: it is told again whenever that is something else
"""

import time
from pathlib import Path
from typing import Final

from cryptography import x509

from crypto import certificates
from crypto.authorities import open_authorities, successors
from crypto.keyfile import write_private
from crypto.keys import VerifyKey
from crypto.log import log
from nodes.settings import Settings
from schemas.authorities import AuthoritiesHeld

FILE: Final = "ca.pem"


def take_in(settings: Settings, body: bytes, hub: VerifyKey) -> bool:
    """Takes in what the hub, which has that key, says of its authorities.

    Whether anything is trusted now that was not, or not any more.

    Raises CertificateRefused, SignatureInvalid and what else `open_authorities` does, OSError.
    """
    held = _held(settings.home)
    told = successors(held, open_authorities(body, hub))
    own = certificates.issuer_of(_own(settings.home), held)
    if own is not None and own not in told:
        # Without a certificate of another, the way to the hub would be lost.
        log.warning("authority_kept", next="`seci-node renew --what tls`")
        told.append(own)
    if told != held:
        write_private(settings.home / FILE, b"".join(certificates.to_pem(one) for one in told))
        log.warning("authorities_changed", authorities=[certificates.digest_of(one).hex()[:16] for one in told])
    # The hub asks each time that it tells.
    write_private(_told(settings.home), b"")
    return told != held


def is_current(home: Path) -> bool:
    """Whether the node's certificate is of the authority that issues now. Raises CertificateRefused, OSError."""
    return certificates.issuer_of(_own(home), _held(home)[:1]) is not None


def to_tell(settings: Settings) -> AuthoritiesHeld | None:
    """What the hub is to be told of what is held; None if it knows, or has never asked.

    Raises CertificateRefused, OSError.
    """
    file = _told(settings.home)
    if not file.exists():
        return None
    held = _held(settings.home)
    issuer = certificates.issuer_of(_own(settings.home), held)
    report = AuthoritiesHeld(
        node=settings.node,
        at=time.time_ns() // 1_000_000,
        authorities=tuple(certificates.digest_of(one) for one in held),
        issuer=None if issuer is None else certificates.digest_of(issuer),
    )
    return None if file.read_bytes() == _said(report) else report


def told(settings: Settings, report: AuthoritiesHeld) -> None:
    """Remembers that the broker has this report. Raises OSError."""
    write_private(_told(settings.home), _said(report))


def _said(report: AuthoritiesHeld) -> bytes:
    return report.model_copy(update={"at": 0}).to_bytes()


def _told(home: Path) -> Path:
    return home / "authorities.told"


def _held(home: Path) -> list[x509.Certificate]:
    return certificates.read_authorities((home / FILE).read_bytes())


def _own(home: Path) -> x509.Certificate:
    return certificates.read_certificate((home / "tls.pem").read_bytes())
