"""New keys of a node in the roster: pure decisions on what a node asks for in its own name (schemas/renewal.py).

An old key is good for a day more: for what is under way while the new roster reaches everybody. It stays listed until
nothing that it signed or closed can be on its way, so that old messages are still understood; in old rosters, for ever.
"""

from typing import Final

from crypto.errors import CryptoError
from crypto.keys import EncryptionPublicKey, VerifyKey
from crypto.trust import Trust, witness_key
from hub.errors import RenewalRefused
from hub.judge import OLDEST_MS
from hub.registrar import DAY_MS, KEY_DAYS, SKEW_MS, Unsigned
from schemas.header import MAX_LIFETIME_MS
from schemas.renewal import RenewalRequest
from schemas.roster import KeyUse, Roster, RosterKey, RosterNode

OVERLAP_MS: Final = DAY_MS
# A message is taken when it is so old, and then may wait at the hub until it expires.
LISTED_MS: Final = OLDEST_MS + MAX_LIFETIME_MS
# Keys of one use that may be listed: renewing each week is not what it is for, and each key costs every node its bytes.
MOST_KEYS: Final = 12
NEXT: Final = "tell the hub's operators; nothing has changed"


def renewed(roster: Unsigned, request: RenewalRequest, now: int) -> tuple[RosterNode, ...]:
    """The nodes with the new keys of one of them; the same ones if it has them already. Raises RenewalRefused."""
    known = {node.node: node for node in roster.nodes}
    if request.node not in known:
        raise RenewalRefused(f"{request.node} is not in the roster", NEXT)
    if not known[request.node].active:
        # It may have been shut out since it asked, for its keys may be somebody else's.
        raise RenewalRefused(f"{request.node} takes no part", NEXT)
    node, new = known[request.node], _keys_of(request, now)
    listed = {key.public: (other.node, key.use) for other in roster.nodes for key in other.keys}
    for key in new:
        if listed.get(key.public, (node.node, key.use)) != (node.node, key.use):
            raise RenewalRefused(f"a new key of {node.node} is in the roster for something else", NEXT)
    fresh = [key for key in new if key.public not in listed]
    if not fresh:
        return roster.nodes
    keys = tuple(key for key in (_ending(key, fresh, now) for key in node.keys) if key.not_after > now - LISTED_MS)
    for use in {key.use for key in fresh}:
        if sum(key.use is use for key in keys) >= MOST_KEYS:
            raise RenewalRefused(f"{node.node} has renewed its keys for {use} too often", NEXT)
    after = node.model_copy(update={"keys": (*keys, *fresh)})
    nodes = tuple(after if other.node == node.node else other for other in roster.nodes)
    try:
        Trust.of(Roster(version=roster.version + 1, at=now, nodes=nodes))
    except CryptoError as error:
        raise RenewalRefused(f"the new keys of {node.node}: {error}", NEXT) from error
    return nodes


def _ending(key: RosterKey, fresh: list[RosterKey], now: int) -> RosterKey:
    # Of witness keys one counts, the newest; the others may go on to be looked up.
    replaced = any(new.use is key.use for new in fresh)
    return key.model_copy(update={"not_after": min(key.not_after, now + OVERLAP_MS)}) if replaced else key


def _keys_of(request: RenewalRequest, now: int) -> list[RosterKey]:
    validity = {"not_before": now - SKEW_MS, "not_after": now + KEY_DAYS * DAY_MS}
    found = []
    try:
        if request.signing is not None:
            kid = VerifyKey.from_public_bytes(request.signing).key_id
            found.append(RosterKey(kid=kid, use=KeyUse.SIGN, public=request.signing, **validity))
        if request.encryption is not None:
            sealing = EncryptionPublicKey.from_public_bytes(request.encryption)
            # A key may parse and yet be of no use: try it.
            sealing.wrap(b"trial", b"")
            found.append(RosterKey(kid=sealing.key_id, use=KeyUse.SEAL, public=request.encryption, **validity))
        if request.witness is not None:
            witness_key(request.node, request.witness)
            kid = VerifyKey.from_public_bytes(request.witness).key_id
            found.append(RosterKey(kid=kid, use=KeyUse.WITNESS, public=request.witness, **validity))
    except CryptoError as error:
        raise RenewalRefused(f"the new keys of {request.node}: {error}", NEXT) from error
    return found
