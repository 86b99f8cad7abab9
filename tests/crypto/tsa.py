"""A time-stamping authority of our own: a root and a signer made for the test, `openssl ts -reply` to sign."""

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

POLICY = "1.3.6.1.4.1.99999.1"
_CONFIG = """
[tsa]
default_tsa = this
[this]
serial = {folder}/serial
signer_digest = sha256
default_policy = {policy}
digests = sha256, sha512
accuracy = secs:1, millisecs:500
tsa_name = yes
ess_cert_id_alg = sha256
"""


@dataclass(frozen=True)
class Tsa:
    """Its files are in `folder`: `root.pem` is what a verifier trusts."""

    folder: Path

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        usages: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.TIME_STAMPING,),
        critical: bool = True,
        intermediate: bool = False,
        ended: timedelta = timedelta(0),
    ) -> "Tsa":
        """A new one; its certificate is for `usages`, ended so long ago, if at all, and goes back to the root directly
        or by an `intermediate` that only the answers have.
        """
        folder.mkdir(parents=True, exist_ok=True)
        root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        root = _authority(f"Root of {folder.name}", root_key, f"Root of {folder.name}", root_key)
        issuer, issuer_key, chain = root, root_key, b""
        if intermediate:
            issuer_key = ec.generate_private_key(ec.SECP256R1())
            issuer = _authority(f"Intermediate of {folder.name}", issuer_key, f"Root of {folder.name}", root_key)
            chain = issuer.public_bytes(Encoding.PEM)
        signer = _builder(_name(f"TSA of {folder.name}"), issuer.subject, key.public_key(), ended)
        if usages:
            signer = signer.add_extension(x509.ExtendedKeyUsage(usages), critical=critical)
        (folder / "root.pem").write_bytes(root.public_bytes(Encoding.PEM))
        (folder / "chain.pem").write_bytes(chain)
        (folder / "signer.pem").write_bytes(signer.sign(issuer_key, hashes.SHA256()).public_bytes(Encoding.PEM))
        (folder / "signer.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        (folder / "serial").write_text("01")
        (folder / "openssl.cnf").write_text(_CONFIG.format(folder=folder, policy=POLICY))
        return cls(folder)

    @property
    def roots(self) -> Path:
        """The file of what is trusted."""
        return self.folder / "root.pem"

    def reply(self, request: bytes, *options: str) -> bytes:
        """The answer (DER) to a request (DER), as openssl gives it; a refusal, if it refuses."""
        query, answer = self.folder / "query.tsq", self.folder / "answer.tsr"
        query.write_bytes(request)
        answer.unlink(missing_ok=True)
        chain = ["-chain", "chain.pem"] if (self.folder / "chain.pem").stat().st_size else []
        files = ["-signer", "signer.pem", "-inkey", "signer.key", "-config", "openssl.cnf", *chain]
        self._openssl("ts", "-reply", "-queryfile", query.name, "-out", answer.name, *files, *options)
        return answer.read_bytes()

    def info(self, request: bytes) -> bytes:
        """What it would sign (DER, TSTInfo)."""
        (self.folder / "token").write_bytes(self.reply(request, "-token_out"))
        self._openssl("cms", "-verify", "-noverify", "-inform", "DER", "-in", "token", "-out", "info")
        return (self.folder / "info").read_bytes()

    def sign(self, info: bytes, *options: str, content: str = "1.2.840.113549.1.9.16.1.4") -> bytes:
        """An answer that says `info`, whatever it is and whatever its certificate is for.

        It names its certificate with `-cades` only, as it should.
        """
        (self.folder / "info").write_bytes(info)
        kind = ["-binary", "-nodetach", "-econtent_type", content, "-md", "sha256"]
        files = ["-in", "info", "-signer", "signer.pem", "-inkey", "signer.key", "-outform", "DER", "-out", "token"]
        self._openssl("cms", "-sign", *kind, *files, *options)
        return granted((self.folder / "token").read_bytes())

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True, timeout=30)


def granted(token: bytes) -> bytes:
    """A TimeStampResp (DER) with status `granted`."""
    content = bytes.fromhex("3003020100") + token
    size = len(content)
    return b"\x30" + (bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2)) + content


def openssl_verifies(data: Path, response: Path, roots: Path) -> bool:
    """What an auditor types; docs/ledger.md."""
    argv = ["openssl", "ts", "-verify", "-data", data, "-in", response, "-CAfile", roots]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    return done.returncode == 0 and "Verification: OK" in done.stdout


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _authority(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    return (
        _builder(_name(name), _name(issuer), key.public_key(), timedelta(0))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, ended: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now - ended if ended else now + timedelta(days=10))
    )
