"""The vectors of what the hub and the recipients sign: roster, acknowledgement, ledger, receipts, Merkle trees."""

import hashlib

from crypto import merkle
from crypto.note import Checkpoint, NoteSigner, sign_note
from crypto.receipt import leaf_of
from crypto.rosternews import detail_of
from crypto.trust import sign_acknowledgement, sign_roster
from schemas.codes import Agency
from schemas.control import AcknowledgedMessage, Acknowledgement, Entry, Event, Outcome, Receipt, Receipts
from schemas.participants import Category
from schemas.refusals import RefusalCode
from schemas.roster import KeyUse, Roster, RosterKey, RosterNews, RosterNode
from tests.vectors.fixed import CREATED, ENCRYPTION, HOUR, ORIGIN, SIGNERS, Document, identifier, material, readable


def rosters(_: Document) -> Document:
    """`roster.json`."""
    validity = {"not_before": CREATED - HOUR, "not_after": CREATED + 365 * 24 * HOUR}

    def listed(node: str, name: str, category: Category) -> RosterNode:
        pairs = [(KeyUse.SIGN, SIGNERS.get(node)), (KeyUse.SEAL, ENCRYPTION.get(node))]
        found = [
            RosterKey(kid=key.public.key_id, use=use, public=key.public.public_bytes(), **validity)
            for use, key in pairs
            if key is not None
        ]
        return RosterNode(
            node=node,
            name=name,
            category=category,
            agencies=(Agency.POLICE, Agency.CUSTOMS),
            task_forces=("drugs", "trafficking"),
            keys=tuple(found),
        )

    roster = Roster(
        version=7,
        at=CREATED,
        nodes=(
            listed("bg", "Bulgaria", Category.MEMBER),
            listed("hu", "Hungary", Category.MEMBER),
            listed("ro", "Romania", Category.MEMBER),
            listed("seci", "SECI Regional Center", Category.CENTRE),
            listed("tr", "Turkey", Category.MEMBER),
        ),
    )
    signed = sign_roster(roster, SIGNERS["hub"])
    return {
        "signing_private": SIGNERS["hub"].private_bytes().hex(),
        "roster": readable(roster.model_dump(exclude_none=True)),
        "roster_bytes": roster.to_bytes().hex(),
        "signed": signed.hex(),
        "news": _news(signed, roster).to_bytes().hex(),
    }


def _news(signed: bytes, roster: Roster) -> RosterNews:
    """Of the second entry of a ledger of two."""
    digest = hashlib.sha256(signed).digest()
    entry = Entry(event=Event.ROSTER, at=CREATED, node="seci", evidence=digest, detail=detail_of(roster.version))
    salt, before = material("salt of the roster"), leaf_of(material("salt before"), b"the entry before it")
    root = merkle.node_hash(before, leaf_of(salt, entry.to_bytes()))
    note = sign_note(Checkpoint(ORIGIN, 2, root).text(), NoteSigner(ORIGIN, SIGNERS["hub"]))
    receipt = Receipt(index=1, entry=entry.to_bytes(), salt=salt, proof=(before,))
    return RosterNews(roster=signed, receipt=receipt, checkpoint=note)


def _acknowledgement() -> Acknowledgement:
    return Acknowledgement(
        recipient="bg",
        sender="ro",
        at=CREATED + 1000,
        items=(
            AcknowledgedMessage(id=identifier(1), envelope=material("envelope 1"), outcome=Outcome.DELIVERED),
            AcknowledgedMessage(
                id=identifier(2),
                envelope=material("envelope 2"),
                outcome=Outcome.DECLINED,
                code=RefusalCode.DECRYPTION_FAILED,
            ),
        ),
    )


def acknowledgements(_: Document) -> Document:
    """`acknowledgement.json`."""
    said = _acknowledgement()
    return {
        "signing_private": SIGNERS["bg"].private_bytes().hex(),
        "acknowledgement": readable(said.model_dump(exclude_none=True)),
        "acknowledgement_bytes": said.to_bytes().hex(),
        "signed": sign_acknowledgement(said, SIGNERS["bg"]).hex(),
    }


def receipts(_: Document) -> Document:
    """`receipts.json`: a ledger of seven entries, its checkpoint, and receipts for two of them."""
    entries = [
        Entry(event=Event.ROSTER, at=CREATED, node="seci", evidence=material("roster"), detail="version 7"),
        *(
            Entry(
                event=Event.ACCEPTED,
                at=CREATED + number,
                node="ro",
                message=identifier(number),
                thread=identifier(1),
                sender="ro",
                recipients=("bg", "hu"),
                task_force="drugs",
                kind="alert",
                kind_version=1,
                priority="normal",
                handling="H0",
                created=CREATED,
                envelope=material(f"envelope {number}"),
            )
            for number in (1, 2, 3)
        ),
        Entry(event=Event.REFUSED, at=CREATED + 4, node="tr", code=RefusalCode.NOT_A_MEMBER, detail="not a member"),
        Entry(
            event=Event.DELIVERED,
            at=CREATED + 5,
            node="bg",
            message=identifier(1),
            sender="ro",
            envelope=material("envelope 1"),
            evidence=hashlib.sha256(sign_acknowledgement(_acknowledgement(), SIGNERS["bg"])).digest(),
        ),
        Entry(event=Event.QUARANTINED, at=CREATED + 6, node="tr", evidence=material("junk")),
    ]
    salts = [material(f"salt {index}") for index in range(len(entries))]
    leaves = [leaf_of(salt, entry.to_bytes()) for salt, entry in zip(salts, entries, strict=True)]
    grown, subtrees = merkle.CompactRange(0, ()).append(leaves)
    signer = NoteSigner(ORIGIN, SIGNERS["hub"])
    note = sign_note(Checkpoint(ORIGIN, grown.size, grown.root()).text(), signer)
    chosen = (1, 5)
    bundle = Receipts(
        checkpoint=note,
        receipts=tuple(
            Receipt(
                index=index,
                entry=entries[index].to_bytes(),
                salt=salts[index],
                proof=tuple(merkle.inclusion_proof(index, grown.size, lambda level, place: subtrees[level, place])),
            )
            for index in chosen
        ),
        acknowledgements=(sign_acknowledgement(_acknowledgement(), SIGNERS["bg"]),),
    )
    return {
        "origin": ORIGIN,
        "signing_private": SIGNERS["hub"].private_bytes().hex(),
        "vkey": signer.verifier.vkey(),
        "leaves": [
            {
                "entry": readable(entry.model_dump(exclude_none=True)),
                "entry_bytes": entry.to_bytes().hex(),
                "salt": salt.hex(),
                "leaf": leaf.hex(),
            }
            for entry, salt, leaf in zip(entries, salts, leaves, strict=True)
        ],
        "root": grown.root().hex(),
        "checkpoint": note,
        "receipts": [{"index": r.index, "proof": [item.hex() for item in r.proof]} for r in bundle.receipts],
        "bundle": bundle.to_bytes().hex(),
    }


def merkle_trees(_: Document) -> Document:
    """`merkle/trees.json`: the tree of the leaves with data 00, 01, 02 ... in one byte each, at every size."""
    largest = 9
    leaves = [merkle.leaf_hash(bytes([number])) for number in range(largest)]
    subtrees = merkle.CompactRange(0, ()).append(leaves)[1]

    def nodes(level: int, place: int) -> bytes:
        return subtrees[level, place]

    sizes = range(1, largest + 1)
    return {
        "leaves": [leaf.hex() for leaf in leaves],
        "roots": [merkle.root(leaves[:size]).hex() for size in range(largest + 1)],
        "inclusion": [
            {"index": index, "size": size, "proof": [item.hex() for item in merkle.inclusion_proof(index, size, nodes)]}
            for size in sizes
            for index in range(size)
        ],
        "consistency": [
            {"size1": one, "size2": two, "proof": [item.hex() for item in merkle.consistency_proof(one, two, nodes)]}
            for two in sizes
            for one in range(1, two + 1)
        ],
    }
