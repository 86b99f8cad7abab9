"""What an operator logs in with: a password (argon2id, RFC 9106) with a code of the day's half-minute (TOTP, RFC 6238),
or a certificate whose key signs a challenge. No I/O; the clock is passed in.

Hash and TOTP secret are sealed together with the name and the role they are for, under a key of its own: who has the
database alone can neither try passwords nor give his own to somebody else.
"""

import hashlib
import hmac
import re
import secrets
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Self

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from crypto import certificates, keyfile
from crypto.certificates import TlsKey
from crypto.errors import CertificateRefused, CryptoError
from crypto.keyfile import Secret
from hub.errors import OperatorsTampered, PasswordWeak
from hub.roles import Role
from schemas import cbor

NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:[.-][a-z0-9]+)*")
NAME_SIZE: Final = 32
# Names of nobody: what was done before there were operators, and by the database's owner.
RESERVED: Final = frozenset({"setup", "owner", "unknown", "retention"})
PASSWORD_LEAST: Final = 12
PASSWORD_MOST: Final = 1024
_DIFFERENT_LEAST: Final = 5
STEP_MS: Final = 30_000
# Clocks differ, and people type slowly: RFC 6238, 5.2 recommends one step.
_WINDOW: Final = (-1, 0, 1)
ISSUER: Final = "SECI Exchange hub"
_HASHER: Final = PasswordHasher()
# Of no password; verifying against it takes as long as against anybody's.
_NOBODY_HASH: Final = (
    "$argon2id$v=19$m=65536,t=3,p=4$c2VjaS1vZi1ub2JvZHkhIQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)
_NOBODY_TOTP: Final = "A" * 32
_CHALLENGE: Final = b"SECI1 operator login\x00"


def is_name(text: str) -> bool:
    """Whether an operator may be called so."""
    return NAME.fullmatch(text) is not None and len(text) <= NAME_SIZE and text not in RESERVED


@dataclass(frozen=True, slots=True)
class Credential:
    """An operator's: the password's hash and the TOTP secret (base32), and whose they are."""

    name: str
    role: Role
    password: str = field(repr=False)
    totp: str = field(repr=False)

    @classmethod
    def new(cls, name: str, role: Role, password: str) -> Self:
        """With a fresh TOTP secret of 160 bits. Raises PasswordWeak."""
        return cls(name, role, hashed(name, password), new_totp())

    def seal(self, secret: Secret) -> bytes:
        """For the database."""
        fields = {"name": self.name, "role": str(self.role), "password": self.password, "totp": self.totp}
        return keyfile.seal(cbor.encode(fields), secret)

    @classmethod
    def open(cls, sealed: bytes, secret: Secret, name: str, role: str) -> Self:
        """What `seal` closed. Raises OperatorsTampered unless it is this operator's, in this role."""
        try:
            fields = cbor.decode(keyfile.unseal(sealed, secret, f"the credential of {name}"))
            found = cls(fields["name"], Role(fields["role"]), fields["password"], fields["totp"])
        except (CryptoError, ValueError, KeyError, TypeError) as error:
            raise _tampered(name) from error
        if (found.name, str(found.role)) != (name, role):
            raise _tampered(name)
        return found

    def uri(self) -> str:
        """For an authenticator app; shown once."""
        return pyotp.TOTP(self.totp).provisioning_uri(name=self.name, issuer_name=ISSUER)


def _tampered(name: str) -> OperatorsTampered:
    return OperatorsTampered(
        f"the account of {name} in the database is not as the hub wrote it",
        'somebody changed it behind the hub\'s back: see docs/operations.md, "Operators"; keep the database as it is',
    )


def new_totp() -> str:
    """A fresh secret of 160 bits, base32."""
    return pyotp.random_base32(32)


def hashed(name: str, password: str) -> str:
    """argon2id, in its own form with salt and parameters. Raises PasswordWeak."""
    text = _normal(password)
    if not PASSWORD_LEAST <= len(text) <= PASSWORD_MOST:
        raise _weak(f"has {len(text)} characters; {PASSWORD_LEAST} to {PASSWORD_MOST} are wanted")
    if name.casefold() in text.casefold():
        raise _weak("contains the operator's name")
    if len(set(text)) < _DIFFERENT_LEAST:
        raise _weak(f"has fewer than {_DIFFERENT_LEAST} different characters")
    return _HASHER.hash(text)


def _weak(why: str) -> PasswordWeak:
    return PasswordWeak(f"the password {why}", "choose another: several words that nobody would say together, say")


def _normal(password: str) -> str:
    # The same letters typed on another keyboard (NIST SP 800-63B, 5.1.1.2).
    return unicodedata.normalize("NFKC", password)


def accepts(credential: Credential | None, password: str, code: str, now: int, after: int) -> int | None:
    """The TOTP step of the code if password and code are right, else None; of nobody always None.

    `now` in ms; `after` is the last step that was used. Takes as long whichever of them is wrong.
    """
    right = _verifies(_NOBODY_HASH if credential is None else credential.password, password)
    step = totp_step(_NOBODY_TOTP if credential is None else credential.totp, code, now, after)
    return step if right and credential is not None else None


def _verifies(password_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash, _normal(password)[: PASSWORD_MOST + 1])
    except (VerificationError, InvalidHashError):
        return False


def totp_step(secret: str, code: str, now: int, after: int) -> int | None:
    """The 30-second step of which this is the code, if it is of now (ms) or a step beside it and later than `after`.

    So that no code is good twice: RFC 6238, 5.2.
    """
    generator, typed, found = pyotp.HOTP(secret), code.replace(" ", "").encode(), None
    for step in (now // STEP_MS + offset for offset in _WINDOW):
        same = hmac.compare_digest(generator.at(step).encode(), typed)
        if same and step > after:
            found = step
    return found


def new_challenge() -> bytes:
    """32 bytes that no key has signed before."""
    return secrets.token_bytes(32)


def sign_challenge(key: TlsKey, name: str, challenge: bytes) -> bytes:
    """ECDSA with SHA-256: whoever has the key signs this challenge, and nothing else could be meant by it."""
    return key.sign(_CHALLENGE + name.encode() + b"\x00" + challenge, ec.ECDSA(hashes.SHA256()))


def check_possession(
    certificate: x509.Certificate, ca: x509.Certificate, name: str, challenge: bytes, signature: bytes, now: int
) -> bytes:
    """The certificate's fingerprint, if it is this operator's, of our CA, valid now (ms), and its key signed.

    Raises CertificateRefused.
    """
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise CertificateRefused("the certificate is not of this hub's CA") from error
    if certificates.common_name(certificate) != common_name(name):
        raise CertificateRefused("the certificate is somebody else's")
    certificates.check_validity(certificate, datetime.fromtimestamp(now / 1000, UTC))
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise CertificateRefused("the certificate's key is not P-256")
    try:
        key.verify(signature, _CHALLENGE + name.encode() + b"\x00" + challenge, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise CertificateRefused("the key is not the certificate's") from error
    return fingerprint(certificate)


def common_name(name: str) -> str:
    """What an operator's certificate calls him."""
    return f"operator-{name}"


def fingerprint(certificate: x509.Certificate) -> bytes:
    """SHA-256 of its DER. 32 bytes."""
    return certificate.fingerprint(hashes.SHA256())


def fingerprint_of_request(request: x509.CertificateSigningRequest) -> bytes:
    """SHA-256 of its DER. 32 bytes."""
    return hashlib.sha256(request.public_bytes(serialization.Encoding.DER)).digest()


def digest(token: str) -> bytes:
    """SHA-256: all that is kept of a session's token, and of a name that somebody typed. 32 bytes."""
    return hashlib.sha256(token.encode()).digest()
