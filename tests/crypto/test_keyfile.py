"""Key files: they open with the right secret only, are private to their owner, and are written whole or not at all."""

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from crypto import keyfile
from crypto.certificates import new_tls_key
from crypto.errors import CryptoError, KeyFileRefused, KeyUnusable, WrongPassphrase
from crypto.keyfile import NodeKeys, Secret, open_file, seal_file
from crypto.keys import SignatureAlgorithm, SigningKey
from crypto.mldsa import MlDsaKey
from schemas import cbor

PASSPHRASE = Secret.passphrase("correct horse battery staple")


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A key file of the generator's."""
    path = tmp_path / "secret.key"
    keyfile.generate_key_file(path)
    return path


@pytest.fixture
def secret(key_file: Path) -> Secret:
    """What a key file opens with; unlike a passphrase it needs no slow derivation."""
    return Secret.from_key_file(key_file)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_opens_with_its_passphrase_and_no_other(tmp_path: Path) -> None:
    seal_file(tmp_path / "file", b"content", PASSPHRASE)
    assert open_file(tmp_path / "file", Secret.passphrase("correct horse battery staple")) == b"content"
    with pytest.raises(WrongPassphrase):
        open_file(tmp_path / "file", Secret.passphrase("correct horse battery stable"))


def test_a_file_opens_with_its_key_file_and_no_other(tmp_path: Path, secret: Secret) -> None:
    seal_file(tmp_path / "file", b"content", secret)
    assert open_file(tmp_path / "file", secret) == b"content"
    keyfile.generate_key_file(tmp_path / "other.key")
    with pytest.raises(WrongPassphrase):
        open_file(tmp_path / "file", Secret.from_key_file(tmp_path / "other.key"))


def test_a_secret_of_the_other_sort_is_refused(tmp_path: Path, secret: Secret) -> None:
    seal_file(tmp_path / "one", b"", PASSPHRASE)
    seal_file(tmp_path / "two", b"", secret)
    for name, wrong in (("one", secret), ("two", PASSPHRASE)):
        with pytest.raises(WrongPassphrase, match="other way round"):
            open_file(tmp_path / name, wrong)


def test_the_content_is_not_in_the_file_and_two_files_of_it_differ(tmp_path: Path, secret: Secret) -> None:
    for name in ("one", "two"):
        seal_file(tmp_path / name, b"content" * 10, secret)
    one, two = (cbor.decode((tmp_path / name).read_bytes()) for name in ("one", "two"))
    assert b"content" not in one["ciphertext"]
    assert one["nonce"] != two["nonce"]
    assert one["kdf"]["salt"] != two["kdf"]["salt"]


def test_an_empty_passphrase_is_refused() -> None:
    with pytest.raises(KeyFileRefused, match="empty"):
        Secret.passphrase("")


def test_a_passphrase_is_derived_with_scrypt_at_work_that_hurts_a_guesser() -> None:
    kdf = PASSPHRASE.new_kdf()
    assert (kdf["name"], kdf["r"], kdf["p"], len(kdf["salt"])) == ("scrypt", 8, 1, 16)
    assert kdf["n"] >= 2**15


def test_files_are_readable_by_their_owner_only(tmp_path: Path, key_file: Path, secret: Secret) -> None:
    seal_file(tmp_path / "file", b"", secret)
    keyfile.save_tls_key(tmp_path / "tls.key", new_tls_key(), secret)
    for path in (key_file, tmp_path / "file", tmp_path / "tls.key", tmp_path / "tls.key.password"):
        assert mode_of(path) == 0o600


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o610])
def test_a_file_that_others_can_use_is_refused(tmp_path: Path, key_file: Path, secret: Secret, mode: int) -> None:
    seal_file(tmp_path / "file", b"", secret)
    (tmp_path / "file").chmod(mode)
    key_file.chmod(mode)
    with pytest.raises(KeyFileRefused, match="chmod 600"):
        open_file(tmp_path / "file", secret)
    with pytest.raises(KeyFileRefused, match="chmod 600"):
        Secret.from_key_file(key_file)


@pytest.mark.parametrize("content", [b"", b"hello", b"!!!!", b"AAAA\n", b"A" * 100, b"\xff" * 44])
def test_what_is_no_key_file_is_refused(key_file: Path, content: bytes) -> None:
    key_file.write_bytes(content)
    with pytest.raises(KeyFileRefused, match="restore it"):
        Secret.from_key_file(key_file)


def test_a_key_file_is_never_overwritten(key_file: Path) -> None:
    before = key_file.read_bytes()
    with pytest.raises(FileExistsError):
        keyfile.generate_key_file(key_file)
    assert key_file.read_bytes() == before


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_file_that_does_not_read_is_refused_by_name(tmp_path: Path, secret: Secret, name: str) -> None:
    with pytest.raises(KeyFileRefused, match="does not read"):
        open_file(tmp_path / name, secret)
    with pytest.raises(KeyFileRefused, match="does not read"):
        Secret.from_key_file(tmp_path / name)


def test_every_altered_byte_of_a_file_is_refused(tmp_path: Path, secret: Secret) -> None:
    path = tmp_path / "file"
    seal_file(path, b"content", secret)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x01]) + whole[place + 1 :])
        with pytest.raises((KeyFileRefused, WrongPassphrase)):
            open_file(path, secret)
        path.write_bytes(whole[:place])
        with pytest.raises(KeyFileRefused):
            open_file(path, secret)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("nonce", b""),
        ("nonce", b"1234"),
        ("nonce", 5),
        ("ciphertext", None),
        ("ciphertext", "text"),
        ("ciphertext", b""),
        ("v", 2),
        ("extra", 1),
        ("kdf", None),
        ("kdf", {}),
        ("kdf", {"name": "none"}),
    ],
)
def test_a_damaged_field_is_refused_and_not_a_crash(tmp_path: Path, secret: Secret, field: str, value: object) -> None:
    path = tmp_path / "file"
    seal_file(path, b"content", secret)
    path.write_bytes(cbor.encode({**cbor.decode(path.read_bytes()), field: value}))
    with pytest.raises((KeyFileRefused, WrongPassphrase)):
        open_file(path, secret)


@pytest.mark.parametrize("n", [0, 1, 3, 2**20 + 1, 2**21, 2**40])
def test_scrypt_work_that_is_no_work_or_too_much_is_refused_at_once(tmp_path: Path, n: int) -> None:
    path = tmp_path / "file"
    seal_file(path, b"content", PASSPHRASE)
    fields = cbor.decode(path.read_bytes())
    fields["kdf"]["n"] = n
    path.write_bytes(cbor.encode(fields))
    with pytest.raises(KeyFileRefused):
        open_file(path, PASSPHRASE)


@pytest.mark.parametrize("content", [b"\x80", b"\x05", b"\x40", b"\xa0"], ids=["list", "number", "bytes", "empty map"])
def test_a_file_that_is_no_map_of_fields_is_refused(tmp_path: Path, secret: Secret, content: bytes) -> None:
    path = tmp_path / "file"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(KeyFileRefused, match="damaged"):
        open_file(path, secret)


@pytest.mark.parametrize("moment", ["write", "fsync", "rename"])
def test_an_interrupted_write_leaves_the_old_content(
    tmp_path: Path, secret: Secret, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    path = tmp_path / "file"
    seal_file(path, b"old", secret)

    def interrupted(*_: object) -> None:
        raise OSError(28, "No space left on device")

    class Full:
        """A file on a full disk: half the bytes, then no more."""

        def __init__(self, descriptor: int, mode: str) -> None:
            self.descriptor = descriptor

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *_: object) -> None:
            os.close(self.descriptor)

        def write(self, content: bytes) -> None:
            os.write(self.descriptor, content[: len(content) // 2])
            interrupted()

    with monkeypatch.context() as patch:
        if moment == "write":
            patch.setattr(os, "fdopen", Full)
        elif moment == "fsync":
            patch.setattr(os, "fsync", interrupted)
        else:
            patch.setattr(Path, "rename", interrupted)
        with pytest.raises(OSError, match="No space"):
            seal_file(path, b"new", secret)
    assert open_file(path, secret) == b"old"
    seal_file(path, b"new", secret)
    assert open_file(path, secret) == b"new"


def test_node_keys_come_back_with_every_key_in_its_order(tmp_path: Path, secret: Secret) -> None:
    fresh, older = NodeKeys.generate(), NodeKeys.generate()
    keys = NodeKeys(fresh.signing, fresh.encryption + older.encryption, fresh.storage)
    keyfile.save_node_keys(tmp_path / "node.key", keys, secret)
    again = keyfile.load_node_keys(tmp_path / "node.key", secret)
    assert again.signing.public == keys.signing.public
    assert again.encryption == keys.encryption
    assert again.storage == keys.storage


@pytest.mark.parametrize("algorithm", SignatureAlgorithm)
def test_a_signing_key_comes_back(tmp_path: Path, secret: Secret, algorithm: SignatureAlgorithm) -> None:
    key = SigningKey.generate(algorithm)
    keyfile.save_signing_key(tmp_path / "hub.key", key, secret)
    assert keyfile.load_signing_key(tmp_path / "hub.key", secret).public == key.public


def test_an_mldsa_key_comes_back(tmp_path: Path, secret: Secret) -> None:
    key = MlDsaKey.generate()
    keyfile.save_mldsa_key(tmp_path / "ledger.mldsa.key", key, secret)
    assert keyfile.load_mldsa_key(tmp_path / "ledger.mldsa.key", secret).public == key.public
    assert key.seed not in (tmp_path / "ledger.mldsa.key").read_bytes()


def test_a_file_of_other_keys_is_refused(tmp_path: Path, secret: Secret) -> None:
    keyfile.save_signing_key(tmp_path / "hub.key", SigningKey.generate(), secret)
    keyfile.save_mldsa_key(tmp_path / "ledger.mldsa.key", MlDsaKey.generate(), secret)
    with pytest.raises(KeyUnusable):
        keyfile.load_mldsa_key(tmp_path / "hub.key", secret)
    with pytest.raises(KeyUnusable):
        keyfile.load_signing_key(tmp_path / "ledger.mldsa.key", secret)
    keyfile.save_node_keys(tmp_path / "node.key", NodeKeys.generate(), secret)
    with pytest.raises(KeyUnusable):
        keyfile.load_node_keys(tmp_path / "hub.key", secret)
    with pytest.raises(KeyUnusable):
        keyfile.load_signing_key(tmp_path / "node.key", secret)


def test_node_keys_do_not_show_themselves() -> None:
    keys = NodeKeys.generate()
    shown = repr(keys) + repr(PASSPHRASE)
    for hidden in (keys.storage, keys.signing.private_bytes()[1:], keys.encryption[0].seed):
        assert hidden.hex() not in shown
        assert repr(hidden) not in shown
    assert "horse" not in shown


def test_a_tls_key_comes_back_and_is_never_written_in_clear(tmp_path: Path, secret: Secret) -> None:
    key = new_tls_key()
    keyfile.save_tls_key(tmp_path / "tls.key", key, secret)
    assert (tmp_path / "tls.key").read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert keyfile.load_tls_key(tmp_path / "tls.key", secret).private_numbers() == key.private_numbers()


def test_a_tls_key_that_is_damaged_or_another_s_is_refused(tmp_path: Path, secret: Secret) -> None:
    path = tmp_path / "tls.key"
    for replacement in (b"", b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", _other(tmp_path, secret)):
        keyfile.save_tls_key(path, new_tls_key(), secret)
        path.write_bytes(replacement)
        with pytest.raises(CryptoError):
            keyfile.load_tls_key(path, secret)


def test_a_tls_key_in_clear_is_refused(tmp_path: Path, secret: Secret) -> None:
    path = tmp_path / "tls.key"
    keyfile.save_tls_key(path, new_tls_key(), secret)
    path.write_bytes(
        new_tls_key().private_bytes(
            Encoding.PEM,
            PrivateFormat.PKCS8,
            NoEncryption(),
        )
    )
    with pytest.raises(KeyFileRefused):
        keyfile.load_tls_key(path, secret)


def _other(folder: Path, secret: Secret) -> bytes:
    keyfile.save_tls_key(folder / "other.key", new_tls_key(), secret)
    return (folder / "other.key").read_bytes()
