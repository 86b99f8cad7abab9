"""The node renews its keys and its TLS certificate by itself, long before they end, without losing a message.

    new keys, sealed beside the old ones -> the hub is asked, again and again
        -> a roster lists them, a certificate comes -> the new ones take the place of the old

Until the roster in force lists a new key, the old one is used. What is closed to a new encryption key opens from the
moment that the hub is asked to list it, and old ones are kept for what was closed to them. Killed anywhere, this goes
on: what is in the folder says how far it came.

node.next.key       keys that are asked for; witness.next.key, tls.next.key: the same
tls.next.pem        the certificate that has come: from here on it is that key's
"""

import secrets
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from crypto import certificates, hsm, keyfile
from crypto.errors import CertificateRefused
from crypto.keyfile import NodeKeys, load_node_keys, load_tls_key, tls_password, write_private
from crypto.keys import EncryptionKey, SigningKey
from crypto.log import log
from crypto.renewal import sign_renewal
from crypto.trust import Trust
from nodes import authorities
from nodes.locked import keys_alone
from nodes.settings import Settings
from nodes.setup import witness_key, write_request
from schemas.renewal import RenewalAnswer, RenewalRequest
from schemas.roster import KeyUse, RosterKey

SIGNING: Final = "signing"
ENCRYPTION: Final = "encryption"
WITNESS: Final = "witness"
TLS: Final = "tls"
WHAT: Final = (SIGNING, ENCRYPTION, WITNESS, TLS)
_USES: Final = {SIGNING: KeyUse.SIGN, ENCRYPTION: KeyUse.SEAL, WITNESS: KeyUse.WITNESS}
_NAMES: Final = {
    SIGNING: "the signing key",
    ENCRYPTION: "the encryption key",
    WITNESS: "the witness key",
    TLS: "the TLS certificate",
}
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a home that renewal has to do with."""

    home: Path

    @property
    def keys(self) -> Path:
        """New signing and encryption keys, with the old storage key."""
        return self.home / "node.next.key"

    @property
    def witness(self) -> Path:
        """A new witness key."""
        return self.home / "witness.next.key"

    @property
    def tls(self) -> Path:
        """A new TLS key."""
        return self.home / "tls.next.key"

    @property
    def certificate(self) -> Path:
        """The certificate of the new TLS key."""
        return self.home / "tls.next.pem"


@dataclass(frozen=True, slots=True)
class Held:
    """What a node has by now: the keys to use, and the TLS key's password; whether any took the place of older ones;
    what is still asked for.
    """

    keys: NodeKeys
    witness: SigningKey
    password: bytes = field(repr=False)
    settled: bool
    pending: "Pending"


def look(home: Path, trust: Trust, what: frozenset[str]) -> Held:
    """Begins to renew these, and puts in place what has come. To be called beside the event loop: a passphrase takes
    its time to open a file, and so does a token.

    Killed on the way, it goes on when it is called again. Raises HsmUnavailable, KeyUnusable, KeyFileRefused,
    WrongPassphrase, SettingsInvalid, OSError; then call it again.
    """
    with keys_alone(home, wait=True):
        # As they are now: since the agent has started, the keys may have got another secret.
        settings = Settings.load(home)
        secret = settings.secret()
        # First, what is there must open: else what is made here would be closed with a secret that nobody keeps.
        now = load_node_keys(home / "node.key", secret)
        begin(settings, what, now)
        settled = settle(settings, trust, now)
        if settled:
            # The operators may want it again: for an older one's TLS key no certificate would be taken.
            write_request(home, settings.node, settings)
        keys, state = load_node_keys(home / "node.key", secret) if settled else now, pending(settings)
        password = tls_password(home / "tls.key", secret)
        return Held(state.opening_too(keys), witness_key(settings), password, settled, state)


def begin(settings: Settings, what: frozenset[str], now: NodeKeys) -> None:
    """Makes new keys for what is to be renewed of those of `now`, unless they have been made and are being asked for.

    Raises HsmUnavailable, KeyUnusable, OSError; then begin again.
    """
    files, secret = Files(settings.home), settings.secret()
    if what & {SIGNING, ENCRYPTION}:
        next_ = load_node_keys(files.keys, secret) if files.keys.exists() else now
        if SIGNING in what and next_.signing.public == now.signing.public:
            next_ = replace(next_, signing=_new_signing(settings.node, now.signing))
        if ENCRYPTION in what and next_.encryption[0] == now.encryption[0]:
            next_ = replace(next_, encryption=(EncryptionKey.generate(), *now.encryption))
        keyfile.save_node_keys(files.keys, next_, secret)
    if WITNESS in what and not files.witness.exists():
        keyfile.save_signing_key(files.witness, SigningKey.generate(), secret)
    if TLS in what and not (files.certificate.exists() or (files.tls.exists() and keyfile.is_closed(files.tls))):
        keyfile.save_tls_key(files.tls, certificates.new_tls_key(), secret)


def _new_signing(node: str, old: SigningKey) -> SigningKey:
    if old.reference is None:
        return SigningKey.generate(old.public.algorithm)
    # Where the old one is.
    return SigningKey(hsm.generate_p256(old.reference.token, f"seci-node-{node}-{secrets.token_hex(4)}"))


@dataclass(frozen=True, slots=True)
class Pending:
    """What is being asked for: new keys, some of which the roster may list by now, and a certificate."""

    keys: NodeKeys | None
    witness: SigningKey | None
    csr_pem: str | None

    @property
    def nothing(self) -> bool:
        """Whether all is done."""
        return self.keys is None and self.witness is None and self.csr_pem is None

    def what(self, now: NodeKeys) -> list[str]:
        """The names of what is being asked for."""
        next_ = self.keys
        found = {
            SIGNING: next_ is not None and next_.signing.public != now.signing.public,
            ENCRYPTION: next_ is not None and next_.encryption[0] != now.encryption[0],
            WITNESS: self.witness is not None,
            TLS: self.csr_pem is not None,
        }
        return [what for what, asked in found.items() if asked]

    def opening_too(self, now: NodeKeys) -> NodeKeys:
        """The keys in use, and behind them the new encryption key: others may close to it before this node uses it."""
        if self.keys is None:
            return now
        new = tuple(key for key in self.keys.encryption if key not in now.encryption)
        return replace(now, encryption=(*now.encryption, *new))

    def own_kids(self) -> tuple[bytes, ...]:
        """The ids of the new keys: they may stand under this node's name in a roster."""
        found = () if self.witness is None else (self.witness.public.key_id,)
        if self.keys is None:
            return found
        return *found, self.keys.signing.public.key_id, self.keys.encryption[0].public.key_id

    def request(self, node: str, now: NodeKeys, at: int) -> bytes:
        """What the hub is asked, signed with the key that the roster has. Raises HsmUnavailable."""
        next_ = self.keys
        signing = None if next_ is None or next_.signing.public == now.signing.public else next_.signing
        sealing = None if next_ is None or next_.encryption[0] == now.encryption[0] else next_.encryption[0].public
        request = RenewalRequest(
            node=node,
            at=at,
            signing=None if signing is None else signing.public.public_bytes(),
            encryption=None if sealing is None else sealing.public_bytes(),
            witness=None if self.witness is None else self.witness.public.public_bytes(),
            csr_pem=self.csr_pem,
        )
        return sign_renewal(request, now.signing, signing)


def pending(settings: Settings) -> Pending:
    """What is being asked for. Raises KeyFileRefused, WrongPassphrase."""
    files, secret = Files(settings.home), settings.secret()
    csr = None
    if files.tls.exists() and keyfile.is_closed(files.tls) and not files.certificate.exists():
        request = certificates.create_csr(f"node-{settings.node}", load_tls_key(files.tls, secret))
        csr = certificates.to_pem(request).decode()
    return Pending(
        load_node_keys(files.keys, secret) if files.keys.exists() else None,
        keyfile.load_signing_key(files.witness, secret) if files.witness.exists() else None,
        csr,
    )


def settle(settings: Settings, trust: Trust, now: NodeKeys) -> bool:
    """Puts new keys that the roster lists, and a new certificate, in the place of the old. Whether there were any.

    Raises OSError; then begin again.
    """
    files, secret, home = Files(settings.home), settings.secret(), settings.home
    listed = {key.public for key in _listed(settings, trust)}
    settled = False
    if files.keys.exists():
        next_ = load_node_keys(files.keys, secret)
        new = next_.signing.public.public_bytes(), next_.encryption[0].public.public_bytes()
        if set(new) <= listed:
            # Others may have been made since these were begun; none that opens anything is let go.
            older = tuple(key for key in now.encryption if key not in next_.encryption)
            keyfile.save_node_keys(home / "node.key", replace(next_, encryption=(*next_.encryption, *older)), secret)
            files.keys.unlink()
            settled = True
    if files.witness.exists():
        key = keyfile.load_signing_key(files.witness, secret)
        if key.public.public_bytes() in listed:
            files.witness.replace(home / "witness.key")
            settled = True
    return keyfile.put_tls(home, TLS) or settled


def take_answer(settings: Settings, answer: RenewalAnswer) -> None:
    """Takes in what the hub answered. Raises CertificateRefused for a certificate that was not asked for."""
    if answer.code is not None:
        log.warning("renewal_refused", code=answer.code, detail=answer.detail)
    files, settings = Files(settings.home), Settings.load(settings.home)
    if answer.certificate_pem is None or files.certificate.exists() or not files.tls.exists():
        return
    certificate = certificates.read_certificate(answer.certificate_pem.encode())
    if certificate.public_key() != load_tls_key(files.tls, settings.secret()).public_key():
        raise CertificateRefused("the hub's certificate is not for the key that it was asked for")
    # What the broker would not take must not take the place of what it takes.
    now = certificates.read_certificate((settings.home / "tls.pem").read_bytes())
    if certificates.common_name(certificate) != certificates.common_name(now):
        raise CertificateRefused("the hub's certificate is for another name")
    certificates.check_validity(certificate, datetime.now(UTC))
    certificates.check_issued(certificate, certificates.read_authorities((settings.home / "ca.pem").read_bytes()))
    write_private(files.certificate, answer.certificate_pem.encode())


def ends(settings: Settings, trust: Trust) -> dict[str, int]:
    """When what this node has ends, ms, by its name for a sentence."""
    return {_NAMES[what]: end for what, end in _ends(settings, trust).items()}


def due(settings: Settings, trust: Trust, now: int) -> frozenset[str]:
    """What is to be renewed by now."""
    before = int(settings.renew_before_days * _DAY_MS)
    return frozenset(what for what, end in _ends(settings, trust).items() if end - now < before)


def is_behind(home: Path) -> bool:
    """Whether the certificate is of an authority that does not issue any more: then it is to be renewed, too."""
    with suppress(OSError, CertificateRefused):
        return not authorities.is_current(home)
    return False


def _ends(settings: Settings, trust: Trust) -> dict[str, int]:
    found = {}
    # Of one that does not read nobody can say more here; `doctor` does.
    with suppress(OSError, CertificateRefused):
        certificate = certificates.read_certificate((settings.home / "tls.pem").read_bytes())
        found[TLS] = int(certificate.not_valid_after_utc.timestamp() * 1000)
    listed = [key for key in _listed(settings, trust) if key.revoked is None]
    for what, use in _USES.items():
        found |= {what: max((key.not_after for key in listed if key.use is use), default=0)}
    return {what: end for what, end in found.items() if end}


def _listed(settings: Settings, trust: Trust) -> tuple[RosterKey, ...]:
    node = trust.nodes.get(settings.node)
    return () if node is None else node.keys
