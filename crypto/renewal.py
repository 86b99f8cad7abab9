"""A renewal request, signed: by the signing key that is in the roster, and by the new one if there is one.

The inner signature proves that the node has the new signing key; the outer one, over it, that the node which the roster
knows asks for it. That it can open what is closed to a new encryption key shows only in use, as at enrolment.
"""

from typing import Final

from crypto import cose
from crypto.errors import KeyNotValid, KeyUnusable, TooLarge
from crypto.keys import SigningKey, VerifyKey
from crypto.trust import Trust
from schemas.renewal import RenewalRequest
from schemas.roster import KeyUse

RENEWAL_TYPE: Final = "application/vnd.seci.renewal+cbor"
PROOF_TYPE: Final = "application/vnd.seci.renewal-proof+cbor"
MAX_RENEWAL: Final = 32 * 1024


def sign_renewal(request: RenewalRequest, current: SigningKey, new: SigningKey | None) -> bytes:
    """The request, signed with the key in the roster, and within it with the new key that it names."""
    inner = request.to_bytes() if new is None else cose.sign1(request.to_bytes(), PROOF_TYPE, new)
    return cose.sign1(inner, RENEWAL_TYPE, current)


def open_renewal(data: bytes, trust: Trust) -> RenewalRequest:
    """The request, whose signatures hold.

    Raises TooLarge, EnvelopeMalformed, AlgorithmRefused, SignatureInvalid, SenderUnknown, KeyUnknown, KeyNotValid,
    KeyUnusable, ControlRefused.
    """
    if len(data) > MAX_RENEWAL:
        raise TooLarge(f"a renewal request has at most {MAX_RENEWAL} bytes; this one has {len(data)}")
    outer = cose.parse_sign1(data, RENEWAL_TYPE)
    proof = _inner(outer.payload)
    request = RenewalRequest.from_bytes(outer.payload if proof is None else proof.payload)
    outer.verify(trust.signing_key(request.node, outer.kid, request.at))
    _check_not_replaced(request, outer.kid, trust)
    if (request.signing is None) != (proof is None):
        raise KeyUnusable("a renewal request is signed with the new signing key if it names one, and only then")
    if request.signing is not None and proof is not None:
        proof.verify(VerifyKey.from_public_bytes(request.signing))
    return request


def _check_not_replaced(request: RenewalRequest, kid: bytes, trust: Trust) -> None:
    # An old key signs messages for a while. It must not list another one: who had taken it would stay for good. Only
    # what its node was asking for when it was replaced, and signs with the new key too, is asked for still.
    listed = [key for key in trust.nodes[request.node].keys if key.use is KeyUse.SIGN]
    end = max(key.not_after for key in listed)
    if not any(key.not_after == end and (key.kid == kid or key.public == request.signing) for key in listed):
        raise KeyNotValid(f"key {kid.hex()} of {request.node} was replaced, and lists no other one")


def signer_of_renewal(data: bytes) -> bytes:
    """The id of the key in the roster that a request claims to be signed with. Raises as `open_renewal`."""
    return cose.parse_sign1(data, RENEWAL_TYPE).kid


def _inner(payload: bytes) -> cose.Signed | None:
    # A tagged COSE_Sign1 begins with its tag, and a request, which is a map, does not.
    return cose.parse_sign1(payload, PROOF_TYPE) if payload[:1] == b"\xd2" else None
