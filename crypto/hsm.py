"""Signing keys that stay in hardware, through PKCS #11 (OASIS, version 2.40): a token signs, its key never leaves it.

A key in a token is a private key of `cryptography` like any other, for all that it can do is sign: `SigningKey` takes
it as it takes one of its own. What is stored of it, sealed, is a `Reference`: which token, what the key is called
there, the PIN, and the public key, so that the token is asked only when something is signed.

Advice: ECDSA with P-256 is what all hardware has; Ed25519 is newer there (PKCS #11 3.0). Call the token by its label,
for slot numbers change. A token that is taken out and put back is found again; what could not be signed meanwhile is an
error with the code `hsm_unavailable`, and nothing is lost by trying again.
"""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric import utils as asymmetric_utils

from crypto.errors import HsmUnavailable, KeyUnusable
from schemas import cbor

# DER of the curves' object identifiers, 1.2.840.10045.3.1.7 (RFC 5480) and 1.3.101.112 (RFC 8410).
_P256_PARAMETERS: Final = bytes.fromhex("06082a8648ce3d030107")
_ED25519_PARAMETERS: Final = bytes.fromhex("06032b6570")
_ED25519_SIZE: Final = 32
_POINT_SIZE: Final = 65


@dataclass(frozen=True, slots=True)
class Token:
    """Where keys are: the PKCS #11 library of the hardware's maker, the token's label, and the user's PIN."""

    module: Path
    label: str
    pin: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Reference:
    """A key in a token: its label there, and its public key (32 bytes of Ed25519, or the 65 of a P-256 point)."""

    token: Token
    key: str
    public: bytes

    def to_bytes(self) -> bytes:
        """Deterministic CBOR, PIN included: for a sealed file only."""
        token = self.token
        named = {"module": str(token.module), "token": token.label, "pin": token.pin}
        return cbor.encode({**named, "key": self.key, "public": self.public})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """What `to_bytes` gave. Raises KeyUnusable."""
        try:
            fields = cbor.decode(data)
        except cbor.EncodingRefused as error:
            raise KeyUnusable("this does not say where a key is") from error
        match fields:
            case {
                "module": str(module),
                "token": str(label),
                "pin": str(pin),
                "key": str(key),
                "public": bytes(public),
            }:
                return cls(Token(Path(module), label, pin), key, public)
        raise KeyUnusable("this does not say where a key is")


class HsmP256(ec.EllipticCurvePrivateKey):
    """A P-256 key in a token. All that it does is sign with ECDSA."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self._public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), reference.public)

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """DER of r and s (RFC 3279). Raises HsmUnavailable."""
        algorithm = signature_algorithm.algorithm
        if not isinstance(algorithm, hashes.HashAlgorithm):
            raise KeyUnusable("a token signs data, not what somebody else has hashed")
        digest = hashlib.new(algorithm.name, data).digest()
        raw = _session_of(self.reference.token).sign(self.reference.key, "EC", "ECDSA", digest)
        half = len(raw) // 2
        return asymmetric_utils.encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public key, as it was when the key was made."""
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        """P-256."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """256."""
        return self._public.key_size

    def exchange(self, *_: Any) -> NoReturn:
        """Raises KeyUnusable: the key signs."""
        _refuse()

    def private_numbers(self) -> NoReturn:
        """Raises KeyUnusable: the key is in the token."""
        _refuse()

    def private_bytes(self, *_: Any) -> NoReturn:
        """Raises KeyUnusable: the key is in the token."""
        _refuse()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self


class HsmEd25519(ed25519.Ed25519PrivateKey):
    """An Ed25519 key in a token."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self._public = ed25519.Ed25519PublicKey.from_public_bytes(reference.public)

    def sign(self, data: Any) -> bytes:
        """64 bytes (RFC 8032). Raises HsmUnavailable."""
        return _session_of(self.reference.token).sign(self.reference.key, "EC_EDWARDS", "EDDSA", bytes(data))

    def public_key(self) -> ed25519.Ed25519PublicKey:
        """The public key, as it was when the key was made."""
        return self._public

    def private_bytes(self, *_: Any) -> NoReturn:
        """Raises KeyUnusable: the key is in the token."""
        _refuse()

    def private_bytes_raw(self) -> NoReturn:
        """Raises KeyUnusable: the key is in the token."""
        _refuse()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self


HsmKey = HsmP256 | HsmEd25519


def opened(reference: Reference) -> HsmKey:
    """The key that a reference is to; the token is not asked yet. Raises KeyUnusable."""
    try:
        if len(reference.public) == _ED25519_SIZE:
            return HsmEd25519(reference)
        return HsmP256(reference)
    except ValueError as error:
        raise KeyUnusable("the reference to a key in a token holds no public key") from error


def generate_p256(token: Token, key: str) -> HsmP256:
    """A fresh P-256 key in the token under that label. Raises HsmUnavailable, KeyUnusable."""
    point = _session_of(token).generate(key, "EC", None)
    return HsmP256(Reference(token, key, point))


def generate_ed25519(token: Token, key: str) -> HsmEd25519:
    """A fresh Ed25519 key in the token under that label. Raises HsmUnavailable, KeyUnusable."""
    point = _session_of(token).generate(key, "EC_EDWARDS", "EC_EDWARDS_KEY_PAIR_GEN")
    return HsmEd25519(Reference(token, key, point))


def _refuse() -> NoReturn:
    raise KeyUnusable("the key is in a hardware token, which signs with it and does not give it out")


class _Session:
    """A token, logged in to while it answers, by one thread at a time."""

    def __init__(self, token: Token) -> None:
        self._token = token
        self._lock = threading.Lock()
        self._session: Any = None
        self._keys: dict[str, Any] = {}

    def sign(self, key: str, key_type: str, mechanism: str, data: bytes) -> bytes:
        return self._asked(lambda pkcs11: self._sign(pkcs11, key, key_type, mechanism, data))

    def generate(self, key: str, key_type: str, mechanism: str | None) -> bytes:
        return self._asked(lambda pkcs11: self._generate(pkcs11, key, key_type, mechanism))

    def _asked(self, ask: Callable[[Any], bytes]) -> bytes:
        pkcs11 = _library()
        with self._lock:
            try:
                try:
                    return bytes(ask(pkcs11))
                except pkcs11.exceptions.NoSuchKey:
                    raise
                except pkcs11.exceptions.PKCS11Error:
                    # A token that was away, or a session that it has forgotten.
                    self._close(pkcs11)
                    return bytes(ask(pkcs11))
            except pkcs11.exceptions.NoSuchKey as error:
                raise HsmUnavailable(f"the token {self._token.label!r} has no such key") from error
            except (pkcs11.exceptions.PKCS11Error, RuntimeError) as error:
                self._close(pkcs11)
                raise HsmUnavailable(f"the token {self._token.label!r} does not answer: {_why(error)}") from error

    def _open(self, pkcs11: Any) -> Any:
        if self._session is None:
            token = _module(self._token.module).get_token(token_label=self._token.label)
            self._session = token.open(rw=True, user_pin=self._token.pin)
        return self._session

    def _close(self, pkcs11: Any) -> None:
        session, self._session, self._keys = self._session, None, {}
        if session is not None:
            try:
                session.close()
            except pkcs11.exceptions.PKCS11Error:
                return

    def _sign(self, pkcs11: Any, key: str, key_type: str, mechanism: str, data: bytes) -> bytes:
        session = self._open(pkcs11)
        if key not in self._keys:
            kind = pkcs11.KeyType[key_type]
            self._keys[key] = session.get_key(pkcs11.ObjectClass.PRIVATE_KEY, key_type=kind, label=key)
        signature: bytes = self._keys[key].sign(data, mechanism=pkcs11.Mechanism[mechanism])
        return signature

    def _generate(self, pkcs11: Any, key: str, key_type: str, mechanism: str | None) -> bytes:
        session, attribute, kind = self._open(pkcs11), pkcs11.Attribute, pkcs11.KeyType[key_type]
        if any(True for _ in session.get_objects({attribute.LABEL: key})):
            raise KeyUnusable(f"the token {self._token.label!r} has a key {key!r} already; name another label")
        curve = _ED25519_PARAMETERS if mechanism else _P256_PARAMETERS
        parameters = session.create_domain_parameters(kind, {attribute.EC_PARAMS: curve}, local=True)
        how = {} if mechanism is None else {"mechanism": pkcs11.Mechanism[mechanism]}
        kept = {attribute.SENSITIVE: True, attribute.EXTRACTABLE: False}
        public, _ = parameters.generate_keypair(label=key, store=True, private_template=kept, **how)
        point = bytes(public[attribute.EC_POINT])
        # An octet string in DER (PKCS #11 section 2.3.6); some tokens give the point alone.
        size = _ED25519_SIZE if mechanism else _POINT_SIZE
        return point[-size:]


@cache
def _session_of(token: Token) -> _Session:
    return _Session(token)


def _library() -> Any:
    try:
        return import_module("pkcs11")
    except ImportError as error:
        raise HsmUnavailable("keys in tokens need the package python-pkcs11: install seci-exchange[hsm]") from error


@cache
def _module(path: Path) -> Any:
    return _library().lib(str(path))


def _why(error: Exception) -> str:
    # The library's errors are classes with names in the words of PKCS #11, mostly without a text.
    return type(error).__name__ + (f" ({error})" if str(error) else "")
