"""Setting a hub up: its keys and certificates, its database. Safe to repeat; never overwrites a key."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization

from crypto import certificates, keyfile
from crypto.cosignature import Cosigner
from crypto.keyfile import Secret
from crypto.keys import SigningKey
from crypto.mldsa import MlDsaKey
from crypto.note import NoteSigner
from hub.ledger import Ledger
from hub.lockstore import LockStore
from hub.settings import Settings
from hub.topology import HUB_USERS

CA_NAME: Final = "SECI Exchange CA"
SECOND_KEY: Final = "ledger.mldsa.key"
CERTIFICATE_DAYS: Final = 397


@dataclass(frozen=True)
class BrokerNames:
    """What clients call the broker: DNS names and IP addresses for its certificate."""

    dns: tuple[str, ...]
    ips: tuple[str, ...]


def make_keys(home: Path, broker: BrokerNames, passphrase_file: Path | None = None) -> None:
    """Everything in the hub's home but hub.json: signing keys, CA, certificates of the broker and the hub's users.

    The broker's own key (`broker.key`) is the one private key in clear, readable by its owner
    only: RabbitMQ reads it so.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if passphrase_file is None and not (home / "secret.key").exists():
        keyfile.generate_key_file(home / "secret.key")
    secret = _secret(home, passphrase_file)
    if not (home / "hub.key").exists():
        keyfile.save_signing_key(home / "hub.key", SigningKey.generate(), secret)
    if not (home / SECOND_KEY).exists():
        keyfile.save_mldsa_key(home / SECOND_KEY, MlDsaKey.generate(), secret)
    if not (home / "ca.pem").exists():
        key = certificates.new_tls_key()
        keyfile.save_tls_key(home / "ca.key", key, secret)
        write(home / "ca.pem", certificates.to_pem(certificates.create_ca(CA_NAME, key)))
    for user in HUB_USERS:
        if not (home / f"{user}.pem").exists():
            key = certificates.new_tls_key()
            keyfile.save_tls_key(home / f"{user}.key", key, secret)
            _issue(home, secret, user, key, certificates.Profile.CLIENT)
    if not (home / "broker.pem").exists():
        _broker_certificate(home, secret, broker)


def _broker_certificate(home: Path, secret: Secret, broker: BrokerNames) -> None:
    key = certificates.new_tls_key()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write(home / "broker.key", pem)
    _issue(home, secret, "broker", key, certificates.Profile.BROKER, broker.dns, broker.ips)


def _issue(
    home: Path,
    secret: Secret,
    name: str,
    key: certificates.TlsKey,
    profile: certificates.Profile,
    dns: Sequence[str] = (),
    ips: Sequence[str] = (),
) -> None:
    ca = certificates.read_certificate((home / "ca.pem").read_bytes())
    ca_key = keyfile.load_tls_key(home / "ca.key", secret)
    csr = certificates.create_csr(name, key)
    certificate = certificates.issue(
        csr, ca, ca_key, profile, common_name=name, days=CERTIFICATE_DAYS, dns=dns, ips=ips
    )
    write(home / f"{name}.pem", certificates.to_pem(certificate))


def _secret(home: Path, passphrase_file: Path | None) -> Secret:
    if passphrase_file is not None:
        return Secret.from_passphrase_file(passphrase_file)
    return Secret.from_key_file(home / "secret.key")


def write(path: Path, content: bytes) -> None:
    """Puts a file of the home in its place, whole or not at all; readable by the owner only."""
    # Through a temporary name, so that a kill leaves the whole file or none.
    partial = path.with_suffix(".partial")
    partial.touch(mode=0o600)
    partial.write_bytes(content)
    partial.rename(path)


def hub_key(settings: Settings) -> SigningKey:
    """The key that signs checkpoints and rosters. Raises WrongPassphrase, KeyFileRefused."""
    return keyfile.load_signing_key(settings.home / "hub.key", settings.secret())


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
    origin = settings.log_origin
    signer, store = NoteSigner(origin, hub_key(settings)), LockStore(settings.lock_file, origin)
    return Ledger(origin, signer, store, second_key(settings))
