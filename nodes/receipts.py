"""Receipts as they come: what the hub's proven word means for the messages sent and received here."""

from dataclasses import dataclass

import structlog
from sqlalchemy.engine import Connection

from crypto.errors import NoteInvalid
from crypto.note import NoteVerifier
from crypto.receipt import Proven, verify_receipts
from crypto.trust import Trust
from nodes import evidence, histories, inbox, notices, outbox, proofs
from nodes.histories import Standing
from schemas.control import Event, Receipts

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose receipts, of which log, and by whose key."""

    node: str
    origin: str
    hub: NoteVerifier

    def take_in(self, connection: Connection, body: bytes, trust: Trust, now: int) -> None:
        """Takes in a bundle. Raises ControlRefused and what `verify_receipts` and `evidence.words` do; HubCaught."""
        bundle = Receipts.from_bytes(body)
        proven = self._proven(bundle)
        words = evidence.words(bundle.acknowledgements, trust)
        evidence.keep_words(connection, words, self.node)
        kept = []
        for receipt, found in zip(bundle.receipts, proven, strict=True):
            single = bundle.model_copy(update={"receipts": (receipt,), "acknowledgements": ()})
            if not self._settle(connection, found, words, single):
                log.warning("receipt_fits_nothing", index=found.index, entry=str(found.entry.event))
            elif _is_shown(found, self.node):
                kept.append(receipt)
        proofs.expect(connection, kept, now)
        histories.see(connection, proven[0].checkpoint, bundle.checkpoint, Standing.SEEN, now)

    def _proven(self, bundle: Receipts) -> tuple[Proven, ...]:
        try:
            return verify_receipts(bundle, self.origin, self.hub)
        except NoteInvalid:
            # Raises HubCaught if it is whole and of another key.
            histories.opened(bundle.checkpoint, self.origin, self.hub)
            raise

    def _settle(
        self, connection: Connection, proven: Proven, words: dict[bytes, evidence.Word], receipt: Receipts
    ) -> bool:
        entry = proven.entry
        if entry.event in (Event.ACCEPTED, Event.REFUSED, Event.QUARANTINED):
            return outbox.settle(connection, proven, receipt.to_bytes())
        if entry.event in (Event.DELIVERED, Event.DECLINED):
            if entry.node == self.node:
                if entry.sender is not None and entry.envelope is not None:
                    inbox.acknowledged(connection, entry.sender, str(entry.message), entry.envelope)
                return True
            # Without the recipient's own signed word, the one that the entry names, the hub's is not taken.
            word = words.get(entry.evidence or b"")
            if word is None or word.said.recipient != entry.node:
                return False
            item = next((item for item in word.said.items if item.id == entry.message), None)
            return item is not None and outbox.settle_delivery(connection, proven, item, receipt.to_bytes())
        if entry.event in (Event.REMINDED, Event.ESCALATED, Event.EXPIRED):
            return notices.keep(connection, proven, self.node)
        # That something was released, discarded or erased; what follows from a release has an entry of its own.
        return entry.event in (Event.RELEASED, Event.DISCARDED, Event.ERASED)


def _is_shown(proven: Proven, node: str) -> bool:
    """Whether the entry is part of what this node can show of a message it sent."""
    entry = proven.entry
    if entry.event in (Event.DELIVERED, Event.DECLINED):
        return entry.node != node
    return entry.event in (Event.ACCEPTED, Event.REFUSED, Event.QUARANTINED)
