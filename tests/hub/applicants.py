"""Nodes that ask to join, as their programs would, and a registrar's office with a real database."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from crypto import joining as proofs
from crypto.certificates import create_csr, new_tls_key, to_pem
from crypto.enrolment import sign_request
from crypto.keys import EncryptionKey, SigningKey
from hub import acts, admission, joining, registrar
from hub.acts import Actor
from hub.admission import Office
from hub.joining import Enrolment, Terms
from hub.pen import writing
from hub.registrar import Unsigned
from hub.roles import Action, Role
from hub.settings import Settings
from schemas.joining import JoinRequest, JoinToken, Stage
from schemas.roster import RosterNode
from tests.hub.ownhub import OwnHub

T = TypeVar("T")
_ACTIONS = {joining.approve: Action.APPROVE, joining.confirm: Action.ADMIT}
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Applicant:
    """A node's keys."""

    node: str
    signing: SigningKey
    encryption: EncryptionKey
    csr: bytes
    witness: SigningKey

    @classmethod
    def new(cls, node: str) -> "Applicant":
        """With fresh keys."""
        csr = to_pem(create_csr(f"node-{node}", new_tls_key()))
        return cls(node, SigningKey.generate(), EncryptionKey.generate(), csr, SigningKey.generate())

    def asks(self, token: JoinToken, node: str | None = None) -> JoinRequest:
        """The request under that token."""
        request = sign_request(node or self.node, self.signing, self.encryption.public, self.csr, self.witness.public)
        return proofs.sign_join(token, request)

    @property
    def public(self) -> set[bytes]:
        """Its keys as they stand in a roster."""
        signing, witness = self.signing.public.public_bytes(), self.witness.public.public_bytes()
        return {signing, self.encryption.public.public_bytes(), witness}


def office_of(own: OwnHub, engine: AsyncEngine) -> Office:
    """That hub's."""
    return Office(Settings.load(own.home), engine, own.log)


async def roster_of(office: Office) -> Unsigned:
    """The roster in force."""
    async with office.engine.connect() as connection:
        return await registrar.current(connection, office.log.signer.key.public)


async def listed(office: Office, node: str) -> RosterNode | None:
    """The node in the roster."""
    return next((item for item in (await roster_of(office)).nodes if item.node == node), None)


async def invited(
    office: Office,
    node: str,
    *,
    task_forces: tuple[str, ...] | None = ("drugs",),
    replace_keys: bool = False,
    lasts_ms: int = HOUR_MS,
) -> JoinToken:
    """The token of a new invitation."""
    terms = Terms(None, task_forces, replace_keys, joining.now_ms() + lasts_ms)
    async with office.engine.begin() as connection:
        roster = await registrar.current(connection, office.log.signer.key.public)
        return await joining.invite(connection, node, proofs.pin_of(office.identity), terms, roster, "ana")


async def asked(office: Office, who: Applicant, token: JoinToken) -> Enrolment:
    """Has asked, and has opened the challenge."""
    join = who.asks(token)
    answer = await admission.answer(office, await admission.receive(office, join, by_file=False))
    assert answer.challenge is not None and answer.sealed is None
    opened = proofs.open_challenge(join, answer.challenge, who.encryption)
    found = await admission.receive(office, opened, by_file=False)
    assert (found.stage, found.proven) == (Stage.REQUESTED, True)
    return found


async def decided(
    office: Office, transition: Callable[..., object], *arguments: object, **options: object
) -> Enrolment:
    """One transition of the node that is named first, by who is named last, in a transaction of its own; on record."""
    node, *others = arguments
    async with office.engine.connect() as connection:
        seen = await joining.latest(connection, str(node))
    async with writing(office.engine, office.log) as connection:
        what = node if transition is joining.approve else seen
        found = await transition(connection, what, *others, **options)  # type: ignore[misc]
        assert isinstance(found, Enrolment)
        if action := _ACTIONS.get(transition):
            actor = Actor(str(others[-1]), action, seen.about(), Role.OFFICER, bytes(32))
            await acts.record(connection, office.log, actor)
        return found


async def confirmed(office: Office, who: Applicant, token: JoinToken) -> Enrolment:
    """Asked, approved by Ana, confirmed by Dan."""
    found = await asked(office, who, token)
    words = " ".join(proofs.join_words(who.asks(token)))
    approved = await decided(office, joining.approve, who.node, words, "ana", four_eyes=True)
    assert approved.stage is Stage.APPROVED
    await decided(office, joining.confirm, who.node, "dan")
    return found


def stages(found: Sequence[Enrolment]) -> list[tuple[str, Stage]]:
    """Of each, node and stage."""
    return [(item.node, item.stage) for item in found]
