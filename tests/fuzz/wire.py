"""Everything that is read from the broker.

A target whose name says "signed anew" alters what is inside and signs it with a member's own key, as a hostile
member can: so what lies behind the signature is reached too.
"""

from functools import partial
from typing import Any

from pamqp import commands
from pamqp.header import ContentHeader

from crypto import cose, envelope
from crypto.errors import CryptoError, NoteInvalid
from crypto.keyfile import NodeKeys
from crypto.note import Checkpoint, NoteVerifier, open_note, sign_note
from crypto.orders import ORDER_TYPE, sign_order
from crypto.receipt import verify_receipts
from crypto.rosternews import open_news
from crypto.trust import (
    ACKNOWLEDGEMENT_TYPE,
    ROSTER_TYPE,
    Trust,
    open_acknowledgement,
    open_roster,
    sign_acknowledgement,
    sign_roster,
)
from hub.judge import Arrival, judge
from hub.tolerance import decode_tolerantly
from nodes.inbox import Undecided, receive
from schemas import cbor, registry
from schemas.codes import Handling
from schemas.control import (
    Acknowledgement,
    ControlRefused,
    Entry,
    MessageType,
    Receipts,
)
from schemas.header import Header, HeaderRefused
from schemas.membership import MembershipOrder
from schemas.policy import Policy
from schemas.roster import Roster, RosterNews
from schemas.witnessing import (
    CheckpointRequest,
    TileHashes,
    TilePlace,
    TileRequest,
    Tiles,
    WitnessCheckpoint,
    WitnessCosignature,
)
from tests.crypto.people import BG, HUB, NOW, RO, sealed, trust
from tests.fuzz import documents
from tests.fuzz.target import OF_CBOR, OF_JSON, OF_TEXT, Target

BG_KEYS = NodeKeys(BG.signing, (BG.encryption,), bytes(32))


def wire() -> tuple[Target, ...]:
    """Envelopes, acknowledgements, rosters, receipts, and the properties they come with."""
    return (*_encodings(), *_envelopes(), *_words(), *_ledger(), *_properties())


def _encodings() -> tuple[Target, ...]:
    header = envelope.verify(documents.envelope(), trust().signer_of).header_bytes
    models: tuple[tuple[type[Any], bytes], ...] = (
        (Acknowledgement, documents.acknowledgement().to_bytes()),
        (Entry, documents.entry().to_bytes()),
        (MembershipOrder, documents.order().to_bytes()),
        (Receipts, documents.receipts()),
        (Roster, trust().roster.to_bytes()),
        (RosterNews, documents.news(b"roster", 1).to_bytes()),
        (CheckpointRequest, CheckpointRequest(old=7, claims=(9, 12), roster=3).to_bytes()),
        (WitnessCheckpoint, documents.offered()),
        (WitnessCosignature, WitnessCosignature(checkpoint="text").to_bytes()),
        (
            TileRequest,
            TileRequest(size=300, tiles=(TilePlace(level=0, index=1), TilePlace(level=1, index=0))).to_bytes(),
        ),
        (Tiles, Tiles(size=2, tiles=(TileHashes(level=0, index=0, hashes=bytes(64)),)).to_bytes()),
    )
    return (
        Target("cbor.decode", (documents.envelope(), header), OF_CBOR, cbor.decode, (cbor.EncodingRefused,)),
        Target("cbor.decode_item", (documents.envelope(), header), OF_CBOR, cbor.decode_item, (cbor.EncodingRefused,)),
        Target("Header", (header,), OF_CBOR, Header.from_bytes, (HeaderRefused,)),
        *(Target(kind.__name__, (seed,), OF_CBOR, kind.from_bytes, (ControlRefused,)) for kind, seed in models),
    )


def _envelopes() -> tuple[Target, ...]:
    signed = documents.envelope()
    payload = cbor.decode(signed).value[2]
    header = cbor.decode(payload)[0]

    def again(data: bytes) -> bytes:
        return cose.sign1(data, envelope.CONTENT_TYPE, RO.signing)

    def under(data: bytes) -> bytes:
        return again(cbor.encode([data, cbor.decode(payload)[1]]))

    def say(data: bytes) -> bytes:
        return sealed(data[:5000])

    def verify(data: bytes) -> object:
        return envelope.verify(data, trust().signer_of)

    def judged(data: bytes) -> object:
        return judge(Arrival("ro", MessageType.ENVELOPE, data, 1), trust(), NOW)

    def taken(data: bytes) -> object:
        return receive(data, "bg", BG_KEYS, trust(), NOW, final=False)

    def forwarded(data: bytes) -> object:
        return taken(sealed(data[:5000], kind="forward", handling=Handling.H2))

    def body(data: bytes) -> object:
        return registry.read_body("alert", 1, data)

    refusals = (CryptoError, Undecided)
    return (
        Target("envelope.verify", (signed,), OF_CBOR, verify, refusals),
        Target("envelope.claimed_id", (signed,), OF_CBOR, envelope.claimed_id, ()),
        Target("envelope.verify, payload signed anew", (payload,), OF_CBOR, lambda d: verify(again(d)), refusals),
        Target("judge", (signed,), OF_CBOR, judged, ()),
        Target("judge, payload signed anew", (payload,), OF_CBOR, lambda d: judged(again(d)), ()),
        Target("judge, header signed anew", (header,), OF_CBOR, lambda d: judged(under(d)), ()),
        Target("receive", (signed,), OF_CBOR, taken, refusals),
        Target("receive, payload signed anew", (payload,), OF_CBOR, lambda d: taken(again(d)), refusals),
        Target("receive, header signed anew", (header,), OF_CBOR, lambda d: taken(under(d)), refusals),
        Target("receive, body sealed anew", (documents.ALERT,), OF_JSON, lambda d: taken(say(d)), refusals),
        Target("receive, forward sealed anew", (documents.forward(),), OF_JSON, forwarded, refusals),
        Target("read_body", (documents.ALERT,), OF_JSON, body, (registry.BodyInvalid,)),
    )


def _words() -> tuple[Target, ...]:
    word = documents.acknowledgement()
    signed = sign_acknowledgement(word, BG.signing)
    roster = sign_roster(trust().roster, HUB.signing)

    def again(data: bytes) -> bytes:
        return cose.sign1(data, ACKNOWLEDGEMENT_TYPE, BG.signing)

    def judged(data: bytes) -> object:
        return judge(Arrival("bg", MessageType.ACKNOWLEDGEMENT, data, 1), trust(), NOW)

    def opened(data: bytes) -> object:
        return open_acknowledgement(data, trust())

    def asked(kind: MessageType, data: bytes) -> object:
        return judge(Arrival("bg", kind, data, 1), trust(), NOW)

    questions = (
        (MessageType.CHECKPOINT_REQUEST, CheckpointRequest(old=7, claims=(9, 12), roster=3).to_bytes()),
        (MessageType.COSIGNATURE, WitnessCosignature(checkpoint="text").to_bytes()),
        (MessageType.TILE_REQUEST, TileRequest(size=300, tiles=(TilePlace(level=0, index=1),)).to_bytes()),
    )

    def listed(data: bytes) -> object:
        return Trust.of(open_roster(data, HUB.signing.public))

    def logged(data: bytes) -> object:
        verifier = documents.SIGNER.verifier
        return open_news(RosterNews.from_bytes(data), HUB.signing.public, documents.ORIGIN, verifier)

    refusals = (CryptoError, ControlRefused)
    inner = trust().roster.to_bytes()
    ruled = trust().roster.model_copy(update={"policy": Policy().written_out()}).to_bytes()
    order = documents.order().to_bytes()

    def ordered(data: bytes) -> object:
        return judge(Arrival("bg", MessageType.MEMBERSHIP, data, 1), trust(), NOW)

    news = documents.news(roster, trust().roster.version).to_bytes()
    return (
        Target("open_acknowledgement", (signed,), OF_CBOR, opened, refusals),
        Target("open_acknowledgement, signed anew", (word.to_bytes(),), OF_CBOR, lambda d: opened(again(d)), refusals),
        *(Target(f"judge, {kind}", (said,), OF_CBOR, partial(asked, kind), ()) for kind, said in questions),
        Target("judge, an acknowledgement", (signed,), OF_CBOR, judged, ()),
        Target("judge, acknowledgement signed anew", (word.to_bytes(),), OF_CBOR, lambda d: judged(again(d)), ()),
        Target("judge, an order", (sign_order(documents.order(), BG.signing),), OF_CBOR, ordered, ()),
        Target(
            "judge, order signed anew",
            (order,),
            OF_CBOR,
            lambda d: ordered(cose.sign1(d, ORDER_TYPE, BG.signing)),
            (),
        ),
        Target("open_news", (news,), OF_CBOR, logged, refusals),
        Target("open_roster", (roster,), OF_CBOR, listed, refusals),
        Target(
            "open_roster, signed anew",
            (inner, ruled),
            OF_CBOR,
            lambda d: listed(cose.sign1(d, ROSTER_TYPE, HUB.signing)),
            refusals,
        ),
    )


def _ledger() -> tuple[Target, ...]:
    note = Receipts.from_bytes(documents.receipts()).checkpoint

    def opened(data: bytes) -> object:
        return Checkpoint.parse(open_note(data.decode(errors="replace"), documents.SIGNER.verifier))

    def signed_anew(data: bytes) -> object:
        return Checkpoint.parse(
            open_note(sign_note(data.decode(errors="replace"), documents.SIGNER), documents.SIGNER.verifier)
        )

    def verifier(data: bytes) -> object:
        return NoteVerifier.parse(data.decode(errors="replace"))

    def proven(data: bytes) -> object:
        return verify_receipts(Receipts.from_bytes(data), documents.ORIGIN, documents.SIGNER.verifier)

    text = note.partition("\n\n")[0].encode() + b"\n"
    return (
        Target("note", (note.encode(),), OF_TEXT, opened, (NoteInvalid,)),
        Target("checkpoint, signed anew", (text,), OF_TEXT, signed_anew, (NoteInvalid,)),
        Target("vkey", (documents.SIGNER.verifier.vkey().encode(),), OF_TEXT, verifier, (NoteInvalid,)),
        Target("receipts", (documents.receipts(),), OF_CBOR, proven, (CryptoError, ControlRefused)),
    )


def _properties() -> tuple[Target, ...]:
    decode_tolerantly()
    properties = commands.Basic.Properties(headers={"a": 1, "b": [1, "x", {"c": True}], "CC": ["x"]}, message_type="t")
    header = ContentHeader(0, 1, properties).marshal()
    return (Target("AMQP properties", (header[14 + 4 :],), OF_TEXT, _read_properties, ()),)


def _read_properties(data: bytes) -> object:
    """Reads properties of such contents: a table, a time, a text. The lengths are right: RabbitMQ sees to that."""
    table, text = data[:300], data[-40:]
    flags = (1 << 13 | 1 << 6 | 1 << 5).to_bytes(2)
    framed = len(table).to_bytes(4) + table + data[:8].ljust(8, b"\xff") + bytes([len(text)]) + text
    found = ContentHeader()
    found.unmarshal(b"\x00\x3c\x00\x00" + (1).to_bytes(8) + flags + framed)
    return found
