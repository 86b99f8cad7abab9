"""What this version of the program writes down of what an older one has stored, once, before the agent begins."""

from sqlalchemy.engine import Connection

from nodes import amendments, inbox, outbox
from nodes.store import Store


def read_older(connection: Connection, box: Store) -> None:
    """Reads from their bodies what corrections and withdrawals are about."""
    if ids := amendments.unread(connection):
        read = (one for id in ids for one in (inbox.read(connection, box, id), outbox.read(connection, box, id)) if one)
        amendments.read_older(connection, list(read))
