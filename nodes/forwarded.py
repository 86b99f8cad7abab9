"""What was handed on, as its recipient sees it: whether the handling of the first message lets it be here. Pure.

The sending node looks first (`onward`), and knows more: it has the message. This is for what it should not have sent.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any, Final

from crypto.envelope import verify
from crypto.errors import CryptoError
from crypto.trust import Trust
from schemas import registry
from schemas.codes import Handling, is_weaker
from schemas.header import NONCE_SIZE, Header
from schemas.kinds.permissions import Permission, Use
from schemas.refusals import RefusalCode

FORWARD: Final = "forward"
PERMISSION: Final = "permission"


class ForwardRefused(Exception):
    """The handling of the first message forbids it."""

    def __init__(self, code: RefusalCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def needs_permission(handling: Handling) -> bool:
    """Whether what has this handling may be handed on only as its provider permits."""
    return not is_weaker(handling, Handling.H2)


def check_forward(header: Header, body: Mapping[str, Any], node: str, trust: Trust) -> None:
    """Raises ForwardRefused for a valid body of kind forward that this node should not have been sent.

    A sender that does not say which handling the first message had is taken to say that of its own.
    """
    provider, said = body["provider"], body.get("handling")
    first = Handling(said) if said else header.handling
    if is_weaker(header.handling, first):
        detail = f"{first} was handed on with {header.handling}"
        raise ForwardRefused(RefusalCode.HANDLING_WEAKENED, detail)
    if not needs_permission(first) or provider in (header.sender, node):
        return
    proof = body.get("proof")
    if not isinstance(proof, dict):
        raise ForwardRefused(RefusalCode.PERMISSION_MISSING, f"{first} was handed on without {provider}'s permission")
    found = proven(proof, body, header.sender, trust)
    if node not in (found.recipients or ()):
        raise ForwardRefused(RefusalCode.PERMISSION_MISSING, f"{provider} did not permit that it goes to {node}")


def proven(proof: Mapping[str, Any], body: Mapping[str, Any], forwarder: str, trust: Trust) -> Permission:
    """The permission that the proof shows: the provider's, to the forwarder, to hand this on. Raises ForwardRefused."""
    refused = RefusalCode.PERMISSION_MISSING
    try:
        envelope, content = (base64.b64decode(proof[name], validate=True) for name in ("envelope", "content"))
        header = verify(envelope, trust.signer_of).header
        if hashlib.sha256(content).digest() != header.digest:
            raise ForwardRefused(refused, "the permission's content is not what its provider signed")
        if header.kind != PERMISSION:
            raise ForwardRefused(refused, "the proof is of another message than a permission")
        read = registry.read_body(PERMISSION, header.kind_version, content[NONCE_SIZE:])
        said = Permission.model_validate(read, extra="ignore")
    except (CryptoError, registry.BodyInvalid, registry.KindUnknown, binascii.Error, ValueError) as error:
        raise ForwardRefused(refused, "the permission cannot be verified") from error
    told = header.sender, str(header.id), forwarder in header.recipients
    if told != (body["provider"], str(body.get("permission")), True):
        raise ForwardRefused(refused, "the proof is of another permission than the one named")
    if not permits(said, str(body["message"]), Use.FORWARD):
        raise ForwardRefused(refused, "the permission is of something else, or was not given")
    return said


def permits(said: Permission, message: str, use: Use) -> bool:
    """Whether a permission is given for this use of this message."""
    return said.granted and said.use is use and str(said.message) == message
