"""Signing keys that stay in hardware, through PKCS #11 (OASIS, version 2.40): a token signs, its key never leaves it.

A key in a token is a private key of `cryptography` like any other, for all that it can do is sign: `SigningKey` takes
it as it takes one of its own. What is stored of it, sealed, is a `Reference`: which token, what the key is called
there, the PIN, and the public key, so that the token is asked only when something is signed.

No question waits for longer than `ANSWER_S`: a token that hangs must not take the program with it. A wrong PIN is said
once: tokens count, and lock themselves.

Advice: ECDSA with P-256 is what all hardware has; Ed25519 is newer there (PKCS #11 3.0). Call the token by its label,
for slot numbers change. A token that is taken out and put back is found again; what could not be signed meanwhile is an
error with the code `hsm_unavailable`, and nothing is lost by trying again.
"""

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn, Self

from cryptography.exceptions import InvalidSignature
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
ANSWER_S: Final = 20.0


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
        signature = asymmetric_utils.encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))
        try:
            self._public.verify(signature, data, signature_algorithm)
        except InvalidSignature as error:
            raise _another(self.reference) from error
        return signature

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
        signature = _session_of(self.reference.token).sign(self.reference.key, "EC_EDWARDS", "EDDSA", bytes(data))
        try:
            self._public.verify(signature, data)
        except InvalidSignature as error:
            raise _another(self.reference) from error
        return signature

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


def _another(reference: Reference) -> HsmUnavailable:
    # Its signatures would be refused one by one, and what they are under with them.
    return HsmUnavailable(f"the key {reference.key!r} in the token {reference.token.label!r} is another than it was")


def _refuse() -> NoReturn:
    raise KeyUnusable("the key is in a hardware token, which signs with it and does not give it out")


class _Session:
    """A token, logged in to while it answers, by one thread at a time."""

    def __init__(self, token: Token) -> None:
        self._token = token
        self._lock = threading.Lock()
        self._session: Any = None
        self._keys: dict[str, Any] = {}
        self._asking: threading.Thread | None = None
        self._refused = ""

    def sign(self, key: str, key_type: str, mechanism: str, data: bytes) -> bytes:
        return self._asked(lambda pkcs11: self._sign(pkcs11, key, key_type, mechanism, data))

    def generate(self, key: str, key_type: str, mechanism: str | None) -> bytes:
        return self._asked(lambda pkcs11: self._generate(pkcs11, key, key_type, mechanism))

    def _asked(self, ask: Callable[[Any], bytes]) -> bytes:
        pkcs11 = _library()
        if not self._lock.acquire(timeout=ANSWER_S):
            raise self._unavailable("it has too much to do")
        try:
            if self._asking is not None and self._asking.is_alive():
                raise self._unavailable("it has not answered an earlier question")
            return self._in_time(lambda: self._answer(pkcs11, ask))
        finally:
            self._lock.release()

    def _in_time(self, ask: Callable[[], bytes]) -> bytes:
        # Nothing ends a call into the token's library, but nobody has to wait for it, not even the program's end.
        answered: Future[bytes] = Future()

        def work() -> None:
            try:
                answered.set_result(ask())
            except BaseException as error:
                answered.set_exception(error)

        self._asking = threading.Thread(target=work, name="token", daemon=True)
        self._asking.start()
        try:
            return answered.result(ANSWER_S)
        except TimeoutError:
            raise self._unavailable(f"nothing in {ANSWER_S:.0f} s") from None

    def _answer(self, pkcs11: Any, ask: Callable[[Any], bytes]) -> bytes:
        errors = pkcs11.exceptions
        if self._refused:
            raise self._unavailable(self._refused)
        try:
            try:
                return bytes(ask(pkcs11))
            except (errors.NoSuchKey, errors.PinIncorrect, errors.PinLocked):
                raise
            except errors.PKCS11Error:
                # A token that was away, or a session that it has forgotten.
                self._close(pkcs11)
                return bytes(ask(pkcs11))
        except errors.NoSuchKey as error:
            raise HsmUnavailable(f"the token {self._token.label!r} has no such key") from error
        except (errors.PinIncorrect, errors.PinLocked) as error:
            self._refused = f"{_why(error)}; the PIN is not tried again before the program is started anew"
            raise self._unavailable(self._refused) from error
        except (errors.PKCS11Error, RuntimeError) as error:
            self._close(pkcs11)
            raise self._unavailable(_why(error)) from error

    def _unavailable(self, why: str) -> HsmUnavailable:
        return HsmUnavailable(f"the token {self._token.label!r} does not answer: {why}")

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
