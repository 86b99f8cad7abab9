"""The exchange's certification authorities: which there are, as the hub tells the nodes, and as a node says it back."""

from typing import Annotated, Final, Literal

from pydantic import Field

from schemas.control import Wire
from schemas.header import Digest, Millis, NodeId

# Two while one takes the place of the other; more would be a mistake.
MOST: Final = 3
Der = Annotated[bytes, Field(min_length=1, max_length=4000)]


class Authorities(Wire):
    """The certificates of the authorities (DER), self-signed; the first of them is the one that issues.

    `crosses` are certificates of a newer one's key by an older one: what shows an old node that the new one is no
    stranger's.
    """

    v: Literal[1] = 1
    authorities: Annotated[tuple[Der, ...], Field(min_length=1, max_length=MOST, fail_fast=True)]
    crosses: Annotated[tuple[Der, ...], Field(max_length=MOST, fail_fast=True)] = ()


class AuthoritiesHeld(Wire):
    """What a node trusts, and of which authority its certificate is: SHA-256 of their certificates.

    `at` is the node's clock, ms: of two reports the later one counts.
    """

    v: Literal[1] = 1
    node: NodeId
    at: Millis
    authorities: Annotated[tuple[Digest, ...], Field(min_length=1, max_length=MOST, fail_fast=True)]
    issuer: Digest | None = None
