"""Keys at rest: files that open only with a passphrase or a key file. The only file access of this room.

A sealed file is deterministic CBOR: {v, kdf, nonce, ciphertext}, AES-256-GCM under a key derived
by scrypt (RFC 7914) from a passphrase, or by HKDF-SHA256 (RFC 5869) from a key file; the other
fields are the cipher's additional data. TLS keys are sealed the same way, and are handed to
OpenSSL (which reads only files) as encrypted PKCS #8 under a password sealed beside them.

Advice: a key file belongs on another disk than the keys, or in a systemd credential.
"""

import base64
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from crypto import hsm
from crypto.certificates import TlsKey
from crypto.errors import KeyFileRefused, KeyUnusable, WrongPassphrase
from crypto.keys import EncryptionKey, SigningKey
from crypto.mldsa import MlDsaKey
from schemas import cbor

KEY_SIZE: Final = 32
_SCRYPT: Final = {"name": "scrypt", "n": 2**15, "r": 8, "p": 1}
_LARGEST_N: Final = 2**20
_LARGEST_SEALED: Final = 2**16
# Where else the first byte of a signing key tells its algorithm (crypto/keys.py): what follows says where the key is.
_IN_TOKEN: Final = b"\x03"


@dataclass(frozen=True)
class Secret:
    """What opens key files: a passphrase, or the 32 bytes of a key file."""

    _material: bytes = field(repr=False)
    _is_passphrase: bool

    @classmethod
    def passphrase(cls, text: str) -> Self:
        """Raises KeyFileRefused for an empty passphrase."""
        if not text:
            raise KeyFileRefused("the passphrase is empty; give one, or use a key file")
        return cls(text.encode(), True)

    @classmethod
    def from_passphrase_file(cls, path: Path, *, of_systemd: bool = False) -> Self:
        """The passphrase that a file holds, without the line's end. Raises KeyFileRefused.

        Who else may read a credential `of_systemd` its ACL says, and not its mode.
        """
        try:
            with path.open() as file:
                if not of_systemd:
                    check_private(file, path)
                return cls.passphrase(file.read().strip())
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
            raise KeyFileRefused(f"the passphrase file {path} does not read: {why}") from error

    @classmethod
    def from_key_file(cls, path: Path) -> Self:
        """What `generate_key_file` wrote. Raises KeyFileRefused."""
        try:
            return cls.of_material(base64.b64decode(_read_private(path), validate=False), path)
        except ValueError as error:
            raise KeyFileRefused(f"{path} is not a key file; restore it from where you keep it") from error

    @classmethod
    def of_material(cls, material: bytes, path: Path) -> Self:
        """The 32 bytes that a file held. Raises KeyFileRefused for more or less."""
        if len(material) != KEY_SIZE:
            raise KeyFileRefused(f"{path} is not a key file; restore it from where you keep it")
        return cls(material, False)

    def material(self) -> bytes:
        """The 32 bytes, or the passphrase; for `save_secret` only."""
        return self._material

    @classmethod
    def generate(cls) -> Self:
        """A fresh one, as of a key file that is nowhere yet."""
        return cls(secrets.token_bytes(KEY_SIZE), False)

    def new_kdf(self) -> dict[str, Any]:
        """Parameters for a new file, with a fresh 16-byte salt."""
        kdf = _SCRYPT if self._is_passphrase else {"name": "hkdf-sha256"}
        return {**kdf, "salt": secrets.token_bytes(16)}

    def derive(self, kdf: dict[str, Any]) -> bytes:
        """The 32-byte key of a file. Raises WrongPassphrase if the file was made with the other sort of secret."""
        match kdf:
            case {"name": "scrypt", "n": int(n), "r": 8, "p": 1, "salt": bytes(salt)} if self._is_passphrase:
                if n > _LARGEST_N:
                    raise KeyFileRefused("the key file asks for more scrypt work than this program allows")
                return Scrypt(salt=salt, length=KEY_SIZE, n=n, r=8, p=1).derive(self._material)
            case {"name": "hkdf-sha256", "salt": bytes(salt)} if not self._is_passphrase:
                info = b"SECI1 sealed file"
                return HKDF(hashes.SHA256(), KEY_SIZE, salt, info).derive(self._material)
        raise WrongPassphrase("the file was sealed with a passphrase, and a key file was given, or the other way round")


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where the secret of a home is: in one of these, or if there is none in the home's `secret.key`.

    `credential` is the name of a systemd credential (systemd.exec(5), LoadCredentialEncrypted) that holds a passphrase.
    """

    passphrase_file: Path | None = None
    key_file: Path | None = None
    credential: str | None = None

    @property
    def is_default(self) -> bool:
        """Whether it is in the home itself."""
        return self == SecretSource()

    def place(self, home: Path) -> Path | str:
        """Where exactly that is: a file, by whatever way it was named, or the name of a credential."""
        return self.credential or (self.passphrase_file or self.key_file or home / "secret.key").resolve()

    def read(self, home: Path) -> Secret:
        """The secret. Raises KeyFileRefused."""
        if sum(given is not None for given in (self.passphrase_file, self.key_file, self.credential)) > 1:
            raise KeyFileRefused("the keys open with one of: passphrase file, key file, credential; several are named")
        if self.credential is not None:
            return Secret.from_passphrase_file(_credential(self.credential), of_systemd=True)
        if self.passphrase_file is not None:
            return Secret.from_passphrase_file(self.passphrase_file)
        return Secret.from_key_file(self.key_file or home / "secret.key")


def _credential(name: str) -> Path:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise KeyFileRefused(
            f"the keys open with the systemd credential {name}, and systemd gave this process none; start it in the "
            f"service, or with `systemd-run --pipe -p LoadCredentialEncrypted={name}:FILE`"
        )
    if not name or Path(name).name != name:
        raise KeyFileRefused(f"{name!r} is no name of a systemd credential")
    return Path(folder) / name


def generate_key_file(path: Path) -> None:
    """A new key file, readable by its owner only. Raises FileExistsError rather than overwrite one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(base64.b64encode(secrets.token_bytes(KEY_SIZE)) + b"\n")
        out.flush()
        os.fsync(out.fileno())


def make_key_file(home: Path, source: SecretSource) -> None:
    """A new key file where the secret is to be in one, and there is none. Raises OSError."""
    file = source.key_file or home / "secret.key"
    if (source.key_file or source.is_default) and not file.exists():
        generate_key_file(file)


def seal(content: bytes, secret: Secret) -> bytes:
    """`content` sealed, in the form of a sealed file."""
    fields: dict[str, Any] = {"v": 1, "kdf": secret.new_kdf(), "nonce": secrets.token_bytes(12)}
    ciphertext = AESGCM(secret.derive(fields["kdf"])).encrypt(fields["nonce"], content, cbor.encode(fields))
    return cbor.encode({**fields, "ciphertext": ciphertext})


def unseal(sealed: bytes, secret: Secret, name: str) -> bytes:
    """What `seal` was given; `name` is what errors call it. Raises KeyFileRefused, WrongPassphrase."""
    try:
        fields = cbor.decode(sealed)
        ciphertext = fields.pop("ciphertext")
        key = secret.derive(fields["kdf"])
        return AESGCM(key).decrypt(fields["nonce"], ciphertext, cbor.encode(fields))
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise KeyFileRefused(f"{name} is damaged; restore it from a backup") from error
    except InvalidTag as error:
        raise WrongPassphrase(f"{name} does not open: wrong passphrase or key file, or the file is damaged") from error


def seal_file(path: Path, content: bytes, secret: Secret) -> None:
    """Writes `content` sealed: whole or not at all, readable by its owner only."""
    write_private(path, seal(content, secret))


def open_file(path: Path, secret: Secret) -> bytes:
    """What `seal_file` was given. Raises KeyFileRefused, WrongPassphrase."""
    return unseal(_read_private(path), secret, str(path))


@dataclass(frozen=True)
class NodeKeys:
    """A node's private keys. `encryption` has the newest first; `storage` (32 bytes) closes its store."""

    signing: SigningKey
    encryption: tuple[EncryptionKey, ...]
    storage: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """Fresh keys."""
        return cls(SigningKey.generate(), (EncryptionKey.generate(),), secrets.token_bytes(KEY_SIZE))

    def to_bytes(self) -> bytes:
        """The keys in clear; for `seal_file` only."""
        seeds = [key.seed for key in self.encryption]
        return cbor.encode({"signing": _stored(self.signing), "encryption": seeds, "storage": self.storage})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """What `to_bytes` wrote. Raises KeyUnusable."""
        try:
            fields = cbor.decode(data)
        except cbor.EncodingRefused as error:
            raise KeyUnusable("the file holds no node keys") from error
        match fields:
            case {"signing": bytes(signing), "encryption": [*seeds], "storage": bytes(storage)}:
                keys = tuple(EncryptionKey.from_seed(seed) for seed in seeds)
                return cls(_restored(signing), keys, storage)
        raise KeyUnusable("the file holds no node keys")


def save_node_keys(path: Path, keys: NodeKeys, secret: Secret) -> None:
    """Seals a node's keys."""
    seal_file(path, keys.to_bytes(), secret)


def load_node_keys(path: Path, secret: Secret) -> NodeKeys:
    """Raises KeyFileRefused, WrongPassphrase, KeyUnusable."""
    return NodeKeys.from_bytes(open_file(path, secret))


def save_signing_key(path: Path, key: SigningKey, secret: Secret) -> None:
    """Seals one signing key, or where it is."""
    seal_file(path, _stored(key), secret)


def load_signing_key(path: Path, secret: Secret) -> SigningKey:
    """Raises KeyFileRefused, WrongPassphrase, KeyUnusable."""
    return _restored(open_file(path, secret))


def _stored(key: SigningKey) -> bytes:
    return key.private_bytes() if key.reference is None else _IN_TOKEN + key.reference.to_bytes()


def _restored(data: bytes) -> SigningKey:
    if data[:1] == _IN_TOKEN:
        return SigningKey(hsm.opened(hsm.Reference.from_bytes(data[1:])))
    return SigningKey.from_private_bytes(data)


def save_mldsa_key(path: Path, key: MlDsaKey, secret: Secret) -> None:
    """Seals one ML-DSA-44 key: its seed."""
    seal_file(path, key.seed, secret)


def load_mldsa_key(path: Path, secret: Secret) -> MlDsaKey:
    """Raises KeyFileRefused, WrongPassphrase, KeyUnusable."""
    return MlDsaKey.from_seed(open_file(path, secret))


def save_secret(path: Path, kept: Secret, secret: Secret) -> None:
    """Seals a secret of its own, for what is not in files, with another one."""
    seal_file(path, kept.material(), secret)


def load_secret(path: Path, secret: Secret) -> Secret:
    """Raises KeyFileRefused, WrongPassphrase."""
    return Secret.of_material(open_file(path, secret), path)


def save_tls_key(path: Path, key: TlsKey, secret: Secret) -> None:
    """Writes a TLS key as encrypted PKCS #8 and its random password, sealed, beside it as `<path>.password`."""
    password = secrets.token_hex(32).encode()
    seal_file(password_file(path), password, secret)
    encryption = serialization.BestAvailableEncryption(password)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    write_private(path, pem)


def tls_password(path: Path, secret: Secret) -> bytes:
    """The password of a TLS key, for `ssl.SSLContext.load_cert_chain`. Raises KeyFileRefused, WrongPassphrase."""
    return open_file(password_file(path), secret)


def put_tls(home: Path, name: str) -> bool:
    """Puts `<name>.next.key` and `.pem` in the place of `<name>.key` and `.pem`, if both are there. Whether they were.

    Killed on the way, it goes on when it is called again. Raises OSError.
    """
    certificate = home / f"{name}.next.pem"
    if not certificate.exists():
        return False
    # The certificate last: as long as it is there, this goes on.
    old, new = home / f"{name}.next.key", home / f"{name}.key"
    for from_, to in (
        (password_file(old), password_file(new)),
        (old, new),
        (certificate, home / f"{name}.pem"),
    ):
        # Workers that start at one time all do this, and each may find that another was quicker.
        with suppress(FileNotFoundError):
            from_.replace(to)
    sync_folder(home)
    return True


def is_closed(path: Path) -> bool:
    """Whether a TLS key is one of `save_tls_key`, with a password beside it."""
    return password_file(path).exists()


def load_tls_key(path: Path, secret: Secret) -> TlsKey:
    """Raises KeyFileRefused, WrongPassphrase."""
    try:
        key = serialization.load_pem_private_key(_read_private(path), tls_password(path, secret))
    except (ValueError, TypeError) as error:
        raise KeyFileRefused(f"{path} is damaged; restore it from a backup") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyFileRefused(f"{path} holds no P-256 key")
    return key


def password_file(path: Path) -> Path:
    """Where the sealed password of a TLS key is."""
    return path.with_name(path.name + ".password")


def is_sealed(path: Path) -> bool:
    """Whether a file is one that `seal_file` wrote."""
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_SEALED:
            return False
        fields = cbor.decode(path.read_bytes())
    except (OSError, cbor.EncodingRefused):
        return False
    return isinstance(fields, dict) and fields.keys() == {"v", "kdf", "nonce", "ciphertext"}


def check_private(file: IO[Any], path: Path) -> None:
    """Raises KeyFileRefused for an open file with a secret that others can use."""
    if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
        raise KeyFileRefused(f"{path} is readable by others; run: chmod 600 {path}")


def _read_private(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            check_private(file, path)
            return file.read()
    except OSError as error:
        raise KeyFileRefused(f"{path} does not read: {error.strerror}; is this the right folder?") from error


def write_private(path: Path, content: bytes) -> None:
    """Writes a file that only its owner can read, whole or not at all: beside, synced, then renamed over."""
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    partial.rename(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Has a folder's names on the disk when it returns. Raises OSError."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
