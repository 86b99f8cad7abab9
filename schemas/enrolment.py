"""The two files by which a node joins: its request to the registrar, and the registrar's welcome.

JSON, with bytes in base64, so that an operator can look into them. Neither holds a secret.
"""

import hashlib
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.header import NodeId

_BASE64: Final = r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
Base64 = Annotated[str, Field(pattern=_BASE64, max_length=100_000)]


class EnrolmentRequest(BaseModel):
    """A node's public keys and TLS certificate request; `proof` is its signature over all of them.

    `witness_key` may be missing: programs before witnesses made none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = 1
    node: NodeId
    signing_key: Base64
    encryption_key: Base64
    witness_key: Base64 | None = None
    csr_pem: Annotated[str, Field(max_length=10_000)]
    proof: Base64

    def fingerprint(self) -> str:
        """What node and operator compare by telephone: 16 groups of 4 hex digits, SHA-256 over both public keys."""
        digest = hashlib.sha256(f"{self.node} {self.signing_key} {self.encryption_key}".encode()).hexdigest()
        return " ".join(digest[start : start + 4] for start in range(0, 64, 4))


class Welcome(BaseModel):
    """What an enrolled node needs: its certificate, where the broker is, whom to believe, the roster (RosterNews).

    `log_vkey_mldsa` is missing where the hub has no second key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = 1
    node: NodeId
    certificate_pem: str
    ca_pem: str
    broker_host: str
    broker_port: Annotated[int, Field(ge=1, le=65535)]
    vhost: str
    hub_key: Base64
    log_origin: str
    log_vkey: str
    log_vkey_mldsa: str | None = None
    roster: Annotated[str, Field(pattern=_BASE64, max_length=8_000_000)]
