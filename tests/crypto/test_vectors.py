"""Our own vectors, byte for byte. They are there for a second implementation: see tests/vectors/README.md."""

import hashlib
from typing import Any

import pytest

from crypto import cose, merkle
from crypto.cosignature import Cosigner, CosignerKey, time_of
from crypto.envelope import CONTENT_TYPE, assemble, digest_of, open_envelope, verify, wrap_info
from crypto.errors import CryptoError
from crypto.keys import EncryptionKey, SignatureAlgorithm, SigningKey
from crypto.mldsa import MlDsaKey
from crypto.note import Checkpoint, Note, NoteSigner, NoteVerifier, open_note, sign_note
from crypto.policy import Policy, witnessed
from crypto.proof import LogProof, verify_entry
from crypto.receipt import leaf_of, verify_receipts
from crypto.rosternews import open_news
from crypto.tiles import Tile, read_bundle, read_tile
from crypto.trust import WITNESS_NAME, Trust, open_acknowledgement, open_roster, sign_acknowledgement, sign_roster
from schemas.control import Acknowledgement, Entry, Receipts
from schemas.header import Header
from schemas.roster import KeyUse, Roster, RosterKey, RosterNews
from schemas.witnessing import CheckpointRequest, TileRequest, Tiles, WitnessCheckpoint, WitnessCosignature
from tests.vectors.generate import FILES, FOLDER, read, write

unhex = bytes.fromhex
ENVELOPES: list[dict[str, Any]] = read("envelope.json")["vectors"]
REFUSED: list[dict[str, Any]] = read("refused.json")["vectors"]
EACH_ENVELOPE = pytest.mark.parametrize("vector", ENVELOPES, ids=lambda vector: vector["name"])


@pytest.mark.parametrize("name", FILES)
def test_writing_the_vectors_again_changes_nothing(name: str) -> None:
    assert write(name) == (FOLDER / name).read_text()


@pytest.mark.parametrize("vector", read("keys.json")["signing"], ids=lambda vector: vector["node"])
def test_signing_keys(vector: dict[str, str]) -> None:
    key = SigningKey.from_private_bytes(unhex(vector["private"]))
    assert key.public.public_bytes().hex() == vector["public"]
    assert key.public.key_id.hex() == vector["key_id"] == hashlib.sha256(unhex(vector["public"])).hexdigest()[:32]
    assert key.public.algorithm.name == vector["algorithm"]


@pytest.mark.parametrize("vector", read("keys.json")["encryption"], ids=lambda vector: vector["node"])
def test_encryption_keys(vector: dict[str, str]) -> None:
    key = EncryptionKey.from_seed(unhex(vector["seed"]))
    assert key.public.public_bytes().hex() == vector["public"]
    assert key.public.key_id.hex() == vector["key_id"] == hashlib.sha256(unhex(vector["public"])).hexdigest()[:32]


@EACH_ENVELOPE
def test_the_header_s_bytes(vector: dict[str, Any]) -> None:
    header = Header.from_bytes(unhex(vector["header_bytes"]))
    assert header.to_bytes().hex() == vector["header_bytes"]
    shown = vector["header"]
    assert (str(header.id), header.sender, list(header.recipients)) == (
        shown["id"],
        shown["sender"],
        shown["recipients"],
    )
    assert (header.created, header.operation, header.size) == (shown["created"], shown.get("operation"), shown["size"])
    assert header.digest == hashlib.sha256(unhex(vector["nonce"] + vector["body"])).digest()


@EACH_ENVELOPE
def test_the_envelope_of_the_given_parts(vector: dict[str, Any]) -> None:
    signer = SigningKey.from_private_bytes(unhex(vector["signing_private"]))
    made = assemble(
        unhex(vector["header_bytes"]),
        unhex(vector["nonce"] + vector["body"]),
        unhex(vector["content_key"]),
        unhex(vector["iv"]),
        [unhex(entry["key_id"]) for entry in vector["recipients"]],
        [unhex(entry["wrapped"]) for entry in vector["recipients"]],
        signer,
    )
    signed = cose.parse_sign1(made, CONTENT_TYPE)
    assert (signed.protected.hex(), signed.payload.hex()) == (vector["protected"], vector["payload"])
    if signer.public.algorithm is SignatureAlgorithm.EDDSA:
        assert made.hex() == vector["envelope"]
    assert digest_of(unhex(vector["envelope"])).hex() == vector["envelope_digest"]


@EACH_ENVELOPE
def test_the_envelope_verifies_and_opens(vector: dict[str, Any]) -> None:
    signer = SigningKey.from_private_bytes(unhex(vector["signing_private"])).public
    verified = verify(unhex(vector["envelope"]), lambda *_: signer)
    assert verified.iv.hex() == vector["iv"]
    for entry in vector["recipients"]:
        key = EncryptionKey.from_seed(unhex(entry["encryption_seed"]))
        info = wrap_info(unhex(vector["header_bytes"]), entry["node"], unhex(entry["key_id"]))
        assert info.hex() == entry["info"]
        assert key.unwrap(unhex(entry["wrapped"]), info).hex() == vector["content_key"]
        opened = open_envelope(verified, entry["node"], (key,))
        assert (opened.nonce.hex(), opened.body.hex()) == (vector["nonce"], vector["body"])


@pytest.mark.parametrize("vector", REFUSED, ids=lambda vector: vector["name"])
def test_what_must_be_refused_is_refused_with_its_code(vector: dict[str, str]) -> None:
    signer = SigningKey.from_private_bytes(unhex(ENVELOPES[0]["signing_private"])).public
    with pytest.raises(CryptoError) as caught:
        verify(unhex(vector["envelope"]), lambda *_: signer)
    assert caught.value.code == vector["code"]


def test_the_roster() -> None:
    vector = read("roster.json")
    hub = SigningKey.from_private_bytes(unhex(vector["signing_private"]))
    roster = open_roster(unhex(vector["signed"]), hub.public)
    assert roster == Roster.from_bytes(unhex(vector["roster_bytes"]))
    assert roster.to_bytes().hex() == vector["roster_bytes"]
    assert sign_roster(roster, hub).hex() == vector["signed"]
    assert [node.node for node in roster.nodes] == [node["node"] for node in vector["roster"]["nodes"]]
    ledger = read("receipts.json")
    news = RosterNews.from_bytes(unhex(vector["news"]))
    logged = open_news(news, hub.public, ledger["origin"], NoteVerifier.parse(ledger["vkey"]))
    assert (logged.roster, logged.checkpoint.size, news.receipt.index) == (roster, 2, 1)


def test_the_acknowledgement() -> None:
    vector = read("acknowledgement.json")
    recipient = SigningKey.from_private_bytes(unhex(vector["signing_private"]))
    trust = Trust.of(Roster.from_bytes(unhex(read("roster.json")["roster_bytes"])))
    said = open_acknowledgement(unhex(vector["signed"]), trust)
    assert said == Acknowledgement.from_bytes(unhex(vector["acknowledgement_bytes"]))
    assert said.to_bytes().hex() == vector["acknowledgement_bytes"]
    assert sign_acknowledgement(said, recipient).hex() == vector["signed"]


def test_the_ledger_its_checkpoint_and_its_receipts() -> None:
    vector = read("receipts.json")
    leaves = []
    for leaf in vector["leaves"]:
        assert Entry.from_bytes(unhex(leaf["entry_bytes"])).to_bytes().hex() == leaf["entry_bytes"]
        assert leaf_of(unhex(leaf["salt"]), unhex(leaf["entry_bytes"])).hex() == leaf["leaf"]
        leaves.append(unhex(leaf["leaf"]))
    root = merkle.root(leaves)
    assert root.hex() == vector["root"]
    hub = NoteSigner(vector["origin"], SigningKey.from_private_bytes(unhex(vector["signing_private"])))
    assert hub.verifier.vkey() == vector["vkey"]
    assert sign_note(Checkpoint(vector["origin"], len(leaves), root).text(), hub) == vector["checkpoint"]
    bundle = Receipts.from_bytes(unhex(vector["bundle"]))
    assert bundle.to_bytes().hex() == vector["bundle"]
    assert bundle.checkpoint == vector["checkpoint"]
    proven = verify_receipts(bundle, vector["origin"], NoteVerifier.parse(vector["vkey"]))
    assert [found.entry.to_bytes().hex() for found in proven] == [
        vector["leaves"][receipt["index"]]["entry_bytes"] for receipt in vector["receipts"]
    ]


def test_the_merkle_trees() -> None:
    vector = read("merkle/trees.json")
    leaves, roots = [unhex(leaf) for leaf in vector["leaves"]], [unhex(root) for root in vector["roots"]]
    assert leaves == [merkle.leaf_hash(bytes([number])) for number in range(len(leaves))]
    assert roots == [merkle.root(leaves[:size]) for size in range(len(leaves) + 1)]
    for proof in vector["inclusion"]:
        path = [unhex(item) for item in proof["proof"]]
        merkle.verify_inclusion(proof["index"], proof["size"], leaves[proof["index"]], path, roots[proof["size"]])
    for proof in vector["consistency"]:
        path = [unhex(item) for item in proof["proof"]]
        one, two = proof["size1"], proof["size2"]
        merkle.verify_consistency(one, two, path, roots[one], roots[two])


def test_the_ledger_s_proofs() -> None:
    vector, ledger = read("proofs.json"), read("receipts.json")
    note = Note.parse(vector["checkpoint"])
    keys = [CosignerKey.parse(cosigner["vkey"]) for cosigner in vector["cosigners"]]
    assert [signature.is_by(key) for signature, key in zip(note.signatures[1:], keys, strict=True)] == [True] * 3
    for key, cosigner in zip(keys, vector["cosigners"], strict=True):
        assert time_of(note.check(key).value) == cosigner["at"]
        assert key.message(note.text, cosigner["at"]).hex() == cosigner["message"]
        seed = unhex(cosigner["seed"])
        made = SigningKey.from_seed(seed) if len(key.encoded) == 33 else MlDsaKey.from_seed(seed)
        assert Cosigner(key.name, made).verifier == key
    policy = Policy.from_bytes(vector["policy"].encode())
    assert witnessed(vector["checkpoint"], policy).checkpoint == Checkpoint.parse(note.text)
    for text, receipt in zip(vector["proofs"], ledger["receipts"], strict=True):
        proven, _ = verify_entry(LogProof.parse(text), policy)
        assert proven.entry.to_bytes().hex() == ledger["leaves"][receipt["index"]]["entry_bytes"]
    index = ledger["receipts"][0]["index"]
    bare = LogProof.parse(vector["proof_without_content"])
    assert bare.verify(merkle.leaf_hash(unhex(vector["commitments"][index])), policy).quorum
    hashes, entries = vector["tiles"]
    tile, _ = Tile.parse(hashes["path"])
    assert Tile.parse(entries["path"]) == (tile, True)
    commitments = read_bundle(unhex(entries["data"]), tile)
    assert [item.hex() for item in commitments] == vector["commitments"]
    assert read_tile(unhex(hashes["data"]), tile) == [merkle.leaf_hash(item) for item in commitments]
    assert merkle.root(read_tile(unhex(hashes["data"]), tile)).hex() == ledger["root"]


def test_a_witness_and_the_hub() -> None:
    vector, ledger = read("witness.json"), read("receipts.json")
    hub = NoteVerifier.parse(ledger["vkey"])
    listed = RosterKey.from_bytes(unhex(vector["roster_key"]))
    own = Cosigner(f"{WITNESS_NAME}ro", SigningKey.from_seed(unhex(vector["seed"])))
    assert (listed.use, listed.public) == (KeyUse.WITNESS, own.key.public.public_bytes())
    assert own.verifier.vkey() == vector["vkey"]
    request = CheckpointRequest.from_bytes(unhex(vector["request"]))
    offered = WitnessCheckpoint.from_bytes(unhex(vector["checkpoint"]))
    followed, new = (Checkpoint.parse(open_note(note, hub)) for note in (vector["followed"], offered.checkpoint))
    assert (offered.old, [link.size for link in offered.links]) == (followed.size, list(request.claims))
    assert request.roster == 7
    merkle.verify_consistency(followed.size, new.size, offered.proof, followed.root, new.root)
    claimed = merkle.root([unhex(leaf["leaf"]) for leaf in ledger["leaves"][: request.claims[0]]])
    merkle.verify_consistency(request.claims[0], new.size, offered.links[0].proof, claimed, new.root)
    cosigned = vector["cosigned"]
    assert cosigned == offered.checkpoint + own.sign(new.text(), vector["at"]).line()
    assert WitnessCosignature.from_bytes(unhex(vector["cosignature"])).checkpoint == cosigned
    asked = TileRequest.from_bytes(unhex(vector["tile_request"]))
    tiles = Tiles.from_bytes(unhex(vector["tiles"]))
    assert (asked.size, tiles.size) == (new.size, new.size)
    [tile] = tiles.tiles
    assert merkle.root(read_tile(tile.hashes, Tile(tile.level, tile.index, new.size))) == new.root
