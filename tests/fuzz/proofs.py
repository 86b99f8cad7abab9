"""What is read of the ledger outside the broker: cosignatures, policies, proofs on disk, tiles, a whole export."""

from collections.abc import Callable

from crypto import cose, merkle
from crypto.bundle import Evidence
from crypto.cosignature import CosignerKey, add_cosignatures, cosign
from crypto.errors import CryptoError, LedgerUnproven, NoteInvalid, PolicyInvalid, ProofMalformed, TileInvalid
from crypto.evidence import verify_evidence
from crypto.export import Manifest
from crypto.history import LogKeys, Task, recompute
from crypto.note import Note, sign_note
from crypto.policy import Policy, read_checkpoint
from crypto.proof import LogProof, proof_of, verify_entry
from crypto.tiles import Tile, bundle, read_bundle, read_tile
from crypto.trust import ACKNOWLEDGEMENT_TYPE
from crypto.witness import AddCheckpoint, follow
from schemas.control import ControlRefused, Entry
from schemas.entries import EntryReader
from tests.crypto import exhibits, exported, people
from tests.crypto.cosigners import AT, BG, LOG, LOG_PQ, RO, RO_PQ, Ledger
from tests.fuzz.target import OF_CBOR, OF_JSON, OF_TEXT, Target

_LEDGER = Ledger(5)
_NOTE = _LEDGER.checkpoint()
_LINES = cosign(_NOTE, RO, AT) + cosign(_NOTE, RO_PQ, AT)
_KEYS = [RO.verifier, RO_PQ.verifier]
_COSIGNED = add_cosignatures(_NOTE, _LINES, _KEYS)
_KEY = exhibits.LOG.verifier
_POLICY = Policy.from_bytes(
    f"log {LOG.verifier.vkey()} https://ledger.example.org/\nlog {LOG_PQ.verifier.vkey()}\n"
    f"witness ro {RO.verifier.vkey()}\nwitness ropq {RO_PQ.verifier.vkey()}\nwitness bg {BG.verifier.vkey()}\n"
    "group both all ro ropq\ngroup some 1 both bg\nquorum some\n".encode()
)


def proofs() -> tuple[Target, ...]:
    """Texts of others, and of a log or a witness that signs anything."""
    return (*_signatures(), *_files(), *_tiles(), *_evidence(), *_export())


def _evidence() -> tuple[Target, ...]:
    def judged(data: bytes) -> object:
        return verify_evidence(Evidence.from_bytes(data), exhibits.POLICY)

    def worded(data: bytes) -> object:
        # As of a recipient that signs anything, and a hub that logs it.
        signed = cose.sign1(data, ACKNOWLEDGEMENT_TYPE, people.BG.signing)
        entries = exhibits.accepted(), exhibits.answered("bg", signed)
        return verify_evidence(exhibits.evidence(*entries, words=(signed,)), exhibits.POLICY)

    whole, word = exhibits.evidence().to_bytes(), cose.parse_sign1(exhibits.BG_WORD, ACKNOWLEDGEMENT_TYPE).payload
    return (
        Target("evidence bundle", (whole,), OF_JSON, judged, (CryptoError, ControlRefused)),
        Target("evidence bundle, a word signed anew", (word,), OF_CBOR, worded, (CryptoError, ControlRefused)),
    )


def _export() -> tuple[Target, ...]:
    task, keys, reader = Task("entries/00000000", 0, exported.CHUNK), LogKeys(exhibits.ORIGIN, (_KEY,)), EntryReader()

    def manifest(data: bytes) -> object:
        read = Manifest.from_bytes(data)
        assert read.to_bytes() == data
        return read

    def file(data: bytes) -> object:
        part = recompute(data, task, keys, reader)
        if part.fault is not None:
            raise part.fault
        return part

    def judged(data: bytes) -> object:
        # As the definition does, whatever was read before.
        try:
            Entry.from_bytes(data)
        except ControlRefused:
            try:
                reader.read(data)
            except ControlRefused:
                raise
            raise AssertionError("an entry for the reader only") from None
        return reader.read(data)

    ledger = exported.Ledger()
    whole = b"".join(ledger.records(0, exported.CHUNK))
    return (
        Target("manifest of an export", (ledger.manifest.to_bytes(),), OF_JSON, manifest, (LedgerUnproven,)),
        Target("file of an export", (whole,), OF_TEXT, file, (LedgerUnproven,)),
        Target("entry, read as one of many", tuple(ledger.entries[:3]), OF_CBOR, judged, (ControlRefused,)),
    )


def _of_text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: read(data.decode(errors="replace"))


def _signatures() -> tuple[Target, ...]:
    def signed_anew(text: str) -> object:
        note = Note.parse(sign_note(text, LOG))
        return read_checkpoint(f"{note}{LOG_PQ.sign(note.text, AT).line()}", _POLICY)

    def cosigned_anew(text: str) -> object:
        note = sign_note(text, LOG)
        return add_cosignatures(note, cosign(note, RO, AT) + cosign(note, RO_PQ, AT), _KEYS)

    def added(text: str) -> object:
        return add_cosignatures(_NOTE, text, _KEYS)

    text = _LEDGER.text().text().encode()
    vkeys = tuple(key.vkey().encode() for key in _KEYS)
    return (
        Target("vkey of a cosigner", vkeys, OF_TEXT, _of_text(CosignerKey.parse), (NoteInvalid,)),
        Target("add_cosignatures", (_LINES.encode(),), OF_TEXT, _of_text(added), (NoteInvalid,)),
        Target(
            "read_checkpoint",
            (_COSIGNED.encode(),),
            OF_TEXT,
            _of_text(lambda note: read_checkpoint(note, _POLICY)),
            (NoteInvalid,),
        ),
        Target("read_checkpoint, signed anew", (text,), OF_TEXT, _of_text(signed_anew), (NoteInvalid,)),
        Target("add_cosignatures, cosigned anew", (text,), OF_TEXT, _of_text(cosigned_anew), (NoteInvalid,)),
    )


def _files() -> tuple[Target, ...]:
    def policy(data: bytes) -> object:
        read = Policy.from_bytes(data)
        assert Policy.from_bytes(read.to_bytes()) == read
        return read.is_met_by(["ro", "bg"])

    def proof(text: str) -> object:
        read = LogProof.parse(text)
        assert str(read) == text
        return read

    def proven(text: str) -> object:
        return verify_entry(LogProof.parse(text), _POLICY)

    def followed(text: str) -> object:
        return follow(AddCheckpoint.parse(text), Ledger(3).text(), _POLICY)

    asked = AddCheckpoint(3, tuple(merkle.consistency_proof(3, 5, _LEDGER.nodes())), _NOTE)
    file = str(proof_of(_LEDGER.receipt(3), _COSIGNED)).encode()
    return (
        Target("policy", (_POLICY.to_bytes(),), OF_TEXT, policy, (PolicyInvalid,)),
        Target("proof", (file,), OF_TEXT, _of_text(proof), (ProofMalformed,)),
        Target("add-checkpoint", (str(asked).encode(),), OF_TEXT, _of_text(followed), (CryptoError,)),
        Target("proof, verified", (file,), OF_TEXT, _of_text(proven), (CryptoError, ControlRefused)),
    )


def _tiles() -> tuple[Target, ...]:
    def path(text: str) -> object:
        tile, entries = Tile.parse(text)
        assert (tile.entries_path() if entries else tile.path()) == text
        return tile.stands_in(1 << 40)

    tile, leaves = Tile(0, 0, 5), _LEDGER.leaves()
    paths = (b"tile/0/x001/x234/067", b"tile/1/000.p/17", b"tile/entries/x001/000.p/8")
    return (
        Target("path of a tile", paths, OF_TEXT, _of_text(path), (TileInvalid,)),
        Target("tile", (b"".join(leaves),), OF_TEXT, lambda data: read_tile(data, tile), (TileInvalid,)),
        Target(
            "bundle",
            (bundle(_LEDGER.commitments()),),
            OF_TEXT,
            lambda data: read_bundle(data, tile),
            (TileInvalid,),
        ),
    )
