"""What follows when an enrolment is confirmed: certificate, broker, roster and ledger, welcome.

Each step leaves a stage behind (`schemas.joining.Stage`) and may be done twice, so `carry_on` goes on from wherever a
process was killed, and two of them do no harm. What was rejected on the way is taken back the same way.
"""

import asyncio
import base64
from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from crypto import joining
from hub import accounts, authorities, consent, ledger, registrar, rosternews, standing, topology
from hub.errors import EnrolmentUnknown, HubError
from hub.joining import Enrolment, ask, change, check_request, listing, locked
from hub.ledger import Ledger
from hub.pen import writing
from hub.settings import Settings
from schemas.enrolment import EnrolmentRequest, Welcome
from schemas.joining import HubIdentity, JoinAnswer, JoinRequest, Stage

_UNFINISHED: Final = (Stage.CONFIRMED, Stage.PROVISIONED, Stage.REJECTED)
_READY: Final = (Stage.IN_ROSTER, Stage.WELCOMED)


@dataclass(frozen=True, slots=True)
class Office:
    """What the registrar works with."""

    settings: Settings
    engine: AsyncEngine
    log: Ledger

    @property
    def identity(self) -> HubIdentity:
        """Whom a token of this hub pins."""
        return identity_of(self.settings, self.log)


def identity_of(settings: Settings, log: Ledger) -> HubIdentity:
    """The hub as nodes know it."""
    return HubIdentity(
        ca_pem=(settings.home / "ca.pem").read_text(),
        hub_key=base64.b64encode(log.signer.key.public.public_bytes()).decode(),
        log_origin=log.origin,
        log_vkey=log.signer.verifier.vkey(),
        log_vkey_mldsa=log.second_vkey,
    )


def certify(settings: Settings, request: EnrolmentRequest, user: str | None = None) -> bytes:
    """The node's certificate, PEM, for its `user`. Raises EnrolmentRefused, WrongPassphrase, KeyFileRefused."""
    ca = authorities.issuing(settings.home, settings.secret())
    return registrar.certify(request.node, request.csr_pem, ca.certificate, ca.key, user)


def welcome_of(settings: Settings, log: Ledger, node: str, certificate: bytes, news: bytes) -> Welcome:
    """The welcome file of a node that is in the roster of that news."""
    known = identity_of(settings, log)
    return Welcome(
        node=node,
        certificate_pem=certificate.decode(),
        ca_pem=known.ca_pem,
        broker_host=settings.broker_host,
        broker_port=settings.broker_port,
        vhost=settings.vhost,
        hub_key=known.hub_key,
        log_origin=known.log_origin,
        log_vkey=known.log_vkey,
        log_vkey_mldsa=known.log_vkey_mldsa,
        roster=base64.b64encode(news).decode(),
    )


async def receive(office: Office, join: JoinRequest, *, by_file: bool) -> Enrolment:
    """Takes a request in. Raises as `joining.ask`, and what the database raises."""
    async with office.engine.begin() as connection:
        roster = await registrar.current(connection, office.log.keys)
        return await ask(connection, join, joining.pin_of(office.identity), roster, by_file=by_file)


async def carry_on(office: Office, invitation: bytes) -> Enrolment:
    """Does what is left to do after a confirmation or a rejection, until its node can be welcomed.

    Raises BrokerUnreachable, ProvisioningFailed, EnrolmentRefused, and what the database raises; the stage that was
    reached stays.
    """
    while True:
        async with office.engine.begin() as connection:
            found = await locked(connection, invitation)
        if found is None:
            raise EnrolmentUnknown(f"there is no invitation {invitation.hex()}", "list them: `seci-hub invitations`")
        match found.stage:
            case Stage.CONFIRMED:
                await _provision(office, found)
            case Stage.PROVISIONED:
                await _enter(office, found)
            case Stage.REJECTED if found.certificate is not None:
                await _take_back(office, found)
            case _:
                return found


async def carry_all_on(office: Office) -> list[Enrolment]:
    """`carry_on` for each that was left in the middle; those that there were. Raises as it, when all had their turn."""
    async with office.engine.connect() as connection:
        found = await listing(connection, _UNFINISHED)
    left = [item for item in found if item.stage is not Stage.REJECTED or item.certificate is not None]
    done, stuck = [], None
    for item in left:
        try:
            done.append(await carry_on(office, item.invitation))
        except HubError as error:
            # It holds up none of the others.
            stuck = stuck or error
    if stuck is not None:
        raise stuck
    return done


async def answer(office: Office, found: Enrolment) -> JoinAnswer:
    """What the node is told. If it is in the roster, its welcome, sealed; it counts as welcomed then."""
    join, sealed, stage = found.asked, None, found.stage
    if found.stage in _READY and found.certificate is not None and found.roster_version is not None:
        async with writing(office.engine, office.log) as connection:
            news = await rosternews.of(connection, office.log, found.roster_version)
            await change(connection, found.invitation, Stage.IN_ROSTER, stage=Stage.WELCOMED)
        welcome = welcome_of(office.settings, office.log, found.node, found.certificate.encode(), news)
        sealed, stage = joining.seal_welcome(join, welcome), Stage.WELCOMED
    closed = None if found.proven or found.challenge is None else joining.close_challenge(join, found.challenge)
    return JoinAnswer(
        node=found.node,
        invitation=join.invitation,
        stage=stage,
        reason=found.reason,
        challenge=closed if found.stage in (Stage.REQUESTED, Stage.APPROVED) else None,
        sealed=sealed,
    )


async def _provision(office: Office, found: Enrolment) -> None:
    settings, request = office.settings, found.asked.request
    async with office.engine.begin() as connection:
        roster = await registrar.current(connection, office.log.keys)
        await consent.check(connection, office.log, found, roster)
        check_request(found.asked, roster, found.terms)
        if found.certificate is None:
            # Kept before the broker is told: from here on there is something to take back.
            user = accounts.following(await accounts.of_nodes(connection), found.node)
            named = user if found.terms.replace_keys else None
            certificate = (await asyncio.to_thread(certify, settings, request, named)).decode()
            if await change(connection, found.invitation, Stage.CONFIRMED, certificate=certificate) is None:
                return
        users = await accounts.of_nodes(connection)
    told: registrar.Unsigned | None = None
    while told is None or registrar.absent(told) != registrar.absent(roster):
        # Whoever is shut out while the broker is told would have a user there again.
        told, nodes = roster, {found.node, *(node.node for node in roster.nodes)}
        # Who was revoked comes back with new keys; who is suspended is not let in by that.
        back = found.terms.replace_keys and all(registrar.comes_back(n) for n in roster.nodes if n.node == found.node)
        absent = [node for node in registrar.absent(roster) if not (back and node == found.node)]
        await asyncio.to_thread(topology.apply, settings.broker_ctl, nodes, settings.vhost, absent, users)
        async with office.engine.connect() as connection:
            roster = await registrar.current(connection, office.log.keys)
            users = await accounts.of_nodes(connection)
    async with office.engine.begin() as connection:
        moved = await change(connection, found.invitation, Stage.CONFIRMED, stage=Stage.PROVISIONED)
        now = moved or await locked(connection, found.invitation)
    if now is not None and now.stage is Stage.REJECTED:
        # Rejected while the broker was told: it may have been taken back before all of it was there.
        await _take_back(office, now)


async def _enter(office: Office, found: Enrolment) -> None:
    # The roster, its entry in the ledger and the stage are one transaction: all of it, or nothing.
    async with writing(office.engine, office.log) as connection:
        turn = await ledger.take_turn(connection)
        now = await locked(connection, found.invitation)
        if now is None or now.stage is not Stage.PROVISIONED or now.certificate is None:
            return
        roster = await registrar.current(connection, office.log.keys)
        await consent.check(connection, office.log, now, roster)
        check_request(now.asked, roster, now.terms)
        terms, request, pem, crl = now.terms, now.asked.request, now.certificate.encode(), None
        await registrar.keep_certificate(connection, pem, now.node)
        if terms.replace_keys:
            nodes = registrar.with_replaced(roster, request, terms.agencies, terms.task_forces, turn.at)
            ca = authorities.issuing(office.settings.home, office.settings.secret())
            crl = await standing.supersede(connection, ca, now.node, pem, nodes, roster, turn.at)
        else:
            nodes = registrar.with_admitted(roster, [request], terms.agencies, terms.task_forces)
        published = await registrar.publish_roster(connection, office.log, nodes, office.log.signer.key, crl)
        if terms.replace_keys:
            await standing.give_proofs(connection, office.log, now.node, turn.at)
        await change(
            connection, now.invitation, Stage.PROVISIONED, stage=Stage.IN_ROSTER, roster_version=published.version
        )


async def _take_back(office: Office, found: Enrolment) -> None:
    settings = office.settings
    async with office.engine.connect() as connection:
        roster = await registrar.current(connection, office.log.keys)
        users = await accounts.of_nodes(connection)
        others = await listing(connection, (Stage.CONFIRMED, Stage.PROVISIONED))
    nodes = {node.node for node in roster.nodes}
    # By now the node may have come in, or be on its way again: what is at the broker is for that.
    if found.node not in nodes | {other.node for other in others}:
        await asyncio.to_thread(topology.remove, settings.broker_ctl, found.node, settings.vhost)
    elif found.terms.replace_keys:
        # The user that it was, and not the one that it would have become.
        users.setdefault(found.node, topology.user_of(found.node))
        absent = registrar.absent(roster)
        await asyncio.to_thread(topology.apply, settings.broker_ctl, nodes, settings.vhost, absent, users)
    async with office.engine.begin() as connection:
        await change(connection, found.invitation, Stage.REJECTED, certificate=None)
