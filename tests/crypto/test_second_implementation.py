"""A second implementation of the wire, written from docs/protocol.md alone, against the first.

Nothing above the tests uses our rooms, nor the HPKE of `cryptography`: only cbor2 and primitives.
Section numbers are those of docs/protocol.md.
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import cbor2
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mlkem, x25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crypto import envelope, merkle, note, receipt, trust
from crypto.keys import EncryptionKey, SignatureAlgorithm, SigningKey, VerifyKey
from schemas import control, roster
from schemas.codes import Agency, Handling, Priority
from schemas.header import Routing, new_id

VECTORS = Path(__file__).parents[1] / "vectors"
PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
TYPE = "application/vnd.seci.{}+cbor"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
SUITES = {-8: "SECI1-EdDSA", -7: "SECI1-ES256"}
WRAP = {1: -65601}


def det(value: object) -> bytes:  # section 1
    return cbor2.dumps(value, canonical=True)


def read(data: bytes) -> Any:
    value = cbor2.loads(data)
    assert det(value) == data, "not deterministic"
    return value


def kid(public: bytes) -> bytes:  # section 3
    return hashlib.sha256(public).digest()[:16]


def halves(seed: bytes) -> tuple[mlkem.MLKEM768PrivateKey, x25519.X25519PrivateKey]:
    long = hashlib.shake_256(seed).digest(96)
    return mlkem.MLKEM768PrivateKey.from_seed_bytes(long[:64]), x25519.X25519PrivateKey.from_private_bytes(long[64:])


def check_signature(public: bytes, signature: bytes, data: bytes) -> None:
    assert len(signature) == 64
    if public[0] == 1:
        return ed25519.Ed25519PublicKey.from_public_bytes(public[1:]).verify(signature, data)
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    assert public[0] == 2 and s <= P256_ORDER // 2
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public[1:])
    return key.verify(encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256()))


def sign1(seed: bytes, document: str, payload: bytes) -> bytes:  # section 5
    key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    head = det({1: -8, 3: TYPE.format(document), 4: kid(b"\1" + key.public_key().public_bytes_raw())})
    signature = key.sign(det(["Signature1", head, b"", payload]))
    return det(cbor2.CBORTag(18, [head, {}, payload, signature]))


def open_sign1(data: bytes, document: str, public: bytes) -> tuple[int, bytes]:
    tagged = read(data)
    head, unprotected, payload, signature = tagged.value
    alg = {1: -8, 2: -7}[public[0]]
    assert (tagged.tag, unprotected) == (18, {})
    assert read(head) == {1: alg, 3: TYPE.format(document), 4: kid(public)}
    check_signature(public, signature, det(["Signature1", head, b"", payload]))
    return alg, payload


def hpke(shared_m: bytes, shared_x: bytes, ephemeral: bytes, static: bytes, info: bytes) -> tuple[AESGCM, bytes]:
    # section 7.2: the KEM's combiner, then RFC 9180 section 5.1, mode base. All outputs fit one HKDF block.
    shared = hashlib.sha3_256(shared_m + shared_x + ephemeral + static + bytes.fromhex("5c2e2f2f5e5c")).digest()
    suite = b"HPKE" + bytes.fromhex("647a00010002")

    def extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
        return hmac.digest(salt, b"HPKE-v1" + suite + label + ikm, "sha256")

    def expand(label: bytes, size: int) -> bytes:
        context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
        data = size.to_bytes(2) + b"HPKE-v1" + suite + label + context + b"\1"
        return hmac.digest(extract(shared, b"secret", b""), data, "sha256")[:size]

    return AESGCM(expand(b"key", 32)), expand(b"base_nonce", 12)


def wrap(content_key: bytes, public: bytes, info: bytes) -> tuple[bytes, bytes]:
    shared_m, ct_m = mlkem.MLKEM768PublicKey.from_public_bytes(public[:1184]).encapsulate()
    one = x25519.X25519PrivateKey.generate()
    shared_x = one.exchange(x25519.X25519PublicKey.from_public_bytes(public[1184:]))
    ephemeral = one.public_key().public_bytes_raw()
    aead, nonce = hpke(shared_m, shared_x, ephemeral, public[1184:], info)
    return ct_m + ephemeral, aead.encrypt(nonce, content_key, b"")


def unwrap(ek: bytes, wrapped: bytes, seed: bytes, info: bytes) -> bytes:
    kem, curve = halves(seed)
    shared_x = curve.exchange(x25519.X25519PublicKey.from_public_bytes(ek[1088:]))
    static = curve.public_key().public_bytes_raw()
    aead, nonce = hpke(kem.decapsulate(ek[:1088]), shared_x, ek[1088:], static, info)
    return aead.decrypt(nonce, wrapped, b"")


def info_of(header: bytes, node: str, key_id: bytes) -> bytes:
    return det(["SECI1 content key", header, node, det(WRAP | {4: key_id})])


def seal(fields: dict[str, Any], body: bytes, publics: list[bytes], seed: bytes) -> bytes:  # section 7.3
    plaintext = secrets.token_bytes(32) + body
    header = det(fields | {"digest": hashlib.sha256(plaintext).digest(), "size": len(plaintext)})
    content_key, iv = secrets.token_bytes(32), secrets.token_bytes(12)
    ciphertext = AESGCM(content_key).encrypt(iv, plaintext, det(["Encrypt", b"\xa1\x01\x03", header]))
    wrapped = []
    for node, public in zip(fields["recipients"], publics, strict=True):
        ek, closed = wrap(content_key, public, info_of(header, node, kid(public)))
        wrapped.append([det(WRAP | {4: kid(public)}), {-4: ek}, closed])
    encrypt = cbor2.CBORTag(96, [b"\xa1\x01\x03", {5: iv}, ciphertext, wrapped])
    return sign1(seed, "envelope", det([header, encrypt]))


def unseal(data: bytes, signer: bytes, node: str, seed: bytes) -> tuple[dict[str, Any], bytes]:  # sections 7.4, 7.6
    alg, payload = open_sign1(data, "envelope", signer)
    header, encrypt = read(payload)
    fields: dict[str, Any] = read(header)
    assert (fields["v"], fields["suite"]) == (1, SUITES[alg])
    assert fields["recipients"] == sorted(set(fields["recipients"]) - {fields["sender"]})
    assert UUID(bytes=fields["id"]).version == 7 and fields["created"] < fields["expires"]
    protected, unprotected, ciphertext, recipients = encrypt.value
    assert (encrypt.tag, protected, list(unprotected)) == (96, b"\xa1\x01\x03", [5])
    assert (len(recipients), len(ciphertext)) == (len(fields["recipients"]), fields["size"] + 16)
    head, ek, closed = recipients[fields["recipients"].index(node)]
    mine = kid(b"".join(half.public_key().public_bytes_raw() for half in halves(seed)))
    assert read(head) == WRAP | {4: mine} and list(ek) == [-4] and (len(ek[-4]), len(closed)) == (1120, 48)
    content_key = unwrap(ek[-4], closed, seed, info_of(header, node, mine))
    plaintext = AESGCM(content_key).decrypt(unprotected[5], ciphertext, det(["Encrypt", protected, header]))
    assert hashlib.sha256(plaintext).digest() == fields["digest"]
    return fields, plaintext[32:]


def climb(index: int, size: int, leaf: bytes, proof: list[bytes]) -> bytes:  # RFC 9162 section 2.1.3.2
    at, last, value = index, size - 1, leaf
    for sibling in proof:
        assert last > 0
        if at & 1 or at == last:
            value = hashlib.sha256(b"\1" + sibling + value).digest()
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            value = hashlib.sha256(b"\1" + value + sibling).digest()
        at, last = at >> 1, last >> 1
    assert last == 0
    return value


def open_receipts(data: bytes, origin: str, vkey: str) -> list[dict[str, Any]]:  # section 10
    bundle, (name, hint, encoded) = read(data), vkey.split("+", 2)
    key = base64.b64decode(encoded)
    assert key[0] == 1 and hashlib.sha256(name.encode() + b"\n" + key).digest()[:4].hex() == hint
    head, _, tail = bundle["checkpoint"].rpartition("\n\n")
    marks = [base64.b64decode(line.split(" ")[2]) for line in tail.splitlines() if line.startswith(f"\u2014 {name} ")]
    check_signature(key, next(m[4:] for m in marks if m[:4].hex() == hint), (head + "\n").encode())
    stated, size, root = head.split("\n")[:3]
    assert stated == origin
    for item in bundle["receipts"]:
        commitment = hashlib.sha256(item["salt"] + item["entry"]).digest()
        leaf = hashlib.sha256(b"\0" + commitment).digest()
        assert 0 <= item["index"] < int(size)
        assert climb(item["index"], int(size), leaf, item["proof"]) == base64.b64decode(root), "not under the root"
    return [read(item["entry"]) for item in bundle["receipts"]]


def open_news(data: bytes, origin: str, vkey: str) -> dict[str, Any]:  # section 9
    news = read(data)
    assert (set(news), news["v"]) == ({"v", "roster", "receipt", "checkpoint"}, 1)
    bundle = {"v": 1, "checkpoint": news["checkpoint"], "receipts": [news["receipt"]], "acknowledgements": []}
    [entry] = open_receipts(det(bundle), origin, vkey)
    roster: dict[str, Any] = read(open_sign1(news["roster"], "roster", base64.b64decode(vkey.split("+", 2)[2]))[1])
    assert (entry["event"], entry["detail"]) == ("roster", f"version {roster['version']}")
    assert entry["evidence"] == hashlib.sha256(news["roster"]).digest(), "another roster's entry"
    return roster


# The tests: from here on our own rooms take part.
NOW = time.time_ns() // 1_000_000
HU, MD = EncryptionKey.from_seed(b"\2" * 32), EncryptionKey.from_seed(b"\3" * 32)
RO = SigningKey.from_seed(b"\1" * 32)
BODY = b'{"title":"t","text":"x"}'


def header_fields() -> dict[str, Any]:
    id = new_id(NOW).bytes
    names = {"id": id, "thread": id, "sender": "ro", "agency": "police", "recipients": ["hu", "md"]}
    codes = {"task_force": "drugs", "kind": "alert", "kind_version": 1, "priority": "normal", "handling": "H1"}
    return {"v": 1, "suite": "SECI1-EdDSA"} | names | codes | {"created": NOW, "expires": NOW + 1000}


def our_envelope(signer: SigningKey) -> bytes:
    fields = {name: value for name, value in header_fields().items() if name != "suite"}
    codes = {"agency": Agency.POLICE, "priority": Priority.NORMAL, "handling": Handling.H1, "recipients": ("hu", "md")}
    id = UUID(bytes=fields["id"])
    going_by = {"roster": {"version": 7, "digest": bytes(32)}}
    routing = Routing(**fields | codes | {"id": id, "thread": id} | going_by)
    return envelope.seal(routing, BODY, {"hu": HU.public, "md": MD.public}, signer)[1]


def our_trust() -> trust.Trust:
    key = {"kid": RO.public.key_id, "use": "sign", "public": RO.public.encoded, "not_before": 0, "not_after": 2 * NOW}
    node = {"node": "hu", "name": "Hungary", "category": "member", "agencies": (), "task_forces": (), "keys": (key,)}
    return trust.Trust.of(roster.Roster.model_validate({"v": 1, "version": 1, "at": NOW, "nodes": (node,)}))


@pytest.mark.parametrize("algorithm", SignatureAlgorithm)
def test_a_second_implementation_opens_what_we_seal(algorithm: SignatureAlgorithm) -> None:
    signer = SigningKey.generate(algorithm)
    sealed = our_envelope(signer)
    for node, key in (("hu", HU), ("md", MD)):
        fields, body = unseal(sealed, signer.public.public_bytes(), node, key.seed)
        assert (fields["sender"], body) == ("ro", BODY)


def test_a_second_implementation_refuses_our_envelope_once_any_part_of_it_is_altered() -> None:
    sealed = our_envelope(RO)
    for place in range(0, len(sealed), 97):
        altered = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises((AssertionError, InvalidSignature, ValueError, AttributeError, TypeError, KeyError)):
            unseal(altered, RO.public.public_bytes(), "hu", HU.seed)


def test_we_open_what_a_second_implementation_seals() -> None:
    sealed = seal(header_fields(), BODY, [HU.public.public_bytes(), MD.public.public_bytes()], b"\1" * 32)
    verified = envelope.verify(sealed, lambda header, key_id: RO.public)
    assert [envelope.open_envelope(verified, *who).body for who in (("hu", (HU,)), ("md", (MD,)))] == [BODY, BODY]
    assert verified.signer == RO.public.key_id


@pytest.mark.parametrize(("size", "index"), [(1, 0), (2, 1), (7, 6), (8, 3), (13, 8)])
def test_a_second_implementation_verifies_our_receipts(size: int, index: int) -> None:
    entries = [control.Entry(event=control.Event.ACCEPTED, at=NOW, node="ro", detail=str(n)) for n in range(size)]
    salts = [secrets.token_bytes(32) for _ in entries]
    leaves = [receipt.leaf_of(salt, entry.to_bytes()) for salt, entry in zip(salts, entries, strict=True)]
    known = merkle.CompactRange(0, ()).append(leaves)[1]
    proof = tuple(merkle.inclusion_proof(index, size, lambda level, at: known[level, at]))
    signer = note.NoteSigner("seci.exchange/ledger", SigningKey.generate())
    signed = note.sign_note(note.Checkpoint(signer.name, size, merkle.root(leaves)).text(), signer)
    mine = control.Receipt(index=index, entry=entries[index].to_bytes(), salt=salts[index], proof=proof)
    bundle, vkey = control.Receipts(checkpoint=signed, receipts=(mine,)), signer.verifier.vkey()
    assert open_receipts(bundle.to_bytes(), signer.name, vkey)[0]["detail"] == str(index)
    false = bundle.model_copy(update={"receipts": (replace(mine, salt=bytes(32)),)})
    with pytest.raises(AssertionError, match="not under the root"):
        open_receipts(false.to_bytes(), signer.name, vkey)


def test_a_second_implementation_takes_in_the_news_of_a_roster() -> None:
    vectors = [json.loads((VECTORS / name).read_text()) for name in ("roster.json", "receipts.json")]
    news, origin, vkey = bytes.fromhex(vectors[0]["news"]), vectors[1]["origin"], vectors[1]["vkey"]
    assert open_news(news, origin, vkey) == read(bytes.fromhex(vectors[0]["roster_bytes"]))
    hub = SigningKey.from_private_bytes(bytes.fromhex(vectors[0]["signing_private"]))
    other = trust.sign_roster(roster.Roster(version=7, at=1, nodes=()), hub)
    with pytest.raises(AssertionError, match="another roster"):
        open_news(det(read(news) | {"roster": other}), origin, vkey)


def test_an_acknowledgement_of_either_implementation_is_read_by_the_other() -> None:
    item = {"id": new_id(NOW).bytes, "envelope": bytes(32), "outcome": "declined", "code": "decryption_failed"}
    fields = {"v": 1, "recipient": "hu", "sender": "ro", "at": NOW, "items": [item]}
    read_by_us = trust.open_acknowledgement(sign1(b"\1" * 32, "acknowledgement", det(fields)), our_trust())
    assert read_by_us.items[0].code == "decryption_failed"
    signed = trust.sign_acknowledgement(read_by_us, RO)
    assert read(open_sign1(signed, "acknowledgement", RO.public.public_bytes())[1]) == fields
    with pytest.raises(AssertionError):
        open_sign1(signed, "envelope", RO.public.public_bytes())


def test_the_worked_example_of_the_page_is_what_both_implementations_compute() -> None:
    example = PAGE.read_text().partition("## 19.")[2]
    plaintext = b"\3" * 32 + BODY
    id = UUID("01932f5e-7c00-7000-8000-000000000001").bytes
    times = {"created": 1731700000000, "expires": 1731800000000, "size": 56}
    named = {"id": id, "thread": id, "recipients": ["hu"], "digest": hashlib.sha256(plaintext).digest()}
    header = det(header_fields() | named | times)
    aad, info = det(["Encrypt", b"\xa1\x01\x03", header]), info_of(header, "hu", HU.public.key_id)
    ciphertext = AESGCM(b"\4" * 32).encrypt(b"\5" * 12, plaintext, aad)
    public = RO.public.public_bytes()
    hashed = [hashlib.sha256(value).hexdigest() for value in (header, info)]
    stated = [*hashed, *(v.hex() for v in (public, kid(public), HU.public.key_id, ciphertext, header[:28], aad[:20]))]
    vkey = note.NoteSigner("seci.exchange/ledger", SigningKey.from_seed(b"\6" * 32)).verifier.vkey()
    assert [value for value in (*stated, vkey) if value not in example] == []
    assert envelope.wrap_info(header, "hu", HU.public.key_id) == info
    assert VerifyKey.from_public_bytes(public).key_id == kid(public)
