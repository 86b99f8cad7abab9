"""Which authority may take another's place, by one who trusts some already."""

import pytest
from cryptography import x509

from crypto.authorities import open_authorities, sign_authorities, successors
from crypto.certificates import create_ca, create_cross, new_tls_key, to_der
from crypto.errors import CertificateRefused, CryptoError
from schemas.authorities import Authorities
from tests.crypto.people import BG, HUB

KEYS = [new_tls_key() for _ in range(4)]
OLD = create_ca("CA", KEYS[0])
NEW = create_ca("CA", KEYS[1], after=OLD)
NEWEST = create_ca("CA", KEYS[2], after=NEW)
STRANGE = create_ca("CA", KEYS[3], after=OLD)
CROSS = create_cross(NEW, OLD, KEYS[0])


def _told(*authorities: x509.Certificate, crosses: tuple[x509.Certificate, ...] = ()) -> Authorities:
    return Authorities(
        authorities=tuple(to_der(one) for one in authorities), crosses=tuple(to_der(one) for one in crosses)
    )


@pytest.mark.parametrize(
    ("held", "told", "after"),
    [
        ([OLD], _told(OLD), [OLD]),
        ([OLD], _told(OLD, NEW, crosses=(CROSS,)), [OLD, NEW]),
        # One that was away learns of it only when the new one issues.
        ([OLD], _told(NEW, OLD, crosses=(CROSS,)), [NEW, OLD]),
        ([OLD, NEW], _told(NEW, OLD, crosses=(CROSS,)), [NEW, OLD]),
        ([NEW, OLD], _told(NEW), [NEW]),
        # What was said before and comes again: nothing goes back.
        ([NEW, OLD], _told(OLD, NEW, crosses=(CROSS,)), [NEW, OLD]),
        ([OLD, NEW], _told(OLD), [OLD, NEW]),
        ([NEW], _told(NEW, OLD, crosses=(CROSS,)), CertificateRefused),
        ([NEW], _told(OLD), [NEW]),
        ([NEW], _told(OLD, NEW, crosses=(CROSS,)), [NEW]),
        # Nobody has vouched for it, or not for it, or one who is no authority here.
        ([OLD], _told(OLD, NEW), CertificateRefused),
        ([OLD], _told(NEW), CertificateRefused),
        ([OLD], _told(OLD, STRANGE, crosses=(CROSS,)), CertificateRefused),
        ([OLD], _told(OLD, NEW, crosses=(create_cross(NEW, STRANGE, KEYS[3]),)), CertificateRefused),
        ([OLD], _told(NEWEST, crosses=(create_cross(NEWEST, NEW, KEYS[1]), CROSS)), CertificateRefused),
        # The younger cannot bring the older back.
        ([NEW], _told(NEW, OLD, crosses=(create_cross(OLD, NEW, KEYS[1]),)), CertificateRefused),
    ],
)
def test_trust_goes_from_the_older_to_the_younger_that_it_vouches_for(
    held: list[x509.Certificate], told: Authorities, after: list[x509.Certificate] | type[CryptoError]
) -> None:
    if isinstance(after, list):
        assert successors(held, told) == after
    else:
        with pytest.raises(after):
            successors(held, told)


def test_only_the_hub_names_authorities() -> None:
    told = _told(OLD, NEW, crosses=(CROSS,))
    assert open_authorities(sign_authorities(told, HUB.signing), HUB.signing.public) == told
    for forged in (sign_authorities(told, BG.signing), told.to_bytes(), b"x" * 40_000):
        with pytest.raises(CryptoError):
            open_authorities(forged, HUB.signing.public)


def test_another_name_is_refused() -> None:
    with pytest.raises(CertificateRefused):
        create_cross(create_ca("another", KEYS[1]), OLD, KEYS[0])
