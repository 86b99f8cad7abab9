"""Setting a hub up: its keys and certificates, its database. Safe to repeat; never overwrites a key."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from crypto import certificates, keyfile
from crypto.cosignature import Cosigner
from crypto.hsm import Token
from crypto.hubkeys import HubKeys
from crypto.keyfile import Secret, SecretSource
from crypto.keys import SigningKey
from crypto.mldsa import MlDsaKey
from crypto.note import NoteSigner
from crypto.tls import client_context
from hub import authorities, handing
from hub.ledger import Ledger
from hub.lockstore import LockStore
from hub.settings import Settings
from hub.topology import HUB_USERS

CA_NAME: Final = "SECI Exchange CA"
SECOND_KEY: Final = "ledger.mldsa.key"
DESK: Final = "hub-desk"
CONSOLE: Final = "hub-console"
OPERATORS_KEY: Final = "operators.key"
BROKER: Final = "broker"
BROKER_KEY: Final = f"{BROKER}.key"
CERTIFICATE_DAYS: Final = 397


@dataclass(frozen=True)
class BrokerNames:
    """What clients call the broker: DNS names and IP addresses for its certificate."""

    dns: tuple[str, ...]
    ips: tuple[str, ...]


def make_keys(home: Path, broker: BrokerNames, source: SecretSource | None = None, token: Token | None = None) -> None:
    """Everything in the hub's home but hub.json: signing keys, CA, certificates of the broker and the hub's users.

    The broker's own key (`broker.key`) is closed too: `broker_password` tells RabbitMQ what it opens with.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    source = source or SecretSource()
    keyfile.make_key_file(home, source)
    secret = source.read(home)
    if not (home / handing.KEY).exists():
        keyfile.save_signing_key(home / handing.KEY, handing.new_key(token), secret)
    if not (home / SECOND_KEY).exists():
        keyfile.save_mldsa_key(home / SECOND_KEY, MlDsaKey.generate(), secret)
    if not (home / OPERATORS_KEY).exists():
        keyfile.save_secret(home / OPERATORS_KEY, Secret.generate(), secret)
    if not (home / "ca.pem").exists():
        key = certificates.new_tls_key()
        keyfile.save_tls_key(home / "ca.key", key, secret)
        write(home / "ca.pem", certificates.to_pem(certificates.create_ca(CA_NAME, key)))
    for user in HUB_USERS:
        if not (home / f"{user}.pem").exists():
            key = certificates.new_tls_key()
            keyfile.save_tls_key(home / f"{user}.key", key, secret)
            write(home / f"{user}.pem", _issued(home, secret, user, key))
    if not (home / "broker.pem").exists():
        _broker_certificate(home, secret, broker)


def _broker_certificate(home: Path, secret: Secret, broker: BrokerNames) -> None:
    key = certificates.new_tls_key()
    keyfile.save_tls_key(home / BROKER_KEY, key, secret)
    write(home / "broker.pem", _issued(home, secret, "broker", key, broker))


def desk_certificate(home: Path, secret: Secret, names: Sequence[str], desk: str = DESK) -> None:
    """The join desk's key and certificate, or the console's, for these DNS names and IP addresses, anew at each start.

    Raises WrongPassphrase, KeyFileRefused.
    """
    key = certificates.new_tls_key()
    ips = tuple(name for name in names if _is_ip(name))
    dns = tuple(name for name in names if name not in ips)
    keyfile.save_tls_key(home / f"{desk}.key", key, secret)
    write(home / f"{desk}.pem", _issued(home, secret, desk, key, BrokerNames(dns, ips)))


def _is_ip(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _issued(
    home: Path, secret: Secret, name: str, key: certificates.TlsKey, broker: BrokerNames | None = None
) -> bytes:
    """A certificate of our CA for a key, PEM: the broker's if it has names, else that of a user."""
    ca = authorities.issuing(home, secret)
    profile = certificates.Profile.CLIENT if broker is None else certificates.Profile.BROKER
    names = broker or BrokerNames((), ())
    csr = certificates.create_csr(name, key)
    certificate = certificates.issue(
        csr, ca.certificate, ca.key, profile, common_name=name, days=CERTIFICATE_DAYS, dns=names.dns, ips=names.ips
    )
    chain = b"" if broker is None else authorities.cross_for(home, certificate)
    return certificates.to_pem(certificate) + chain


def ends(home: Path) -> dict[str, int]:
    """When the hub's certificates end, ms, by their names for a sentence. Raises CertificateRefused, OSError."""
    found = {f"the certificate of {name}": home / f"{name}.pem" for name in (*HUB_USERS, BROKER)}
    found["the CA"] = home / "ca.pem"
    return {what: _end(file) for what, file in found.items()}


def renew(home: Path, secret: Secret, before_ms: int) -> list[str]:
    """New keys and certificates for the hub's users and the broker, where they end before `before_ms`; their names.

    Killed on the way, it goes on when it is called again. Raises CertificateRefused, WrongPassphrase, OSError.
    """
    renewed = []
    for name in (*HUB_USERS, BROKER):
        if not keyfile.put_tls(home, name) and _end(home / f"{name}.pem") < before_ms:
            _renew(home, secret, name)
            renewed.append(name)
    return renewed


def users_follow(home: Path, secret: Secret) -> list[str]:
    """New keys and certificates of the authority that issues for the hub's users that have one of another; names.

    Killed on the way, it goes on when it is called again. Raises as `broker_follows`.
    """
    renewed = [name for name in HUB_USERS if not _follows(home, secret, name)]
    for name in renewed:
        _renew(home, secret, name)
    return renewed


def broker_follows(home: Path, secret: Secret) -> bool:
    """A certificate of the authority that issues for the broker, unless it has one. Whether it was made.

    It is for the key that the broker has, of which RabbitMQ knows the password: it need not be started again.
    Raises CertificateRefused, KeyFileRefused, WrongPassphrase, OSError.
    """
    if _follows(home, secret, BROKER):
        return False
    if keyfile.is_closed(home / BROKER_KEY):
        names = certificates.host_names(certificates.read_certificate((home / "broker.pem").read_bytes()))
        key = keyfile.load_tls_key(home / BROKER_KEY, secret)
        write(home / "broker.pem", _issued(home, secret, BROKER, key, BrokerNames(*names)))
    else:
        # Of a hub that an older program set up.
        _renew(home, secret, BROKER)
    return True


def _follows(home: Path, secret: Secret, name: str) -> bool:
    # What was cut off before goes on first, whichever authority it is of.
    keyfile.put_tls(home, name)
    certificate = certificates.read_certificate((home / f"{name}.pem").read_bytes())
    return certificates.issuer_of(certificate, [authorities.issuing(home, secret).certificate]) is not None


def probe(home: Path, secret: Secret, ca: authorities.Issuing, folder: Path) -> ssl.SSLContext:
    """What a user of the hub with a certificate of this authority, made for this moment, connects with.

    Raises CertificateRefused, OSError.
    """
    name, key = HUB_USERS[0], certificates.new_tls_key()
    csr = certificates.create_csr(name, key)
    certificate = certificates.issue(csr, ca.certificate, ca.key, certificates.Profile.CLIENT, common_name=name, days=1)
    keyfile.save_tls_key(folder / "probe.key", key, secret)
    write(folder / "probe.pem", certificates.to_pem(certificate))
    password = keyfile.tls_password(folder / "probe.key", secret)
    return client_context(home / "ca.pem", folder / "probe.pem", folder / "probe.key", password)


def _renew(home: Path, secret: Secret, name: str) -> None:
    key, old = certificates.new_tls_key(), certificates.read_certificate((home / f"{name}.pem").read_bytes())
    keyfile.save_tls_key(home / f"{name}.next.key", key, secret)
    names = BrokerNames(*certificates.host_names(old)) if name == BROKER else None
    write(home / f"{name}.next.pem", _issued(home, secret, name, key, names))
    keyfile.put_tls(home, name)


def _end(file: Path) -> int:
    return int(certificates.read_certificate(file.read_bytes()).not_valid_after_utc.timestamp() * 1000)


def write(path: Path, content: bytes) -> None:
    """Puts a file of the home in its place, whole or not at all; readable by the owner only."""
    keyfile.write_private(path, content)


def broker_password(home: Path, secret: Secret) -> str | None:
    """What RabbitMQ opens its key with; None for one in clear, of a hub that an older program set up.

    Raises WrongPassphrase, KeyFileRefused.
    """
    file = home / BROKER_KEY
    return keyfile.tls_password(file, secret).decode() if keyfile.is_closed(file) else None


def hub_key(settings: Settings) -> SigningKey:
    """The key that signs checkpoints and rosters. Raises WrongPassphrase, KeyFileRefused."""
    return keyfile.load_signing_key(settings.home / handing.KEY, settings.secret())


def hub_keys(settings: Settings) -> HubKeys:
    """That key, and those before it, each for what is of its time. Raises as `hub_key`, and SettingsInvalid."""
    return _ledger(settings, None).keys


def operators_secret(settings: Settings) -> Secret:
    """What closes the operators' credentials in the database. Raises WrongPassphrase, KeyFileRefused."""
    return keyfile.load_secret(settings.home / OPERATORS_KEY, settings.secret())


def second_key(settings: Settings) -> Cosigner | None:
    """The ML-DSA-44 key that signs what witnesses cosign; a hub set up before there was one has none until `init`.

    Raises WrongPassphrase, KeyFileRefused, KeyUnusable.
    """
    file = settings.home / SECOND_KEY
    if not file.exists():
        return None
    return Cosigner(settings.log_origin, keyfile.load_mldsa_key(file, settings.secret()))


def ledger_of(settings: Settings) -> Ledger:
    """The ledger that this hub writes."""
    return _ledger(settings, second_key(settings))


def _ledger(settings: Settings, second: Cosigner | None) -> Ledger:
    origin = settings.log_origin
    signer, store = NoteSigner(origin, hub_key(settings)), LockStore(settings.lock_file, origin)
    return Ledger(origin, signer, store, second, handing.news_in(settings.home))
