"""What a node must have before anything that the hub's key of today has signed: how that key came to be the hub's.

Whoever publishes gives each node the handovers first, and whatever else once the broker has them. So the node never
sees a signature by a key that it knows nothing of, however many workers there are and whenever they were started.
"""

import hashlib
from collections.abc import Iterable

from hub.ledger import Ledger
from hub.publication import Publication
from schemas.control import MessageType


class Foreword:
    """That of a ledger's key: of which nodes the broker has it, all who publish for that ledger in a process know."""

    def __init__(self, log: Ledger) -> None:
        self._news = log.handovers
        self._told = log.told

    def owed(self, publications: Iterable[Publication]) -> list[Publication]:
        """What goes out before these."""
        if not self._news:
            return []
        # What others have sealed and signed says nothing in the hub's name.
        nodes = {item.node for item in publications if item.type != MessageType.ENVELOPE} - self._told
        return [publication(node, news) for node in sorted(nodes) for news in self._news]

    def told(self, nodes: Iterable[str]) -> None:
        """The broker has it for these nodes."""
        self._told.update(nodes)


def publication(node: str, news: bytes) -> Publication:
    """What a node is sent of a handover."""
    digest = hashlib.sha256(news).hexdigest()[:32]
    return Publication(node, MessageType.HANDOVER, False, f"handover-{digest}/{node}", news)
