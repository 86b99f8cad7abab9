"""Logging in: a password with a code, or a certificate whose key signs a challenge. Each attempt is counted first.

What was wrong is not told, nor whether there is such an operator: to neither answer nor clock.
"""

from dataclasses import dataclass, field
from typing import Final, Protocol

from cryptography import x509
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto.certificates import TlsKey
from crypto.errors import CertificateRefused
from crypto.keyfile import Secret
from hub import acts, credentials, operators, sessions
from hub.acts import Actor
from hub.credentials import Credential
from hub.errors import LoginRefused, OperatorRefused
from hub.ledger import Ledger
from hub.roles import Action, Role
from hub.sessions import Limits

_REFUSED: Final = "name, password or code is wrong, or the code was used before"
_NEXT: Final = "try again with a fresh code; a security officer can see and reset your account"


@dataclass(frozen=True, slots=True)
class Account:
    """What the database has of who wants to log in, opened; of nobody, or one that was disabled, nothing."""

    name: str
    credential: Credential | None
    certificate: bytes | None
    totp_step: int


class Proof(Protocol):
    """What somebody shows to be let in."""

    def holds(self, account: Account, now: int) -> int | None:
        """The TOTP step that was used, 0 if none was, None if it does not hold."""


@dataclass(frozen=True, slots=True)
class PasswordProof:
    """What somebody typed."""

    password: str = field(repr=False)
    code: str = field(repr=False)

    def holds(self, account: Account, now: int) -> int | None:
        """See `credentials.accepts`."""
        return credentials.accepts(account.credential, self.password, self.code, now, account.totp_step)


@dataclass(frozen=True, slots=True)
class CertificateProof:
    """A certificate, and the key that it is of."""

    certificate: x509.Certificate
    key: TlsKey
    ca: x509.Certificate

    def holds(self, account: Account, now: int) -> int | None:
        """Whether the key signs a fresh challenge, and the account knows the certificate."""
        challenge = credentials.new_challenge()
        signature = credentials.sign_challenge(self.key, account.name, challenge)
        try:
            found = credentials.check_possession(self.certificate, self.ca, account.name, challenge, signature, now)
        except CertificateRefused:
            return None
        return 0 if account.credential is not None and found == account.certificate else None


async def attempt(
    connection: AsyncConnection, name: str, secret: Secret, now: int, door: str = sessions.COMMAND
) -> tuple[Account, int]:
    """Counts the attempt, in a transaction to be committed before it is judged; what there is to judge it by.

    Raises LoginPaused, OperatorRefused while there are no operators at all, OperatorsTampered.
    """
    if not await operators.begun(connection):
        raise OperatorRefused("there are no operators yet", "make the first: seci-hub operator add --help")
    failures = await sessions.attempt(connection, name, now, door)
    return await _account(connection, name, secret), failures


async def _account(connection: AsyncConnection, name: str, secret: Secret) -> Account:
    row = await operators.find(connection, name)
    if row is None or row.disabled_at is not None:
        # As long as to open one.
        secret.derive(secret.new_kdf())
        return Account(name, None, None, 0)
    return Account(name, Credential.open(row.sealed, secret, name, row.role), row.certificate, row.totp_step)


async def finish(
    connection: AsyncConnection, log: Ledger, account: Account, step: int, limits: Limits, now: int
) -> tuple[str, Role]:
    """The session's token, in a transaction that appends. Raises LoginRefused for a code that was used meanwhile."""
    row = await operators.find(connection, account.name)
    if account.credential is None or row is None or row.disabled_at is not None:
        raise refused()
    if step and not await operators.use_step(connection, account.name, step):
        raise refused()
    role = account.credential.role
    token = await sessions.begin(connection, account.name, limits, now)
    by = "password" if step else "certificate"
    actor = Actor(account.name, Action.LOGIN, {"by": by}, role, credentials.digest(token))
    await acts.record(connection, log, actor)
    return token, role


async def prove(connection: AsyncConnection, name: str, step: int) -> bool:
    """Who is logged in already has shown password and code again; False if the code was used meanwhile."""
    await sessions.forgive(connection, name)
    return await operators.use_step(connection, name, step)


async def lock(connection: AsyncConnection, log: Ledger, account: Account, failures: int) -> None:
    """Puts on record that there is a pause now. What somebody typed that is nobody's name is not written down."""
    seconds = sessions.pause_ms(failures) // 1000
    name = acts.UNKNOWN if account.credential is None else account.name
    actor = Actor(name, Action.LOCKED, {"failures": failures, "seconds": seconds})
    await acts.record(connection, log, actor)


def refused() -> LoginRefused:
    """Whatever was wrong."""
    return LoginRefused(_REFUSED, _NEXT)
