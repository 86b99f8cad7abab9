"""Which user of the broker a node is: its certificate's common name, another one with each set of new keys.

Who has lost its keys or was revoked comes back as another user, and the one before is taken away. So whoever holds the
certificate of before cannot log in with it, although that is valid and the node takes part: RabbitMQ does not look at
revocation lists. A renewed certificate has the name of the one before it.
"""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from crypto import certificates
from hub import tables
from hub.topology import generation_of, user_of
from schemas.joining import Stage

# From when the broker is told of it, until it was taken back.
_IN_FORCE: Final = (Stage.CONFIRMED, Stage.PROVISIONED, Stage.IN_ROSTER, Stage.WELCOMED)


async def of_nodes(connection: AsyncConnection) -> dict[str, str]:
    """Of the nodes that came back with new keys, their users; all others are `topology.user_of` them."""
    table = tables.enrolment.c
    query = select(table.node, table.certificate).where(
        table.replace_keys, table.certificate.is_not(None), table.stage.in_([str(stage) for stage in _IN_FORCE])
    )
    users: dict[str, str] = {}
    for row in await connection.execute(query):
        name = certificates.common_name(certificates.read_certificate(row.certificate.encode()))
        if generation_of(name) > generation_of(users.get(row.node, user_of(row.node))):
            users[row.node] = name
    return users


def following(users: Mapping[str, str], node: str) -> str:
    """The user that a node becomes with new keys."""
    return user_of(node, generation_of(users.get(node, user_of(node))) + 1)
