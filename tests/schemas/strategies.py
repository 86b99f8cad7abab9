"""Hypothesis strategies for what the schemas describe, used by the tests of several rooms."""

from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from schemas.codes import TASK_FORCES, Agency, Handling, Priority
from schemas.control import AcknowledgedMessage, Acknowledgement, Entry, Event, Outcome, Receipt, Receipts
from schemas.header import MAX_BODY, NONCE_SIZE, Header, new_id
from schemas.participants import Category
from schemas.refusals import RefusalCode
from schemas.roster import KeyUse, Roster, RosterKey, RosterNews, RosterNode

LOWER = "abcdefghijklmnopqrstuvwxyz"
LATEST = 253_402_300_799_999

nodes = st.text(LOWER, min_size=2, max_size=8)
digests = st.binary(min_size=32, max_size=32)
millis = st.integers(0, LATEST)
uuids = st.integers(0, 2**48 - 1).map(new_id)
task_forces = st.sampled_from(sorted(TASK_FORCES))
kinds = st.sampled_from(["alert", "request", "reply", "drugs.seizure", "a_b.c_d.e"])
operations = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)

cbor_keys = st.text(max_size=5) | st.integers(-(2**64), 2**64 - 1)
cbor_leaves = (
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=20)
)
cbor_values = st.recursive(
    cbor_leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(cbor_keys, inner, max_size=4), max_leaves=8
)


@st.composite
def header_fields(draw: st.DrawFn) -> dict[str, Any]:
    """The fields of a well-formed header, as Python values."""
    sender, *recipients = draw(st.lists(nodes, min_size=2, max_size=12, unique=True))
    created = draw(st.integers(0, LATEST - 2))
    expires = draw(st.integers(created + 1, LATEST))
    fields: dict[str, Any] = {
        "id": draw(uuids),
        "thread": draw(uuids),
        "sender": sender,
        "agency": draw(st.sampled_from(Agency)),
        "task_force": draw(task_forces),
        "recipients": tuple(sorted(recipients)),
        "kind": draw(kinds),
        "kind_version": draw(st.integers(1, 999)),
        "priority": draw(st.sampled_from(Priority)),
        "handling": draw(st.sampled_from(Handling)),
        "created": created,
        "expires": expires,
        "suite": draw(st.sampled_from(["SECI1-EdDSA", "SECI1-ES256"])),
        "digest": draw(digests),
        "size": draw(st.integers(NONCE_SIZE, NONCE_SIZE + MAX_BODY)),
    }
    optional: dict[str, st.SearchStrategy[Any]] = {
        "in_reply_to": uuids,
        "operation": operations,
        "reply_by": st.integers(created + 1, expires),
        "attachments": st.lists(st.fixed_dictionaries({"digest": digests, "size": millis}), max_size=3).map(tuple),
        "roster": st.fixed_dictionaries({"version": st.integers(1, 2**31 - 1), "digest": digests}),
    }
    chosen = draw(st.sets(st.sampled_from(sorted(optional))))
    return fields | {name: draw(optional[name]) for name in sorted(chosen)}


headers = header_fields().map(lambda fields: Header(**fields))

acknowledgements = st.builds(
    Acknowledgement,
    recipient=nodes,
    sender=nodes,
    at=millis,
    items=st.lists(
        st.builds(
            AcknowledgedMessage,
            id=uuids,
            envelope=digests,
            outcome=st.sampled_from(Outcome),
            code=st.none() | st.sampled_from(RefusalCode),
        ),
        min_size=1,
        max_size=4,
    ).map(tuple),
)
entries = st.builds(
    Entry,
    event=st.sampled_from(Event),
    at=millis,
    node=nodes,
    message=st.none() | uuids,
    thread=st.none() | uuids,
    sender=st.none() | nodes,
    recipients=st.none() | st.lists(nodes, max_size=3).map(tuple),
    kind_version=st.none() | st.integers(0, 999),
    created=st.none() | millis,
    envelope=st.none() | digests,
    evidence=st.none() | digests,
    code=st.none() | st.sampled_from(RefusalCode),
    detail=st.none() | st.text(max_size=30),
    erased=st.none()
    | st.sets(st.integers(0, 2**63 - 1), min_size=1, max_size=4).map(lambda found: tuple(sorted(found))),
)
bundles = st.builds(
    Receipts,
    checkpoint=st.text(max_size=100),
    receipts=st.lists(
        st.builds(
            Receipt,
            index=st.integers(0, 2**60),
            entry=st.binary(max_size=80),
            salt=digests,
            proof=st.lists(digests, max_size=3).map(tuple),
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
    acknowledgements=st.lists(st.binary(max_size=40), max_size=3).map(tuple),
)
rosters = st.builds(
    Roster,
    version=st.integers(1, 2**31 - 1),
    at=millis,
    nodes=st.lists(
        st.builds(
            RosterNode,
            node=nodes,
            name=st.text(min_size=1, max_size=100),
            category=st.sampled_from(Category),
            agencies=st.lists(st.sampled_from(Agency), max_size=3).map(tuple),
            task_forces=st.lists(task_forces, max_size=3).map(tuple),
            keys=st.lists(
                st.builds(
                    RosterKey,
                    kid=st.binary(min_size=16, max_size=16),
                    use=st.sampled_from(KeyUse),
                    public=st.binary(max_size=70),
                    not_before=millis,
                    not_after=millis,
                ),
                max_size=3,
            ).map(tuple),
        ),
        max_size=3,
        unique_by=lambda node: node.node,
    ).map(tuple),
)

news = st.builds(
    RosterNews,
    roster=st.binary(min_size=1, max_size=100),
    receipt=bundles.map(lambda bundle: bundle.receipts[0]),
    checkpoint=st.text(min_size=1, max_size=100),
)

FIXED_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
