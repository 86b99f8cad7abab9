"""Receipts as they come: what the hub's proven word means for the messages sent and received here."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy.engine import Connection

from crypto.errors import NoteInvalid
from crypto.hubkeys import LedgerKeys
from crypto.log import log
from crypto.receipt import Proven, verify_receipts
from crypto.trust import Trust
from nodes import acceptances, evidence, hearsay, histories, inbox, notices, orders, outbox, proofs
from nodes.histories import Standing
from schemas.control import AcknowledgedMessage, Entry, Event, Receipt, Receipts

# What this node can show of a message: of one it sent, and that it acknowledged one that it received.
_DECISIONS: Final = (Event.ACCEPTED, Event.REFUSED, Event.QUARANTINED)
_ANSWERS: Final = (Event.DELIVERED, Event.DECLINED)


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose receipts, of which log, and by whose key."""

    node: str
    origin: str
    hub: LedgerKeys

    def take_in(self, connection: Connection, body: bytes, trust: Trust, now: int) -> bool:
        """Takes in a bundle; returns whether it proves that others' messages were accepted.

        Raises ControlRefused and what `verify_receipts` and `evidence.words` do; HubCaught.
        """
        bundle = Receipts.from_bytes(body)
        proven = self._proven(bundle)
        words = evidence.words(bundle.acknowledgements, trust, proven)
        evidence.keep_words(connection, words, self.node)
        for word in words.values():
            hearsay.hear(connection, word.said.recipient, word.said.roster, trust.reference, now)
        kept, on_record = list[Receipt](), list[tuple[Entry, bytes | None]]()
        for receipt, found in zip(bundle.receipts, proven, strict=True):
            single = bundle.alone(receipt)
            if found.entry.event in _ANSWERS and found.entry.node == self.node:
                # Only one that rests on our own word is worth showing; the duty ends with any.
                shown = _item(found.entry, words) is not None
                on_record.append((found.entry, single if shown else None))
                kept += [receipt] if shown else []
            elif not self._settle(connection, found, words, single):
                log.warning("receipt_fits_nothing", index=found.index, entry=str(found.entry.event))
            elif found.entry.event in (*_DECISIONS, *_ANSWERS) and self.node in (found.entry.sender, found.entry.node):
                kept.append(receipt)
        inbox.acknowledged(connection, on_record)
        proofs.expect(connection, kept, now)
        histories.see(connection, proven[0].checkpoint, bundle.checkpoint, Standing.SEEN, now)
        return any(found.entry.event is Event.ACCEPTED and found.entry.sender != self.node for found in proven)

    def _proven(self, bundle: Receipts) -> tuple[Proven, ...]:
        try:
            return verify_receipts(bundle, self.origin, self.hub)
        except NoteInvalid:
            # Raises HubCaught if it is whole and of another key.
            histories.opened(bundle.checkpoint, self.origin, self.hub)
            raise

    def _settle(
        self, connection: Connection, proven: Proven, words: dict[bytes, evidence.Word], receipt: bytes
    ) -> bool:
        entry = proven.entry
        if entry.event is Event.ACCEPTED and entry.sender != self.node and self.node in (entry.recipients or ()):
            acceptances.keep(connection, proven)
            return True
        if entry.event is Event.MEMBERSHIP:
            return orders.settle(connection, proven, receipt)
        if entry.event in _DECISIONS:
            # What could not be read may have been an order.
            unreadable = entry.event is Event.QUARANTINED
            return outbox.settle(connection, proven, receipt) or (
                unreadable and orders.settle(connection, proven, receipt)
            )
        if entry.event in _ANSWERS:
            item = _item(entry, words)
            return item is not None and outbox.settle_delivery(connection, proven, item, receipt)
        if entry.event in notices.OF_MESSAGES:
            return notices.keep(connection, proven, self.node)
        # That something was released, discarded or erased; what follows from a release has an entry of its own.
        return entry.event in (Event.RELEASED, Event.DISCARDED, Event.ERASED, Event.OPERATOR)


def _item(entry: Entry, words: dict[bytes, evidence.Word]) -> AcknowledgedMessage | None:
    # Without the recipient's own signed word, the one that the entry names, the hub's is not taken.
    word = words.get(entry.evidence or b"")
    if word is None or word.said.recipient != entry.node:
        return None
    said = entry.message, entry.envelope, str(entry.event), entry.code
    return next((item for item in word.said.items if _said(item) == said), None)


def _said(item: AcknowledgedMessage) -> tuple[object, ...]:
    return item.id, item.envelope, str(item.outcome), item.code
