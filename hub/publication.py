"""What goes out to the nodes: deliveries of envelopes, and bundles of receipts under one signed checkpoint."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from hub.ledger import Appended, evidence
from schemas.control import MessageType, Receipt, Receipts

# Below the broker's limit for a message (2 MiB), whatever the recipients' acknowledgements weigh.
BUNDLE_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Publication:
    """One message for one node's inbox. `type` is the AMQP type; `message_id` is unique per node and content.

    `after` is the id of the message that comes before it in its thread, if this node is sent one.
    """

    node: str
    type: str
    urgent: bool
    message_id: str
    body: bytes
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Untaken:
    """A publication that the broker returned or rejected, and why."""

    publication: Publication
    reason: str


@dataclass(frozen=True, slots=True)
class Owed:
    """Which nodes are owed an entry's receipt, and the signed acknowledgement that goes with it."""

    nodes: tuple[str, ...]
    signed: bytes | None = None


def delivery_id(sender: str, message: str, node: str) -> str:
    """The `message_id` of a message on its way to one of its recipients."""
    return f"{sender}/{message}/{node}"


def deliveries(
    envelope: bytes, sender: str, message: str, *, urgent: bool, recipients: Iterable[str], after: Mapping[str, str]
) -> list[Publication]:
    """The envelope, unchanged, for each of these recipients; `after` has what comes before it, by recipient."""
    return [
        Publication(node, MessageType.ENVELOPE, urgent, delivery_id(sender, message, node), envelope, after.get(node))
        for node in recipients
    ]


def bundles(appended: Appended, owed: Iterable[Owed]) -> list[Publication]:
    """The receipts, bundled for each node that is owed any; `owed` is in the receipts' order."""
    by_node: dict[str, list[tuple[Receipt, bytes | None]]] = {}
    for receipt, to in zip(appended.receipts, owed, strict=True):
        for node in dict.fromkeys(to.nodes):
            by_node.setdefault(node, []).append((receipt, to.signed))
    return [_bundle(node, appended.note, part) for node, items in by_node.items() for part in _parts(items)]


def _parts(items: list[tuple[Receipt, bytes | None]]) -> Iterator[list[tuple[Receipt, bytes | None]]]:
    part: list[tuple[Receipt, bytes | None]] = []
    size, last = 0, None
    for receipt, signed in items:
        weight = len(receipt.entry) + 40 * len(receipt.proof) + (len(signed) if signed and signed != last else 0)
        if part and size + weight > BUNDLE_BYTES:
            yield part
            part, size = [], 0
        part.append((receipt, signed))
        size, last = size + weight, signed
    yield part


def _bundle(node: str, note: str, items: list[tuple[Receipt, bytes | None]]) -> Publication:
    signed = dict.fromkeys(signed for _, signed in items if signed is not None)
    receipts = tuple(receipt for receipt, _ in items)
    # Built without validation: every value is our own, and this is the hot path.
    bundle = Receipts.model_construct(checkpoint=note, receipts=receipts, acknowledgements=tuple(signed))
    body = bundle.to_bytes()
    return Publication(node, MessageType.RECEIPTS, False, f"{evidence(body)[:16].hex()}/{node}", body)
