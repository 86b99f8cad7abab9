"""The node as a witness of the hub's ledger: it follows the history, cosigns it, and compares with the others.

    ask -> the hub's newest checkpoint, with the proof that it continues the last one -> verify, store, cosign
        -> what the others have cosigned -> compare, and upgrade receipts once it is a quorum
        -> the rosters that this node has missed (`rosters`)

Nothing of this holds up messages. A hub that is caught at two histories is not trusted any more: `histories`.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy.engine import Connection

from crypto.cosignature import Cosigner, CosignerKey
from crypto.errors import CryptoError, NoteInvalid
from crypto.hubkeys import LedgerKeys, signer_of
from crypto.keys import SigningKey
from crypto.log import log
from crypto.note import Note, NoteVerifier, open_note
from crypto.policy import NONE, Log, Policy, read_checkpoint
from crypto.trust import WITNESS_NAME, Trust
from crypto.witness import majority
from nodes import handovers, hearsay, histories, proofs, rosters
from nodes.canary import Answers, Canary
from nodes.histories import Followed, Standing
from nodes.link import Link, LinkState
from nodes.publishing import Publication
from nodes.store import Store
from nodes.times import iso
from schemas.control import ControlRefused, MessageType, Wire
from schemas.witnessing import CheckpointRequest, TileRequest, Tiles, WitnessCheckpoint, WitnessCosignature

# With receipts to upgrade and tiles to be had, or rosters that wait for a link, the next question follows so soon.
HURRY_S: Final = 1.0


@dataclass
class Witness:
    """One node's witness. `policy` says whose cosignatures make a quorum; None: more than half of the roster's.

    `caught` is whether the hub is distrusted; the store has it for good. `news` wakes the loop that asks, `asking` is
    for which rosters. Where `second`, the hub's other key, is known, a checkpoint counts as witnessed only if the hub
    signed it with both.
    """

    node: str
    origin: str
    hub: LedgerKeys
    second: CosignerKey | None = None
    key: SigningKey | None = None
    policy: Policy | None = None
    pause_s: float = 10.0
    caught: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)
    asking: rosters.Asking = field(default_factory=rosters.Asking)
    canary: Canary = field(default_factory=Canary)
    _asked: TileRequest | None = None
    _gathered: proofs.Gathered = field(default_factory=proofs.Gathered)

    @property
    def cosigner(self) -> Cosigner | None:
        """What this node cosigns with."""
        return None if self.key is None else Cosigner(f"{WITNESS_NAME}{self.node}", self.key)

    def quorum(self, trust: Trust, now: int) -> Policy:
        """The policy by which a checkpoint counts as witnessed, but for which keys the log must have signed it with."""
        policy = self.policy or majority(_newest(self.hub), list(trust.witnesses(now).values()))
        return replace(policy, logs=())

    def answers(self, link: LinkState) -> Answers:
        """Whether the hub answers what it is asked over that link. One that is not trusted is asked nothing."""
        found = self.canary.look(link, self.pause_s)
        return Answers(found.newest) if self.caught else found

    async def run(self, box: Store, link: Link) -> None:
        """Asks for ever, at most once in `pause_s` seconds unless there are receipts to upgrade or new rosters."""
        while True:
            await link.up.wait()
            self.news.clear()
            waiting = await box.run(_waiting)
            if self.caught:
                self.canary.rest()
            else:
                self.canary.ask(link.state)
                await _say(link, MessageType.CHECKPOINT_REQUEST, await box.run(self._question))
                self.canary.wait_on()
            asked, hurry, self._asked = time.monotonic(), True, None
            while hurry and time.monotonic() < asked + self.pause_s:
                await self._tell(box, link)
                hurry = await self._upgrade(box, link)
                await asyncio.sleep(min(HURRY_S, self.pause_s))
                hurry = hurry and not await _has_more(box, waiting)
            while (left := asked + self.pause_s - time.monotonic()) > 0:
                if await _has_more(box, waiting):
                    await asyncio.sleep(min(left, asked + HURRY_S - time.monotonic()))
                    break
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self.news.wait()
                self.news.clear()
                await self._tell(box, link)

    def _question(self, connection: Connection) -> CheckpointRequest:
        last = histories.last(connection, self.origin)
        old, claims = 0 if last is None else last.checkpoint.size, tuple(histories.claims(connection, _now()))
        after = self.asking.after(rosters.known(connection), time.monotonic())
        return CheckpointRequest(old=old, claims=claims, roster=after)

    async def _tell(self, box: Store, link: Link) -> None:
        # Even of a hub that was caught: what was cosigned before may show others, through the hub, what it did.
        owed = await box.run(histories.unsent)
        if owed is not None:
            size, note = owed
            if await _say(link, MessageType.COSIGNATURE, WitnessCosignature(checkpoint=note)):
                await box.run(histories.mark_sent, size)

    async def _upgrade(self, box: Store, link: Link) -> bool:
        wanted = None if self.caught else await box.run(proofs.question, self._gathered)
        if wanted is None:
            return False
        # The same question again only after a pause: its answer may be on its way.
        if wanted != self._asked and await _say(link, MessageType.TILE_REQUEST, wanted):
            self._asked = wanted
        return True

    def take_in(self, connection: Connection, kind: str, body: bytes, trust: Trust, now: int) -> None:
        """Takes in a checkpoint or tiles. What does not hold is logged and forgotten. Raises HubCaught."""
        try:
            if kind == MessageType.TILES:
                answer = Tiles.from_bytes(body)
                proofs.check(answer)
                proofs.take_tiles(connection, answer, self._gathered)
            else:
                self._take_checkpoint(connection, WitnessCheckpoint.from_bytes(body), trust, now)
        except (CryptoError, ControlRefused) as error:
            log.warning("witness_answer_invalid", type=kind, code=error.code)

    def _take_checkpoint(self, connection: Connection, answer: WitnessCheckpoint, trust: Trust, now: int) -> None:
        last = histories.last(connection, self.origin)
        new = histories.follow_answer(answer, last, self.origin, self.hub)
        if new is None:
            return
        # What anybody else may have put into the broker is no sign of life: the hub has signed this.
        self.canary.bring()
        parsed = Note.parse(answer.checkpoint)
        note = str(Note(parsed.text, (parsed.check(signer_of(parsed, self.hub)),)))
        histories.see(connection, new, note, Standing.LINKED, now)
        histories.take_links(connection, answer.links, new, note, now)
        again = last is not None and last.checkpoint == new
        line = last.line if last is not None and again else ""
        own = self._listed(trust, now)
        if own is not None:
            line = line or own.sign(note.partition("\n\n")[0] + "\n", now // 1000).line()
        sent = own is None or parsed.is_signed_by(own.verifier)
        followed = Followed(new, note, line, half_signed=self._half_signed(answer.checkpoint))
        if followed.half_signed and not again:
            log.warning("checkpoint_half_signed", size=new.size)
        histories.keep(connection, followed, sent=sent)
        policy = self.quorum(trust, now)
        for heard in (answer.checkpoint, *answer.others):
            self._hear(connection, heard, followed, policy, now)

    def _half_signed(self, note: str) -> bool:
        """Whether the hub's second signature is to be there, and is not or does not match."""
        if self.second is None:
            return False
        try:
            open_note(note, self.second)
        except NoteInvalid:
            return True
        return False

    def _listed(self, trust: Trust, now: int) -> Cosigner | None:
        own = self.cosigner
        return own if own is not None and trust.witnesses(now).get(self.node) == own.verifier else None

    def _hear(self, connection: Connection, note: str, offered: Followed, policy: Policy, now: int) -> None:
        """What others have cosigned must be of the history that was followed here, or become so by a proof."""
        try:
            histories.opened(note, self.origin, self.hub)
            first = Log(signer_of(Note.parse(note), self.hub))
            # One signature of the hub binds it to a history; to be kept as witnessed, a checkpoint needs each.
            cosigned = read_checkpoint(note, replace(policy, logs=(first,)))
        except CryptoError as error:
            log.warning("witness_note_invalid", code=error.code)
            return
        forgiven = histories.forgiven_until(connection)
        if forgiven and max((at for _, at in cosigned.witnesses), default=0) * 1000 <= forgiven:
            # Of a history that an operator has let go.
            return
        standing = histories.see(connection, cosigned.checkpoint, note, Standing.CLAIMED, now)
        if cosigned.checkpoint.size > offered.checkpoint.size:
            # What others were asked to cosign is never newer than what the hub asks us, unless it has gone back.
            detail = f"others cosigned a ledger of {cosigned.checkpoint.size} entries, and the hub now offers "
            detail += f"one of {offered.checkpoint.size}"
            raise histories.HubCaught(histories.ROLLED_BACK, detail, note, offered.note)
        counts = cosigned.quorum and policy.quorum != NONE and not self._half_signed(note)
        if standing is Standing.LINKED and counts:
            logs = first, *(() if self.second is None else (Log(self.second),))
            known = _without_strangers(note, replace(policy, logs=logs))
            proofs.keep_witnessed(connection, cosigned.checkpoint.size, known)


def _newest(hub: LedgerKeys) -> NoteVerifier:
    return hub if isinstance(hub, NoteVerifier) else hub.newest


def _without_strangers(note: str, policy: Policy) -> str:
    # As every reader of a proof must: signatures of keys that nobody here knows are not passed on.
    parsed = Note.parse(note)
    known = [*(log.key for log in policy.logs), *(witness.key for witness in policy.witnesses)]
    return str(Note(parsed.text, tuple(parsed.check(key) for key in known if parsed.is_signed_by(key))))


def _waiting(connection: Connection) -> tuple[tuple[int, ...], ...]:
    """What waits for a link: rosters and handovers."""
    return rosters.waiting(connection), handovers.waiting(connection)


async def _has_more(box: Store, waiting: tuple[tuple[int, ...], ...]) -> bool:
    """Whether anything waits, and other than when the hub was asked last: then its next answer brings it on."""
    return await box.run(_waiting) not in (((), ()), waiting)


async def _say(link: Link, kind: MessageType, said: Wire) -> bool:
    confirmed = await link.publish([Publication(f"{kind}-{time.time_ns()}", kind, False, said.to_bytes())])
    return confirmed == [True]


def describe(
    connection: Connection,
    origin: str,
    own: CosignerKey | None,
    listed: CosignerKey | None,
    now: int,
    asking: rosters.Asking | None = None,
) -> dict[str, Any]:
    """What the witness stands at, for `status`, monitors and `seci-node witness`; `listed` is its key in the roster.

    `asking` is that of the agent at work.
    """
    last, found = histories.last(connection, origin), histories.undecided(connection)
    waiting = proofs.unproven(connection)
    alarm, unread = None, asking is not None and asking.unread
    if found is not None:
        alarm = {"number": found.number, "at": iso(found.at), "code": found.code, "detail": found.detail}
    return {
        "vkey": None if own is None else own.vkey(),
        "listed": "none" if listed is None else "own" if listed == own else "other",
        "followed": None if last is None else last.checkpoint.size,
        "cosigned": bool(last is not None and last.line),
        "half_signed": bool(last is not None and last.half_signed),
        "witnessed": proofs.newest_witnessed(connection),
        "unwitnessed_receipts": waiting.number,
        "unwitnessed_since": iso(waiting.since),
        "withheld": histories.withheld(connection, now),
        "roster_overdue": rosters.overdue(connection, now),
        "handover_overdue": handovers.overdue(connection, now),
        "roster_unread_after": asking.known if asking is not None and unread else None,
        "roster_hearsay": hearsay.known(connection, now, unread=unread),
        "alarm": alarm,
    }


def warnings(state: dict[str, Any]) -> list[str]:
    """What a person must know of it at once; empty if all is well."""
    found = []
    if (alarm := state["alarm"]) is not None:
        found.append(
            f"THE HUB IS NOT TRUSTED since {alarm['at']}: {alarm['detail']} [{alarm['code']}]; nothing is sent and no "
            'receipt is taken; see docs/node.md, "When the hub is caught"'
        )
    if state["listed"] == "other":
        found.append(
            "the roster has another witness key for this node than its own: unless witness.key was lost, "
            "somebody cosigns in its name; tell the hub's operators, and send them enrolment.json"
        )
    if state["withheld"] is not None:
        found.append(f"the hub does not prove that its ledger of {state['withheld']} entries is part of today's")
    if state["half_signed"]:
        found.append(
            f"the hub's checkpoint of {state['followed']} entries has no signature by its second key (ML-DSA-44), or a "
            "wrong one: it does not count as witnessed; tell the hub's operators"
        )
    if state["handover_overdue"] is not None:
        found.append(
            f"another key of the hub waits since entry {state['handover_overdue']}: the hub withholds the proof that "
            "it took the old one's place in the ledger that is followed here; tell the hub's operators"
        )
    if state["roster_overdue"] is not None:
        found.append(
            f"version {state['roster_overdue']} of the roster is not in force yet: the hub withholds its proof or the "
            "version before it, or it cannot be used; tell the hub's operators"
        )
    if state["roster_unread_after"] is not None:
        found.append(
            f"the hub sends a roster after version {state['roster_unread_after']} that this program cannot read, or "
            "without its proof: update the program, or tell the hub's operators"
        )
    return found + hearsay.warnings(state["roster_hearsay"])


def _now() -> int:
    return time.time_ns() // 1_000_000
