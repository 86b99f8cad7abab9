"""A node renews its keys and its TLS certificate: what it asks of the hub, and what the hub answers."""

from typing import Annotated, Final, Literal

from pydantic import Field

from schemas.control import Wire
from schemas.header import Digest, Millis, NodeId

# ML-KEM-768 with X25519 is the longest key, 1216 bytes.
PublicKey = Annotated[bytes, Field(min_length=32, max_length=2000)]
Pem = Annotated[str, Field(min_length=1, max_length=10_000)]
MOST_TEXT: Final = 300


class RenewalRequest(Wire):
    """New public keys of a node (encodings: docs/protocol.md), and a certificate request for a new TLS key.

    Whatever is missing stays as it is. `at` tells one request from another and is the node's clock, ms.
    """

    v: Literal[1] = 1
    node: NodeId
    at: Millis
    signing: PublicKey | None = None
    encryption: PublicKey | None = None
    witness: PublicKey | None = None
    csr_pem: Pem | None = None


class RenewalAnswer(Wire):
    """The hub's answer to the request whose SHA-256 is `request`: a certificate if one was asked for, or a refusal.

    New keys stand in the roster, which comes by itself; the answer says only that they will.
    """

    v: Literal[1] = 1
    request: Digest
    certificate_pem: Pem | None = None
    code: Annotated[str, Field(max_length=60)] | None = None
    detail: Annotated[str, Field(max_length=MOST_TEXT)] | None = None
